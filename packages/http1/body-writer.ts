// The sending side of one message's body, in the framing its head told.
import type { Fields } from "#http";
import { EMPTY } from "./accumulator.ts";
import { Body, type EncodedHead, encodeTrailers } from "./encode.ts";
import { latin1Bytes } from "./latin1.ts";
import type { OutputQueue } from "./output-queue.ts";

const CRLF: Uint8Array = latin1Bytes("\r\n");
const LAST_CHUNK_LINE: Uint8Array = latin1Bytes("0\r\n");
const LAST_CHUNK: Uint8Array = latin1Bytes("0\r\n\r\n");
const LAST_CHUNK_AFTER_DATA: Uint8Array = latin1Bytes("\r\n0\r\n\r\n");

/** Base of the engines' exchanges: what one message to be sent remembers. */
export class BodyWriter {
  protected body: Body = Body.NONE;
  #remaining = 0;

  protected begin(head: EncodedHead): void {
    this.body = head.body;
    this.#remaining = head.length;
  }

  /** False when the content differs from the length that was told: the connection cannot go on. */
  protected put(out: OutputQueue, chunk: Uint8Array, end: boolean): boolean {
    const n = chunk.length;
    switch (this.body) {
      case Body.LENGTH:
        if (n > this.#remaining || (end && n < this.#remaining)) return false;
        this.#remaining -= n;
        if (n > 0) out.push(chunk, true);
        return true;
      case Body.CHUNKED:
        if (n > 0) {
          out.push(latin1Bytes(`${n.toString(16)}\r\n`), false);
          out.push(chunk, true);
          out.push(end ? LAST_CHUNK_AFTER_DATA : CRLF, false);
        } else if (end) out.push(LAST_CHUNK, false);
        return true;
      case Body.CLOSE:
        if (n > 0) out.push(chunk, true);
        return true;
      default:
        out.swallow(n);
        return true;
    }
  }

  /** Ends the message; trailers go with chunked content only, if `allowed`. False when they cannot be written. */
  protected putTrailers(out: OutputQueue, fields: Fields, allowed: boolean): boolean {
    if (this.body !== Body.CHUNKED || !allowed || fields.length === 0) return this.put(out, EMPTY, true);
    const bytes = encodeTrailers(fields);
    if (typeof bytes === "string") return false;
    out.push(LAST_CHUNK_LINE, false);
    out.push(bytes, false);
    return true;
  }
}
