// latin1 text from bytes and back. TextDecoder's "latin1" is windows-1252 and would change bytes 0x80 to 0x9f.
import { Buffer } from "node:buffer";

export function latin1(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.prototype.latin1Slice.call(bytes, start, end);
}

/** `text` must have no char beyond 0xff. */
export function latin1Bytes(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  Buffer.prototype.latin1Write.call(bytes, text, 0, bytes.length);
  return bytes;
}
