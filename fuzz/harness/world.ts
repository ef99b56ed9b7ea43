// A piece of the proxy without a network: its real connections on sockets that are two strings, its turns, timers and clock
// moved by hand.
import type { SocketAddr } from "#addr";
import { TimerWheel, TurnClock } from "#stack";
import type { Runtime } from "../../proxy/runtime.ts";
import { Connection, type ConnectionHandler } from "../../proxy/transport/connection.ts";
import { FlushQueue } from "../../proxy/transport/flush.ts";
import { bytesOf, check, latin1 } from "../target.ts";

/** What `Connection` uses of a socket of Bun. */
type Socket = ConstructorParameters<typeof Connection>[0]["socket"];

/** The network's side of one connection: what the proxy has sent, and what happens to it. */
export class Wire {
  readonly connection: Connection;
  /** Bytes of the proxy that the other end has not taken yet. */
  sent = "";
  /** Bytes the kernel takes; then it refuses until {@link drain}. */
  room = Number.POSITIVE_INFINITY;
  /** The proxy has ended its half. */
  ended = false;
  closed = false;

  constructor(world: World, handler: ConnectionHandler, remote: SocketAddr, local: SocketAddr) {
    const wire = this;
    const socket = {
      remoteAddress: remote.ip,
      remotePort: remote.port,
      localAddress: local.ip,
      localPort: local.port,
      write(chunk: Uint8Array): number {
        if (wire.closed) return -1;
        const n = Math.min(chunk.length, wire.room);
        wire.sent += latin1(chunk.subarray(0, n));
        wire.room -= n;
        return n;
      },
      shutdown(): void {
        wire.ended = true;
      },
      end(): void {
        wire.ended = true;
        wire.#close("");
      },
      terminate(): void {
        wire.#close("");
      },
      pause(): void {},
      resume(): void {},
    };
    this.connection = new Connection({ socket: socket as unknown as Socket, handler, flushQueue: world.runtime.flushQueue });
    world.wires.push(this);
  }

  /** The peer's bytes. */
  deliver(bytes: string): void {
    if (!this.closed && bytes !== "") this.connection.socketData(bytesOf(bytes));
  }

  /** The peer has said its last. */
  end(): void {
    if (this.closed || this.connection.peerEnded) return;
    this.connection.socketEnd();
    if (this.ended) this.#close("");
  }

  reset(): void {
    this.#close("ECONNRESET");
  }

  /** The kernel takes bytes again. */
  drain(room: number): void {
    this.room = room;
    if (!this.closed) this.connection.socketDrain();
  }

  /** Takes what the proxy has sent. */
  take(): string {
    const { sent } = this;
    this.sent = "";
    return sent;
  }

  #close(errno: string): void {
    if (this.closed) return;
    this.closed = true;
    this.connection.socketClose(errno);
  }
}

export class World {
  readonly runtime: Runtime;
  readonly wires: Wire[] = [];
  /** What the proxy caught of itself: there must be nothing. */
  readonly faults: unknown[] = [];
  nowMs = 1000;
  #deferred: (() => void)[] = [];
  #timer: { readonly fire: () => void; readonly atMs: number } | null = null;

  constructor() {
    const onError = (error: unknown): void => void this.faults.push(error);
    const flushQueue = new FlushQueue({ defer: (run) => this.#deferred.push(run), onError });
    this.runtime = {
      flushQueue,
      clock: new TurnClock({ read: () => this.nowMs, turnEnd: flushQueue }),
      wheel: new TimerWheel({
        now: () => this.nowMs,
        schedule: (fire, ms) => {
          this.#timer = { fire, atMs: this.nowMs + ms };
        },
        onError,
      }),
      random: () => 0.5,
    };
  }

  /** To the end of the event-loop turn, and of those it brings about. */
  async turn(): Promise<void> {
    for (let i = 0; i < MAX_TURNS; i++) {
      // Microtasks of microtasks.
      for (let n = 0; n < 4; n++) await null;
      const deferred = this.#deferred;
      if (deferred.length === 0) return;
      this.#deferred = [];
      for (const run of deferred) run();
    }
    check(false, `after ${MAX_TURNS} turns there is still something to do`);
  }

  async pass(ms: number): Promise<void> {
    const until = this.nowMs + ms;
    for (let i = 0; i < MAX_TURNS && this.#timer !== null && this.#timer.atMs <= until; i++) {
      const { fire, atMs } = this.#timer;
      this.#timer = null;
      this.nowMs = Math.max(this.nowMs, atMs);
      fire();
      await this.turn();
    }
    this.nowMs = Math.max(this.nowMs, until);
  }

  checkFaults(): void {
    const [fault] = this.faults;
    if (fault !== undefined) throw fault;
  }
}

/** A proxy that keeps itself busy without anybody asking is a finding. */
const MAX_TURNS = 1000;
