// Sends spans to the collector: one stream for as long as it lasts, spans in batches, a small queue while there is no stream
// (spec proxy §11).
import { type Channel, Code, encode, type OpenCall, openCall, type Plain, type Status } from "#grpc";
import { type Backoff, backoffMs } from "#stack";
import { type ExportTraceServiceRequest, exportSpans, type Node, type Span } from "./api.ts";

/** Spans of one message. */
export const MAX_BATCH_SPANS = 1000;
/** A batch goes out when it is this old, ms. */
export const MAX_BATCH_AGE_MS = 10_000;
/** Spans that wait while nothing can be sent; more are dropped. */
export const MAX_QUEUED_SPANS = 100;

/** `opencensus_span_export_*`. */
export type ExportCounts = { streams: number; requests: number; spans: number };

export type SpanExporterOptions = {
  /** Gives a connection to the collector, later. Returns a function that gives up. */
  readonly acquire: (use: (channel: Channel) => void) => () => void;
  readonly node: Node;
  readonly backoff: Backoff;
  readonly random: () => number;
  readonly schedule: (run: () => void, ms: number) => () => void;
  readonly onProblem: (message: string) => void;
};

/**
 * idle ──first span──► connecting ──► streaming ──stream ended──► backoff ──► connecting. While streaming, spans go to the
 * batch; else, and while the last batch has not been passed on, to the queue.
 */
export class SpanExporter {
  readonly counts: ExportCounts = { streams: 0, requests: 0, spans: 0 };
  readonly #options: SpanExporterOptions;
  #queue: Span[] = [];
  #batch: Span[] = [];
  #call: OpenCall | null = null;
  /** The stream has been told who we are. */
  #introduced = false;
  #failures = 0;
  #connecting = false;
  #giveUp: (() => void) | null = null;
  #stopTimer: (() => void) | null = null;
  #closed = false;
  #sending = false;
  /** Spans that found no room. */
  dropped = 0;

  constructor(options: SpanExporterOptions) {
    this.#options = options;
  }

  /** Takes a span, or drops it when the queue is full. */
  add(span: Span): void {
    if (this.#closed) return;
    if (this.#ready) this.#collect(span);
    else if (this.#queue.length < MAX_QUEUED_SPANS) this.#queue.push(span);
    else this.dropped++;
    this.#connect();
  }

  /** Sends what there is and ends the stream. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#stopTimer?.();
    this.#giveUp?.();
    for (const span of this.#queue.splice(0)) this.#batch.push(span);
    if (this.#batch.length > 0) this.#send();
    this.#call?.finish();
    this.#call = null;
  }

  /** There is a stream, and it has taken everything so far. */
  get #ready(): boolean {
    return this.#call !== null && this.#call.pending === 0;
  }

  #connect(): void {
    if (this.#call !== null || this.#connecting || this.#closed) return;
    this.#connecting = true;
    this.#giveUp = this.#options.acquire((channel) => {
      this.#giveUp = null;
      this.#connecting = false;
      this.counts.streams++;
      this.#introduced = false;
      this.#call = openCall({
        ...channel,
        path: exportSpans.path,
        handler: {
          message: () => {
            this.#failures = 0;
          },
          end: (status) => this.#ended(status),
          room: () => this.#room(),
        },
      });
      this.#room();
    });
  }

  #ended(status: Status): void {
    this.#call = null;
    if (this.#closed) return;
    if (status.code !== Code.OK) this.#options.onProblem(status.message);
    this.#failures++;
    this.#connecting = true;
    this.#giveUp = this.#options.schedule(
      () => {
        this.#giveUp = null;
        this.#connecting = false;
        if (this.#queue.length > 0 || this.#batch.length > 0) this.#connect();
      },
      backoffMs(this.#options.backoff, this.#failures, this.#options.random),
    );
  }

  /** What waited can go. */
  #room(): void {
    if (this.#sending) return;
    while (this.#ready && this.#queue.length > 0) this.#collect(this.#queue.shift() as Span);
    if (this.#ready && this.#batch.length >= MAX_BATCH_SPANS) this.#send();
  }

  #collect(span: Span): void {
    this.#batch.push(span);
    if (this.#batch.length >= MAX_BATCH_SPANS) this.#send();
    else this.#stopTimer ??= this.#options.schedule(() => this.#due(), MAX_BATCH_AGE_MS);
  }

  #due(): void {
    this.#stopTimer = null;
    if (this.#ready) this.#send();
    else if (!this.#closed && this.#batch.length > 0) this.#stopTimer = this.#options.schedule(() => this.#due(), MAX_BATCH_AGE_MS);
  }

  #send(): void {
    const call = this.#call;
    if (call === null) return;
    this.#stopTimer?.();
    this.#stopTimer = null;
    const spans = this.#batch;
    this.#batch = [];
    this.counts.requests++;
    this.counts.spans += spans.length;
    const request: ExportTraceServiceRequest = { node: this.#introduced ? undefined : this.#options.node, spans };
    this.#introduced = true;
    // Passing it on may ask for more at once; that waits until this is done.
    this.#sending = true;
    call.send(encode(exportSpans.request, request as unknown as Partial<Plain<ExportTraceServiceRequest>>));
    this.#sending = false;
  }
}
