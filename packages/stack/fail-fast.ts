// Stops making callers wait for something that has not been ready for too long (spec proxy §6 "Fail-fast").
import { Timer, type TimerWheel } from "./timers.ts";

export type FailFastOptions = {
  readonly wheel: TimerWheel;
  /** How long the service may be continuously unready before callers are failed, ms. */
  readonly timeoutMs: number;
  /** Entered (`true`) or left (`false`) the failing state. On entry the owner fails whoever waits. */
  readonly onChange: (failing: boolean) => void;
  /** Each step of the diagram; for metrics. */
  readonly onPoll?: (readiness: "ready" | "pending" | "error") => void;
};

/**
 *   ready ──unready()──► waiting ──timeout──► failing
 *     ▲                     │                    │
 *     └──────ready()────────┴──────ready()───────┘
 */
export class FailFast {
  readonly #options: FailFastOptions;
  readonly #timer: Timer;
  #failing = false;

  constructor(options: FailFastOptions) {
    this.#options = options;
    this.#timer = new Timer(options.wheel, this);
  }

  /** Callers are to be failed at once. */
  get failing(): boolean {
    return this.#failing;
  }

  /** Someone waits and the service is not ready. Repeated calls do not restart the clock. */
  unready(): void {
    if (this.#failing || this.#timer.running) return;
    this.#timer.start(this.#options.timeoutMs);
    this.#options.onPoll?.("pending");
  }

  ready(): void {
    if (this.#timer.running) {
      this.#timer.stop();
      this.#options.onPoll?.("ready");
    } else if (this.#failing) {
      this.#failing = false;
      this.#options.onPoll?.("ready");
      this.#options.onChange(false);
    }
  }

  /** No more callbacks. */
  close(): void {
    this.#timer.stop();
  }

  onTimer(): void {
    this.#failing = true;
    this.#options.onPoll?.("error");
    this.#options.onChange(true);
  }
}
