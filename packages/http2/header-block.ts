// A header block that comes in HEADERS and CONTINUATION frames, RFC 9113 §4.3.

export class HeaderBlock {
  /** 0: none is in progress. */
  streamId = 0;
  /** Of the HEADERS frame. */
  flags = 0;
  /** `bytes[0..length)`. */
  bytes: Uint8Array = NONE;
  length = 0;
  /** CONTINUATION frames so far. */
  continuations = 0;

  begin(streamId: number, flags: number): void {
    this.streamId = streamId;
    this.flags = flags;
    this.length = 0;
    this.continuations = 0;
  }

  append(bytes: Uint8Array, start: number, end: number): void {
    const need = this.length + end - start;
    if (this.bytes.length < need) {
      const larger = new Uint8Array(need * 2);
      larger.set(this.bytes.subarray(0, this.length));
      this.bytes = larger;
    }
    this.bytes.set(bytes.subarray(start, end), this.length);
    this.length = need;
  }

  /** The block is whole, or given up: such blocks are rare, their room is not kept. */
  end(): void {
    this.streamId = 0;
    this.bytes = NONE;
    this.length = 0;
  }
}

const NONE = new Uint8Array(0);
