// Connections of one balancer that are made at once: the endpoints of a large service would otherwise all be dialed in one turn, and
// everything else of the proxy would wait for their handshakes.
import type { Dial } from "./http2-link.ts";

/** Dials at once; others wait their turn, first come, first served. */
export const MAX_DIALS_AT_ONCE = 32;

export class DialGate {
  readonly #waiting = new Set<() => void>();
  #active = 0;
  #opening = false;

  /** HTTP/1 connections are dialed for a request that waits: those are not held up. */
  through(dial: Dial): Dial {
    return (protocol, onConnect, onError) => {
      if (protocol !== "http2") return dial(protocol, onConnect, onError);
      let abandon: (() => void) | null = null;
      const over = (): void => {
        abandon = null;
        this.#active--;
        this.#next();
      };
      const start = (): void => {
        this.#active++;
        abandon = dial(
          protocol,
          (connection) => {
            over();
            onConnect(connection);
          },
          (error) => {
            over();
            onError(error);
          },
        );
      };
      this.#waiting.add(start);
      this.#next();
      return () => {
        if (this.#waiting.delete(start) || abandon === null) return;
        abandon();
        over();
      };
    };
  }

  /** Not at once: who is about to leave, as all do when a set is replaced, does not begin. */
  #next(): void {
    if (this.#opening || this.#waiting.size === 0) return;
    this.#opening = true;
    queueMicrotask(() => {
      this.#opening = false;
      for (const start of this.#waiting) {
        if (this.#active >= MAX_DIALS_AT_ONCE) return;
        this.#waiting.delete(start);
        start();
      }
    });
  }
}
