// Streams that wait for a turn, in order. A list through the streams themselves: a stream is in one queue at most.
import { CLOSED, QUEUED, type Stream } from "./stream.ts";

export class StreamQueue {
  #first: Stream | null = null;
  #last: Stream | null = null;

  get empty(): boolean {
    return this.#first === null;
  }

  push(stream: Stream): void {
    stream.flags |= QUEUED;
    stream.next = null;
    if (this.#last === null) this.#first = stream;
    else this.#last.next = stream;
    this.#last = stream;
  }

  /** The next stream, which may have closed meanwhile; null when there is none. */
  shift(): Stream | null {
    const stream = this.#first;
    if (stream === null) return null;
    this.#first = stream.next;
    if (this.#first === null) this.#last = null;
    stream.next = null;
    stream.flags &= ~QUEUED;
    return stream;
  }

  /** Takes all of another queue behind its own. */
  append(other: StreamQueue): void {
    if (other.#first === null) return;
    if (this.#last === null) this.#first = other.#first;
    else this.#last.next = other.#first;
    this.#last = other.#last;
    other.#first = null;
    other.#last = null;
  }

  /** Drops the streams that have closed. */
  sweep(): void {
    let stream = this.#first;
    this.#first = null;
    this.#last = null;
    while (stream !== null) {
      const { next } = stream;
      stream.next = null;
      if ((stream.flags & CLOSED) === 0) this.push(stream);
      stream = next;
    }
  }
}
