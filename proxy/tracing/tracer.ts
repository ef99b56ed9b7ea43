// Spans of what passes the proxy: one where a request comes in, one where it goes out (spec proxy §11). Both give it a new span
// id in the format it came with; a request without a trace context is left as it is.
import type { Fields, Incoming, RequestHead, ResponseHead, ServerStream } from "#http";
import { isSampled, readTraceContext, SPAN_ID_BYTES, TRACE_ID_BYTES, type TraceContext, writeTraceContext } from "#trace-context";
import type { RequestTracer } from "../http/observe.ts";
import type { AttemptWatcher } from "../http/observed-attempt.ts";
import { type Span, SpanKind, timestampOf } from "./api.ts";

type Direction = "inbound" | "outbound";

export type TracerOptions = {
  /** Takes a finished span. */
  readonly sink: (span: Span) => void;
  /** Milliseconds since the epoch, with fractions. */
  readonly wallMs: () => number;
  /** Fills and returns the bytes. */
  readonly random: (bytes: Uint8Array) => Uint8Array;
};

export class Tracer {
  readonly inbound: RequestTracer;
  readonly outbound: RequestTracer;
  readonly #options: TracerOptions;

  constructor(options: TracerOptions) {
    this.#options = options;
    const side = (direction: Direction): RequestTracer => ({ begin: (stream, head) => this.#server(direction, stream, head) });
    this.inbound = side("inbound");
    this.outbound = side("outbound");
  }

  /** For a request on its way to an endpoint; null: it carries no trace context. `watcher` null: it is not sampled. */
  client(direction: Direction, head: RequestHead): { readonly head: RequestHead; readonly watcher: AttemptWatcher | null } | null {
    const begun = this.#begin(direction, SpanKind.CLIENT, head);
    if (begun === null) return null;
    return { head: begun.head, watcher: begun.span === null ? null : new ClientSpan(begun.span) };
  }

  #server(direction: Direction, stream: ServerStream, head: RequestHead): ReturnType<RequestTracer["begin"]> {
    const begun = this.#begin(direction, SpanKind.SERVER, head);
    if (begun === null) return null;
    return { head: begun.head, stream: begun.span === null ? stream : new TracedStream(stream, begun.span) };
  }

  #begin(direction: Direction, kind: number, head: RequestHead): { readonly head: RequestHead; readonly span: OpenSpan | null } | null {
    const context = readTraceContext(head.fields);
    if (context === null) return null;
    const { sink, wallMs, random } = this.#options;
    const spanId = random(new Uint8Array(SPAN_ID_BYTES));
    const sent = head.with({ fields: writeTraceContext(head.fields, context, spanId) });
    const whole = context.traceId.length === TRACE_ID_BYTES && context.spanId.length === SPAN_ID_BYTES;
    const span = isSampled(context) && whole ? new OpenSpan({ direction, kind, context, spanId, head, sink, wallMs }) : null;
    return { head: sent, span };
  }
}

type OpenSpanInit = {
  readonly direction: Direction;
  readonly kind: number;
  readonly context: TraceContext;
  readonly spanId: Uint8Array;
  readonly head: RequestHead;
  readonly sink: (span: Span) => void;
  readonly wallMs: () => number;
};

/** A span until the response's headers are there. */
class OpenSpan {
  readonly #init: OpenSpanInit;
  readonly #startMs: number;
  #over = false;

  constructor(init: OpenSpanInit) {
    this.#init = init;
    this.#startMs = init.wallMs();
  }

  response(status: number): void {
    if (this.#over) return;
    this.#over = true;
    const { direction, kind, context, spanId, head, sink, wallMs } = this.#init;
    const query = head.path.indexOf("?");
    const attributes: [string, string | null | undefined][] = [
      ["direction", direction],
      ["http.method", head.method],
      ["http.path", head.path],
      ["http.authority", head.authority ?? (kind === SpanKind.CLIENT ? head.get("host") : null)],
      ["http.host", head.get("host")],
      ["http.status_code", String(status)],
    ];
    sink({
      traceId: context.traceId,
      spanId,
      parentSpanId: context.spanId,
      name: { value: query < 0 ? head.path : head.path.slice(0, query) },
      kind,
      startTime: timestampOf(this.#startMs),
      endTime: timestampOf(wallMs()),
      attributes: {
        attributeMap: attributes.flatMap(([key, value]) => (value == null ? [] : [{ key, value: { stringValue: { value } } }])),
      },
    });
  }
}

class ClientSpan implements AttemptWatcher {
  readonly #span: OpenSpan;

  constructor(span: OpenSpan) {
    this.#span = span;
  }

  response(head: ResponseHead): void {
    this.#span.response(head.status);
  }

  data(): void {}
  end(): void {}
  fail(): void {}
  dropped(): void {}
}

/** The client's stream; the span ends with the response's head, whoever made it. */
class TracedStream implements ServerStream {
  readonly #stream: ServerStream;
  readonly #span: OpenSpan;

  constructor(stream: ServerStream, span: OpenSpan) {
    this.#stream = stream;
    this.#span = span;
  }

  get incoming(): Incoming {
    return this.#stream.incoming;
  }

  set incoming(incoming: Incoming) {
    this.#stream.incoming = incoming;
  }

  informational(head: ResponseHead): void {
    this.#stream.informational(head);
  }

  respond(head: ResponseHead, end: boolean): void {
    this.#span.response(head.status);
    this.#stream.respond(head, end);
  }

  write(chunk: Uint8Array, end: boolean): void {
    this.#stream.write(chunk, end);
  }

  trailers(fields: Fields): void {
    this.#stream.trailers(fields);
  }

  reset(code: number): void {
    this.#stream.reset(code);
  }

  consume(bytes: number): void {
    this.#stream.consume(bytes);
  }
}
