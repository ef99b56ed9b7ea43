// Makes protocol engines with what the engines of a process share: caches of heads, output buffers, the date, HTTP/2 windows.
import { SensitiveNames } from "#hpack";
import { type ClientEngine, type EngineHost, OutputPool, type RequestHandler, type ServerEngine } from "#http";
import { Http1Client, Http1Server, HttpDate, requestHeadCache, responseHeadCache } from "#http1";
import { Http2Client, type Http2Options, Http2Server } from "#http2";

export type HttpEngines = {
  readonly requests: ReturnType<typeof requestHeadCache>;
  readonly responses: ReturnType<typeof responseHeadCache>;
  readonly date: HttpDate;
  readonly pool: OutputPool;
  readonly http2: Http2Options;
  /** How long a client may take for a request head it has begun, ms: a connection that drips bytes is not kept (slow loris). */
  readonly headTimeoutMs: number;
};

/** Generous to slow links, finite for attackers. */
export const HEAD_TIMEOUT_MS = 30_000;

export type HttpEnginesOptions = {
  /** `LINKERD2_PROXY_HTTP2_INITIAL_STREAM_WINDOW_SIZE`, bytes. */
  readonly streamWindow: number;
  /** `LINKERD2_PROXY_HTTP2_INITIAL_CONNECTION_WINDOW_SIZE`, bytes. */
  readonly connectionWindow: number;
  /** Monotonic ms. */
  readonly now: () => number;
  /** Milliseconds since the epoch. */
  readonly wallMs: () => number;
  /** Default {@link HEAD_TIMEOUT_MS}. */
  readonly headTimeoutMs?: number;
};

export function createEngines(options: HttpEnginesOptions): HttpEngines {
  const pool = new OutputPool();
  return {
    requests: requestHeadCache(),
    responses: responseHeadCache(),
    date: new HttpDate({ now: options.wallMs }),
    headTimeoutMs: options.headTimeoutMs ?? HEAD_TIMEOUT_MS,
    pool,
    http2: {
      pool,
      initialStreamWindow: options.streamWindow,
      initialConnectionWindow: options.connectionWindow,
      sensitive: new SensitiveNames(),
      now: options.now,
    },
  };
}

export function createServerEngine(
  engines: HttpEngines,
  version: "http1" | "http2",
  handler: RequestHandler,
  host: EngineHost,
): ServerEngine {
  if (version === "http1") return new Http1Server({ handler, host, pool: engines.pool, cache: engines.requests, date: engines.date });
  return new Http2Server({ handler, host, options: engines.http2 });
}

export function createHttp1Client(engines: HttpEngines, host: EngineHost): Http1Client {
  return new Http1Client({ host, pool: engines.pool, cache: engines.responses });
}

export function createHttp2Client(engines: HttpEngines, host: EngineHost): ClientEngine {
  return new Http2Client({ host, options: engines.http2 });
}
