// One field line of a header block.

export class HeaderField {
  /** One char per byte, as received. */
  readonly name: string;
  /** One char per byte, as received. */
  readonly value: string;
  /** It came as a literal never indexed, RFC 7541 §6.2.3, and must be forwarded as one. */
  readonly sensitive: boolean;
  /**
   * Slot of the reader of fields (the HTTP/2 engine): what kind of field this is, 0 when nobody has looked yet. It depends
   * on name and value alone; fields of the tables are looked at once.
   */
  kind = 0;

  constructor(name: string, value: string, sensitive: boolean) {
    this.name = name;
    this.value = value;
    this.sensitive = sensitive;
  }

  /** RFC 7541 §4.1. */
  get size(): number {
    return this.name.length + this.value.length + ENTRY_OVERHEAD_BYTES;
  }
}

/** What an entry counts beside its name and value, RFC 7541 §4.1. */
export const ENTRY_OVERHEAD_BYTES = 32;
