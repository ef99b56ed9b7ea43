// Follows one response for the metrics: time to first byte, status, success or failure (spec proxy §9.3, §12).
import type { Fields } from "#http";
import { grpcStatusOf } from "./response.ts";

/** Counters of one scope (endpoint, route …). Every call is an addition to a counter found before. */
export interface ResponseScope {
  request(): void;
  /** Time to first byte. */
  latency(status: number, ms: number): void;
  /**
   * A response is over. `status` 0: there was none. `grpcStatus` -1: it decided nothing. `error`: label of a stream failure
   * (`timeout`, `unclassified`, `h2(REASON)`), null without.
   */
  response(status: number, success: boolean, grpcStatus: number, error: string | null): void;
  /** Its stack is gone: the series may expire. What is still in progress counts all the same. */
  release(): void;
}

/** Response classes of a route (spec proxy §5.2): true success, false failure, null no class matches. */
export type ResponseClasses = { classify(status: number): boolean | null };

// Codes 2, 4, 7, 13, 14, 15 and unknown ones are failures (spec proxy §12).
const GRPC_SUCCESS = new Set([0, 1, 3, 5, 6, 8, 9, 10, 11, 12, 16]);
export function grpcSucceeded(status: number): boolean {
  return GRPC_SUCCESS.has(status);
}

const UNDECIDED = 0;
const SUCCESS = 1;
const FAILURE = 2;

/**
 * waiting ──head()──► head seen ──firstByte()──► body ──end()──► over. `fail()` ends it from any state, `drop()` too
 * (classified without trailers).
 */
export class Meter {
  readonly scope: ResponseScope;
  readonly #classes: ResponseClasses | null;
  readonly #grpc: boolean;
  readonly #startMs: number;
  #status = 0;
  #verdict = UNDECIDED;
  #grpcStatus = -1;
  #timed = false;
  #over = false;

  constructor(scope: ResponseScope, nowMs: number, grpc: boolean, classes: ResponseClasses | null) {
    this.scope = scope;
    this.#startMs = nowMs;
    this.#grpc = grpc;
    this.#classes = classes;
    scope.request();
  }

  get status(): number {
    return this.#status;
  }

  /** Decided a failure by the head alone: what a retry looks at. */
  get failedByHead(): boolean {
    return this.#verdict === FAILURE;
  }

  head(status: number, grpcStatus: number): void {
    this.#status = status;
    const byClass = this.#classes === null ? null : this.#classes.classify(status);
    if (byClass !== null) this.#verdict = byClass ? SUCCESS : FAILURE;
    else if (grpcStatus >= 0) this.#byGrpc(grpcStatus);
    else if (!this.#grpc && status >= 500) this.#verdict = FAILURE;
  }

  /** The first frame of the body, or the end when there is none. Returns the latency the first time, else -1. */
  firstByte(nowMs: number): number {
    if (this.#timed) return -1;
    this.#timed = true;
    const ms = nowMs - this.#startMs;
    this.scope.latency(this.#status, ms);
    return ms;
  }

  end(trailers: Fields | null): void {
    if (this.#over) return;
    this.#over = true;
    if (this.#verdict === UNDECIDED && trailers !== null) {
      const grpcStatus = grpcStatusOf(trailers);
      if (grpcStatus >= 0) this.#byGrpc(grpcStatus);
    }
    if (this.#verdict === UNDECIDED) {
      this.#verdict = SUCCESS;
      if (this.#grpc) this.#grpcStatus = 0;
    }
    this.scope.response(this.#status, this.#verdict === SUCCESS, this.#grpcStatus, null);
  }

  fail(error: string): void {
    if (this.#over) return;
    this.#over = true;
    this.scope.response(this.#status, false, -1, error);
  }

  /** Nobody waits for the response any more and there was none: it counts nowhere. */
  cancel(): void {
    this.#over = true;
  }

  #byGrpc(status: number): void {
    // Numbers that no code has count as UNKNOWN.
    this.#grpcStatus = status <= 16 ? status : 2;
    this.#verdict = grpcSucceeded(this.#grpcStatus) ? SUCCESS : FAILURE;
  }
}
