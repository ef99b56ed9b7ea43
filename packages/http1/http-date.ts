// The `date` field line, made once a second.
import { latin1Bytes } from "./latin1.ts";

export class HttpDate {
  readonly #now: () => number;
  #second = Number.NaN;
  #line: Uint8Array = latin1Bytes("");

  /** `now`: milliseconds since 1970. */
  constructor(options: { now: () => number }) {
    this.#now = options.now;
  }

  /** `date: …` (IMF-fixdate, RFC 9110 §5.6.7), its CRLF and the empty line that ends a head. */
  lastLine(): Uint8Array {
    const second = Math.floor(this.#now() / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#line = latin1Bytes(`date: ${new Date(second * 1000).toUTCString()}\r\n\r\n`);
    }
    return this.#line;
  }
}
