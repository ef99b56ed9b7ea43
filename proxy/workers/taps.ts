// Observe calls over workers: each worker taps what it serves, the process keeps the call's limit and passes events on.
import { decode } from "#grpc";
import { tapEvent } from "#tap";
import type { TapCall, TapInit, TapRegistry, Taps } from "../tap/registry.ts";
import { readObserveRequest } from "../tap/server.ts";
import type { Subscription } from "../tap/subscription.ts";
import type { Teller } from "./channel.ts";
import type { ProcessMethods, WorkerMethods } from "./contract.ts";

/** Events of a call that one worker may have on the way. */
export const TAP_ROOM = 64;

type ToWorker = Teller<WorkerMethods>;

/** The process's side. */
export class WorkerTaps implements Taps {
  readonly #workers: readonly ToWorker[];
  readonly #calls = new Map<number, WorkersTap>();
  #id = 0;

  constructor(workers: readonly ToWorker[]) {
    this.#workers = workers;
  }

  add(init: TapInit): TapCall {
    const id = this.#id;
    this.#id = (this.#id + 1) >>> 0;
    const call = new WorkersTap(id, init, this.#workers, () => this.#calls.delete(id));
    this.#calls.set(id, call);
    for (const worker of this.#workers) worker.tell("tap", id, init.request as Uint8Array);
    return call;
  }

  remove(call: TapCall): void {
    call.cancel();
  }

  events(worker: number, id: number, events: readonly Uint8Array[]): void {
    this.#calls.get(id)?.events(worker, events);
  }

  done(id: number): void {
    this.#calls.get(id)?.workerDone();
  }
}

class WorkersTap implements TapCall {
  readonly #id: number;
  readonly #init: TapInit;
  readonly #workers: readonly ToWorker[];
  readonly #over: () => void;
  readonly #queue: { readonly worker: number; readonly event: Uint8Array }[] = [];
  /** Requests that came after the limit; their events are not passed on. */
  readonly #refused = new Set<bigint>();
  #taken = 0;
  #working: number;
  #cancelled = false;

  constructor(id: number, init: TapInit, workers: readonly ToWorker[], over: () => void) {
    this.#id = id;
    this.#init = init;
    this.#workers = workers;
    this.#working = workers.length;
    this.#over = over;
  }

  get done(): boolean {
    return this.#cancelled || this.#working === 0;
  }

  get queued(): number {
    return this.#queue.length;
  }

  next(): Uint8Array | null {
    const first = this.#queue.shift();
    if (first === undefined) return null;
    this.#workers[first.worker]?.tell("tapRoom", this.#id, 1);
    return first.event;
  }

  cancel(): void {
    if (this.#cancelled) return;
    this.#cancelled = true;
    this.#queue.length = 0;
    this.#over();
    for (const worker of this.#workers) worker.tell("tapEnd", this.#id);
  }

  events(worker: number, events: readonly Uint8Array[]): void {
    if (this.#cancelled) return;
    let dropped = 0;
    for (const event of events) {
      if (this.#wanted(event)) this.#queue.push({ worker, event });
      else dropped++;
    }
    if (dropped > 0) this.#workers[worker]?.tell("tapRoom", this.#id, dropped);
    if (this.#queue.length > 0) this.#init.onEvents();
  }

  workerDone(): void {
    this.#working--;
    if (this.#working === 0 && !this.#cancelled) this.#init.onDone();
  }

  #wanted(bytes: Uint8Array): boolean {
    const http = decode(tapEvent, bytes).event;
    const event = http.case === "http" ? http.value.event : undefined;
    if (event === undefined || event.case === undefined) return false;
    const stream = event.value.id?.stream ?? 0n;
    if (event.case !== "requestInit") {
      const refused = this.#refused.has(stream);
      if (event.case === "responseEnd") this.#refused.delete(stream);
      return !refused;
    }
    if (this.#taken >= this.#init.limit) {
      this.#refused.add(stream);
      return false;
    }
    this.#taken++;
    if (this.#taken === this.#init.limit) for (const worker of this.#workers) worker.tell("tapFull", this.#id);
    return true;
  }
}

/** A worker's side. */
export class TapsOfWorker {
  readonly #registry: TapRegistry;
  readonly #process: Teller<ProcessMethods>;
  readonly #index: number;
  readonly #count: number;
  readonly #calls = new Map<number, { readonly subscription: Subscription; room: number }>();

  constructor(options: { registry: TapRegistry; process: Teller<ProcessMethods>; index: number; count: number }) {
    this.#registry = options.registry;
    this.#process = options.process;
    this.#index = options.index;
    this.#count = options.count;
  }

  begin(id: number, request: Uint8Array): void {
    const asked = readObserveRequest(request);
    if (typeof asked === "string") {
      this.#process.tell("tapDone", id);
      return;
    }
    const pass = (): void => this.#pass(id);
    const numbers = { base: id, first: this.#index, stride: this.#count };
    const subscription = this.#registry.add({ ...asked, ...numbers, onEvents: pass, onDone: pass });
    this.#calls.set(id, { subscription, room: TAP_ROOM });
  }

  full(id: number): void {
    this.#calls.get(id)?.subscription.fill();
  }

  room(id: number, events: number): void {
    const call = this.#calls.get(id);
    if (call === undefined) return;
    call.room += events;
    this.#pass(id);
  }

  end(id: number): void {
    const call = this.#calls.get(id);
    if (call === undefined) return;
    this.#calls.delete(id);
    this.#registry.remove(call.subscription);
    call.subscription.cancel();
  }

  #pass(id: number): void {
    const call = this.#calls.get(id);
    if (call === undefined) return;
    const { subscription } = call;
    const events: Uint8Array[] = [];
    while (call.room > 0) {
      const event = subscription.next();
      if (event === null) break;
      call.room--;
      events.push(event);
    }
    if (events.length > 0) this.#process.tell("tapEvents", id, events);
    if (!subscription.done || subscription.queued > 0) return;
    this.#calls.delete(id);
    this.#process.tell("tapDone", id);
  }
}
