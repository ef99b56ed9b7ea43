// Graceful shutdown (spec proxy §1.8): every server connection is told once, and the process waits for all of them.

/** A connection the process waits for. `drain` asks it to finish; tunnels and opaque TCP have nothing to say. */
export interface Drainable {
  drain(): void;
  /** Ends it at once. */
  cut(): void;
}

export class DrainRegistry {
  readonly #members = new Set<Drainable>();
  #idle: (() => void) | null = null;
  #draining = false;

  get draining(): boolean {
    return this.#draining;
  }

  get size(): number {
    return this.#members.size;
  }

  members(): readonly Drainable[] {
    return [...this.#members];
  }

  add(member: Drainable): void {
    this.#members.add(member);
    if (this.#draining) member.drain();
  }

  delete(member: Drainable): void {
    if (this.#members.delete(member) && this.#members.size === 0) this.#idle?.();
  }

  /** Tells everyone; resolves when the last one is gone. */
  drain(): Promise<void> {
    this.#draining = true;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#idle = resolve;
    for (const member of [...this.#members]) member.drain();
    if (this.#members.size === 0) resolve();
    return promise;
  }
}
