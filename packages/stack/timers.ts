// Coarse timers: thousands of timeouts share one timer of the runtime, and a quiet wheel wakes nobody.

/** Granularity, ms. A timer fires at its time or up to one tick later, never earlier. */
export const TICK_MS = 8;
const SLOTS = 512;

/** What a wheel needs of the runtime. `schedule` runs `fire` once after `ms`; a later call replaces an earlier one. */
export type WheelHost = {
  now(): number;
  schedule(fire: () => void, ms: number): void;
  /** An owner threw; the other timers go on. */
  onError(error: unknown): void;
};

/** Who is told. One owner may have several timers: it compares. */
export interface TimerOwner {
  onTimer(timer: Timer): void;
}

/** One timeout; restartable. States: idle → running → (fired | stopped) = idle. */
export class Timer {
  /** Wheel's own: place in a slot's ring, tick of expiry. */
  next: Timer | null = null;
  previous: Timer | null = null;
  tick = 0;
  readonly #wheel: TimerWheel;
  readonly owner: TimerOwner;

  constructor(wheel: TimerWheel, owner: TimerOwner) {
    this.#wheel = wheel;
    this.owner = owner;
  }

  get running(): boolean {
    return this.next !== null;
  }

  /** (Re)starts: fires once in `ms`. */
  start(ms: number): void {
    this.#wheel.add(this, ms);
  }

  stop(): void {
    this.#wheel.remove(this);
  }
}

/** A hashed wheel (Varghese & Lauck): start and stop cost two links, a tick looks at one slot. */
export class TimerWheel {
  readonly #host: WheelHost;
  readonly #slots: Timer[];
  readonly #fire = (): void => this.#advance();
  /** Everything due at or before this tick has fired. */
  #tick: number;
  readonly #due: Timer[] = [];
  #running = 0;
  /** Tick the runtime's timer is set for; Infinity when it is not set. */
  #wakeTick = Number.POSITIVE_INFINITY;

  constructor(host: WheelHost) {
    this.#host = host;
    this.#tick = Math.floor(host.now() / TICK_MS);
    this.#slots = Array.from({ length: SLOTS }, () => {
      // Each slot is a ring with a head that never fires.
      const head = new Timer(this, { onTimer() {} });
      head.next = head;
      head.previous = head;
      return head;
    });
  }

  /** Timers running. */
  get size(): number {
    return this.#running;
  }

  add(timer: Timer, ms: number): void {
    this.remove(timer);
    const now = this.#host.now();
    const nowTick = Math.floor(now / TICK_MS);
    // With nothing running no tick was missed: catch up without looking at slots.
    if (this.#running === 0) this.#tick = Math.max(this.#tick, nowTick);
    timer.tick = Math.max(Math.ceil((now + Math.max(0, ms)) / TICK_MS), this.#tick + 1);
    const head = this.#slots[timer.tick % SLOTS] as Timer;
    const last = head.previous as Timer;
    timer.previous = last;
    timer.next = head;
    last.next = timer;
    head.previous = timer;
    this.#running++;
    if (timer.tick < this.#wakeTick) this.#wake(timer.tick);
  }

  remove(timer: Timer): void {
    if (timer.next === null) return;
    (timer.previous as Timer).next = timer.next;
    timer.next.previous = timer.previous;
    timer.next = null;
    timer.previous = null;
    this.#running--;
  }

  #wake(tick: number): void {
    this.#wakeTick = tick;
    this.#host.schedule(this.#fire, Math.max(0, tick * TICK_MS - this.#host.now()));
  }

  #advance(): void {
    this.#wakeTick = Number.POSITIVE_INFINITY;
    const nowTick = Math.floor(this.#host.now() / TICK_MS);
    // After a long pause (suspended machine) every slot is looked at once.
    if (nowTick - this.#tick > SLOTS) this.#tick = nowTick - SLOTS;
    while (this.#tick < nowTick) {
      this.#tick++;
      this.#expire(this.#slots[this.#tick % SLOTS] as Timer);
    }
    this.#scheduleNext();
  }

  #expire(head: Timer): void {
    const due = this.#due;
    for (let timer = head.next as Timer; timer !== head; timer = timer.next as Timer) if (timer.tick <= this.#tick) due.push(timer);
    for (let i = 0; i < due.length; i++) {
      const timer = due[i] as Timer;
      // An owner called before may have stopped or restarted this one.
      if (timer.next === null || timer.tick > this.#tick) continue;
      this.remove(timer);
      try {
        timer.owner.onTimer(timer);
      } catch (error) {
        this.#host.onError(error);
      }
    }
    due.length = 0;
  }

  #scheduleNext(): void {
    if (this.#running === 0) return;
    for (let i = 1; i <= SLOTS; i++) {
      const head = this.#slots[(this.#tick + i) % SLOTS] as Timer;
      // A timer of a later round in this slot costs one early wake-up, at most one per round (4 s).
      if (head.next !== head) {
        if (this.#tick + i < this.#wakeTick) this.#wake(this.#tick + i);
        return;
      }
    }
  }
}
