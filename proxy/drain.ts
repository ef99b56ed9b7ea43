// Graceful shutdown (spec proxy §1.8): every server connection is told once, and the process waits for all of them, those included
// that were accepted and have not said yet what they are. Whoever waits at night is told for what.
import { Timer, type TimerWheel } from "#stack";
import type { Connection } from "./transport/index.ts";

/** A connection the process waits for. `drain` asks it to finish; tunnels and opaque TCP have nothing to say. */
export interface Drainable {
  drain(): void;
  /** Ends it at once. */
  cut(): void;
  /** What it is and where it comes from, for the log. */
  describe(): string;
}

/** How often the log says what a drain waits for, ms. */
export const WAITING_LOG_MS = 5000;
/** Of how many connections it says what they are. */
const DESCRIBED_MAX = 5;

/**
 * How long a drain waits for the first bytes of a connection that was accepted before it, ms. A client that has just connected is
 * not yet idle, as one is whose last request is answered; one that connects ahead of time may never say anything.
 */
export const UNDECIDED_GRACE_MS = 1000;

/** A connection between its acceptance and the time it has become a member as what it is. */
class Undecided implements Drainable {
  readonly #registry: DrainRegistry;
  readonly #connection: Connection;
  readonly #timer: Timer;

  constructor(registry: DrainRegistry, connection: Connection, wheel: TimerWheel) {
    this.#registry = registry;
    this.#connection = connection;
    this.#timer = new Timer(wheel, { onTimer: () => connection.abort() });
    connection.onDecided = () => this.#decided();
  }

  drain(): void {
    this.#timer.start(UNDECIDED_GRACE_MS);
  }

  cut(): void {
    this.#connection.abort();
  }

  describe(): string {
    return `undecided from ${this.#connection.peer}`;
  }

  #decided(): void {
    this.#timer.stop();
    this.#registry.delete(this);
  }
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

  /** A connection that was accepted: waited for until {@link Connection.decided} is called on it, or it has closed. */
  accept(connection: Connection, wheel: TimerWheel): void {
    this.add(new Undecided(this, connection, wheel));
  }

  delete(member: Drainable): void {
    if (this.#members.delete(member) && this.#members.size === 0) this.#idle?.();
  }

  /** Tells everyone; resolves when the last one is gone. `waiting`: told what is waited for, every {@link WAITING_LOG_MS}. */
  async drain(waiting?: (connections: number, described: string) => void, everyMs: number = WAITING_LOG_MS): Promise<void> {
    this.#draining = true;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#idle = resolve;
    for (const member of [...this.#members]) member.drain();
    if (this.#members.size === 0) resolve();
    const telling = waiting && setInterval(() => waiting(this.#members.size, this.#describe()), everyMs);
    await promise;
    clearInterval(telling);
  }

  #describe(): string {
    const described = [...this.#members.values().take(DESCRIBED_MAX)].map((member) => member.describe());
    return [...described, ...(this.#members.size > DESCRIBED_MAX ? ["…"] : [])].join(", ");
  }
}
