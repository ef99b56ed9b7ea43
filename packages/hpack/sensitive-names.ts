// Names whose fields came as literals never indexed. RFC 7541 §6.2.3 wants them forwarded so by intermediaries. Heads are
// rewritten and turned into HTTP/1 on the way, so what is remembered is the name: one such list is shared by the connections
// that forward to each other. That protects at least what the peer asked for.

export class SensitiveNames {
  readonly #names = new Set<string>();

  /** Rises with every name added. */
  get size(): number {
    return this.#names.size;
  }

  add(name: string): void {
    if (this.#names.size < MAX_SENSITIVE_NAMES && name.length <= MAX_SENSITIVE_NAME_BYTES) this.#names.add(name);
    else if (!this.#names.has(name)) this.#names.add(EVERY_NAME);
  }

  has(name: string): boolean {
    return this.#names.has(name) || this.#names.has(EVERY_NAME);
  }
}

/** When more are met, every field is treated as sensitive: compression is lost, secrecy is not. */
export const MAX_SENSITIVE_NAMES = 64;
const MAX_SENSITIVE_NAME_BYTES = 256;
/** No field name has a space. */
const EVERY_NAME = " ";
