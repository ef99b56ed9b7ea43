// Requests and their responses: three families, and the scope through which one stack counts in them (spec proxy §9.3 to §9.5).
import {
  type Counter,
  CounterFamily,
  formatLabels,
  type Histogram,
  HistogramFamily,
  joinLabels,
  LATENCY_BOUNDS_MS,
  type Registry,
} from "#metrics";
import type { ResponseScope } from "../http/meter.ts";
import { StackHolder } from "./holder.ts";

/** Three families that belong together: requests, their latency (absent per attempt), their responses. */
export class ResponseFamilies {
  readonly requests: CounterFamily;
  readonly latency: HistogramFamily | null;
  readonly responses: CounterFamily;

  constructor(prefix: string, what: string, retention: number, { latency = true } = {}) {
    const options = { retention };
    this.requests = new CounterFamily({ name: `${prefix}request_total`, help: `Total count of ${what} requests.`, ...options });
    this.latency = latency
      ? new HistogramFamily({
          name: `${prefix}response_latency_ms`,
          help: `Elapsed times between a request's headers being received and its response stream completing`,
          bounds: LATENCY_BOUNDS_MS,
          ...options,
        })
      : null;
    this.responses = new CounterFamily({ name: `${prefix}response_total`, help: `Total count of ${what} responses.`, ...options });
  }

  group(registry: Registry): void {
    registry.group(this.requests, ...(this.latency ? [this.latency] : []), this.responses);
  }

  scope(labels: string): ResponseScope {
    return new Scope(this, labels);
  }
}

const FIRST_STATUS = 100;
const STATUSES = 500;

class Scope implements ResponseScope {
  readonly #families: ResponseFamilies;
  readonly #labels: string;
  /** Series appear with their first use (spec proxy §9.1), and stay while this scope is in use. */
  readonly #holder = new StackHolder();
  #requests: Counter | null = null;
  /** By status − 100; the last place is for no status. */
  readonly #latencies: (Histogram | undefined)[] = [];
  /** Successes and failures by status − 100, without gRPC status and error: what nearly every response is. */
  readonly #plain: (Counter | undefined)[] = [];
  /** The rest, by `status success grpcStatus error`. */
  readonly #others = new Map<string, Counter>();

  constructor(families: ResponseFamilies, labels: string) {
    this.#families = families;
    this.#labels = labels;
  }

  request(): void {
    this.#requests ??= this.#families.requests.get(this.#labels, this.#holder);
    this.#requests.add();
  }

  latency(status: number, ms: number): void {
    const at = place(status);
    let histogram = this.#latencies[at];
    if (histogram === undefined) {
      if (this.#families.latency === null) return;
      histogram = this.#families.latency.get(joinLabels(this.#labels, statusLabel(status)), this.#holder);
      this.#latencies[at] = histogram;
    }
    // Without a response there was no latency; the series exists all the same (spec proxy §9.1).
    if (status !== 0) histogram.observe(ms);
  }

  response(status: number, success: boolean, grpcStatus: number, error: string | null): void {
    if (status === 0) this.latency(0, 0);
    if (grpcStatus < 0 && error === null) {
      const at = place(status) * 2 + (success ? 0 : 1);
      let counter = this.#plain[at];
      if (counter === undefined) {
        counter = this.#find(status, success, grpcStatus, error);
        this.#plain[at] = counter;
      }
      counter.add();
      return;
    }
    const key = `${status} ${success} ${grpcStatus} ${error}`;
    let counter = this.#others.get(key);
    if (counter === undefined) {
      counter = this.#find(status, success, grpcStatus, error);
      this.#others.set(key, counter);
    }
    counter.add();
  }

  release(): void {
    this.#holder.held = false;
    // Found anew by what is still in progress: they may have expired by then.
    this.#requests = null;
    this.#latencies.length = 0;
    this.#plain.length = 0;
    this.#others.clear();
  }

  #find(status: number, success: boolean, grpcStatus: number, error: string | null): Counter {
    const outcome: [string, string][] = [["classification", success ? "success" : "failure"]];
    if (grpcStatus >= 0) outcome.push(["grpc_status", String(grpcStatus)]);
    if (error !== null) outcome.push(["error", error]);
    return this.#families.responses.get(joinLabels(this.#labels, statusLabel(status), formatLabels(outcome)), this.#holder);
  }
}

const place = (status: number): number => (status >= FIRST_STATUS && status < FIRST_STATUS + STATUSES ? status - FIRST_STATUS : STATUSES);
const statusLabel = (status: number): string => (status === 0 ? "" : `status_code="${status}"`);
