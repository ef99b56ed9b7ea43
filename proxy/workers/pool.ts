// The data plane over several threads (LINKERD2_PROXY_CORES): workers share the ports of both sides by SO_REUSEPORT, the process
// keeps identity, admin, tap, signals and readiness. A worker that ends takes the process with it.
//
//   process: certify loop, 4191, 4190, signals ──certificate, open, drain──► worker 1: 4140, 4143, own watches, pools, counters
//            /metrics = its page + those of workers  ◄──page, tap events──── worker 2: the same
import type { Identity } from "../contracts.ts";
import type { Addresses, DataPlane, Traffic } from "../data-plane.ts";
import { Channel, type Port } from "./channel.ts";
import type { ProcessMethods, WorkerMethods } from "./contract.ts";
import { mergePages } from "./merge.ts";
import { WorkerTaps } from "./taps.ts";

/** How long a page of metrics may wait for a worker, ms; then there is none. */
const PAGE_TIMEOUT_MS = 5000;

/** A thread. */
export interface WorkerThread extends Port {
  /** It has ended; `problem` says of what. */
  onended: ((problem: string) => void) | null;
}

export type WorkerPoolOptions = {
  readonly count: number;
  readonly spawn: (index: number) => WorkerThread;
  /** Of this thread: admin and tap go through its stacks. */
  readonly plane: DataPlane;
  /** Null: identity is disabled. */
  readonly identity: Identity | null;
};

type Worker = Channel<WorkerMethods, ProcessMethods>;

export class WorkerPool implements Traffic {
  readonly taps: WorkerTaps;
  readonly failed: Promise<never>;
  readonly #workers: readonly Worker[];
  readonly #plane: DataPlane;
  #fail: (error: Error) => void = () => {};

  private constructor({ count, spawn, plane, identity }: WorkerPoolOptions) {
    this.#plane = plane;
    this.failed = new Promise((_, reject) => {
      this.#fail = reject;
    });
    this.#workers = Array.from({ length: count }, (_, index) => this.#worker(index, spawn(index)));
    this.taps = new WorkerTaps(this.#workers);
    identity?.onChange((credentials) => this.#tell((worker) => worker.tell("certificate", credentials)));
  }

  /** Workers that have loaded their code. Rejects when one of them cannot. */
  static async start(options: WorkerPoolOptions): Promise<WorkerPool> {
    const pool = new WorkerPool(options);
    const { count } = options;
    const originMs = performance.timeOrigin;
    await Promise.race([pool.failed, Promise.all(pool.#workers.map((worker, index) => worker.call("start", { index, count, originMs })))]);
    return pool;
  }

  async bind(addresses: Addresses): Promise<void> {
    const [first, ...others] = this.#workers;
    // Port 0 is one port for all.
    const bound = await (first as Worker).call("bind", addresses);
    await Promise.all(others.map((worker) => worker.call("bind", bound)));
  }

  open(): Promise<void> {
    return this.#all((worker) => worker.call("open"));
  }

  async page(): Promise<string> {
    const { promise: late, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => reject(new Error(`a worker did not answer within ${PAGE_TIMEOUT_MS} ms`)), PAGE_TIMEOUT_MS);
    try {
      const pages = await Promise.race([late, Promise.all(this.#workers.map((worker) => worker.call("page")))]);
      return mergePages([this.#plane.registry.parts(performance.now()), ...pages]);
    } finally {
      clearTimeout(timer);
    }
  }

  live(): Promise<void> {
    return this.#all((worker) => worker.call("ping"));
  }

  setFilter(text: string): Promise<void> {
    return this.#all((worker) => worker.call("filter", text));
  }

  async drainInbound(): Promise<void> {
    await Promise.all([this.#plane.drainInbound(), this.#all((worker) => worker.call("drainInbound"))]);
  }

  async drainOutbound(): Promise<void> {
    await Promise.all([this.#plane.drainOutbound(), this.#all((worker) => worker.call("drainOutbound"))]);
  }

  cut(): void {
    this.#plane.cut();
    this.#tell((worker) => worker.tell("cut"));
  }

  async close(): Promise<void> {
    await Promise.all([this.#plane.close(), this.#all((worker) => worker.call("close"))]);
  }

  #worker(index: number, thread: WorkerThread): Worker {
    const worker: Worker = new Channel(thread, {
      tapEvents: (id, events) => this.taps.events(index, id, events),
      tapDone: (id) => this.taps.done(id),
    });
    thread.onended = (problem) => {
      const error = new Error(`worker ${index + 1} has ended: ${problem}`);
      worker.close(error);
      this.#fail(error);
    };
    return worker;
  }

  #tell(tell: (worker: Worker) => void): void {
    for (const worker of this.#workers) tell(worker);
  }

  async #all(call: (worker: Worker) => Promise<unknown>): Promise<void> {
    await Promise.all(this.#workers.map(call));
  }
}

/** A thread of this executable in the role `proxy-worker`, with this process's environment. */
export function spawnWorker(index: number): WorkerThread {
  const options = { name: `worker ${index + 1}`, argv: ["proxy-worker"] };
  const thread = new globalThis.Worker(Bun.main, options as WorkerOptions) as unknown as WorkerThread & EventTarget;
  thread.onended = null;
  let problem = "";
  thread.addEventListener("error", (event) => {
    problem = (event as ErrorEvent).message;
  });
  thread.addEventListener("close", (event) => thread.onended?.(problem || `status ${(event as unknown as { code: number }).code}`));
  return thread;
}
