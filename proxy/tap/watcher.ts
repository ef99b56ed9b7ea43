// The events of one tapped request: request_init, response_init, response_end (spec proxy §10).

import { parseIpv4, parseIpv6, type SocketAddr } from "#addr";
import type { TapEvent, TapEvent_Http } from "#api/tap_pb";
import { encode, type Plain } from "#grpc";
import type { Fields, RequestHead, ResponseHead } from "#http";
import { escapeControl } from "#log";
import { METHODS, SCHEMES, type TapRequest, tapEvent } from "#tap";
import type { ObservedEndpoint } from "../http/observe.ts";
import type { AttemptWatcher } from "../http/observed-attempt.ts";
import { grpcStatusOf } from "../http/response.ts";
import type { ClientTls, Labels, ServerTls } from "../telemetry.ts";
import type { Subscription } from "./subscription.ts";

type Event = Plain<TapEvent>;
type Context = Omit<Partial<Event>, "event">;
type HttpEvent = Exclude<Plain<TapEvent_Http>["event"], { case: undefined }>;
type Headers = NonNullable<Extract<HttpEvent, { case: "requestInit" }>["value"]["headers"]>;

const DIRECTIONS = { inbound: 1, outbound: 2 } as const;

/** What is the same in every event of a request. */
export function contextOf(request: TapRequest, observed: ObservedEndpoint): Context {
  return {
    ...(request.source === null ? {} : { source: tcpAddress(request.source) }),
    destination: tcpAddress(request.destination),
    sourceMeta: { labels: record(sourceTls(observed.clientTls)) },
    destinationMeta: { labels: record([...request.destinationLabels, ...destinationTls(observed.tls)]) },
    routeMeta: { labels: record(request.routeLabels) },
    proxyDirection: DIRECTIONS[observed.direction],
  };
}

export type TapWatcherInit = {
  readonly subscription: Subscription;
  /** Number of the request within the call. */
  readonly stream: number;
  readonly context: Context;
  /** Monotonic ms. */
  readonly now: () => number;
};

export class TapWatcher implements AttemptWatcher {
  readonly #subscription: Subscription;
  readonly #stream: bigint;
  readonly #context: Context;
  readonly #now: () => number;
  readonly #startMs: number;
  #responseMs: number | null = null;
  #bytes = 0n;
  /** Of the response's head: decides when there are no trailers. */
  #grpcStatus = -1;

  constructor(init: TapWatcherInit) {
    this.#subscription = init.subscription;
    this.#stream = BigInt(init.stream);
    this.#context = init.context;
    this.#now = init.now;
    this.#startMs = init.now();
  }

  /** @returns false when the event found no room: the request is not tapped */
  begin(request: TapRequest, head: RequestHead): boolean {
    return this.#offer({
      case: "requestInit",
      value: {
        id: this.#id,
        method: method(request.method),
        scheme: scheme(request.scheme),
        authority: escapeControl(request.authority),
        path: escapeControl(request.path),
        ...(this.#subscription.headers ? { headers: headers(requestPseudoFields(request, head), head.fields) } : {}),
      },
    });
  }

  response(head: ResponseHead): void {
    this.#responseMs = this.#now();
    this.#grpcStatus = grpcStatusOf(head.fields);
    this.#offer({
      case: "responseInit",
      value: {
        id: this.#id,
        sinceRequestInit: duration(this.#responseMs - this.#startMs),
        httpStatus: head.status,
        ...(this.#subscription.headers
          ? { headers: headers(head.version === "HTTP/2" ? [":status", String(head.status)] : [], head.fields) }
          : {}),
      },
    });
  }

  data(bytes: number): void {
    this.#bytes += BigInt(bytes);
  }

  end(trailers: Fields | null): void {
    const status = trailers === null ? this.#grpcStatus : grpcStatusOf(trailers);
    this.#end(status < 0 ? null : { end: { case: "grpcStatusCode", value: status } }, trailers);
  }

  fail(code: number | null): void {
    this.#end(code === null ? null : { end: { case: "resetErrorCode", value: code } }, null);
  }

  dropped(): void {
    this.#subscription.release();
  }

  #end(eos: Extract<HttpEvent, { case: "responseEnd" }>["value"]["eos"] | null, trailers: Fields | null): void {
    const now = this.#now();
    this.#offer({
      case: "responseEnd",
      value: {
        id: this.#id,
        sinceRequestInit: duration(now - this.#startMs),
        responseBytes: this.#bytes,
        ...(this.#responseMs === null ? {} : { sinceResponseInit: duration(now - this.#responseMs) }),
        ...(eos ? { eos } : {}),
        ...(this.#subscription.headers && trailers !== null ? { trailers: headers([], trailers) } : {}),
      },
    });
    this.#subscription.release();
  }

  get #id(): { base: number; stream: bigint } {
    return { base: this.#subscription.base, stream: this.#stream };
  }

  #offer(event: HttpEvent): boolean {
    return this.#subscription.offer(encode(tapEvent, { ...this.#context, event: { case: "http", value: { event } } }));
  }
}

function requestPseudoFields(request: TapRequest, head: RequestHead): string[] {
  if (head.version !== "HTTP/2") return [];
  return [":method", head.method, ":scheme", request.scheme, ":authority", request.authority, ":path", head.path];
}

/** Names are tokens; values go as they are: they are bytes for the reader to show. */
function headers(pseudo: Fields, fields: Fields): Headers {
  const all = [...pseudo, ...fields];
  const out: Headers["headers"] = [];
  for (let i = 0; i < all.length; i += 2)
    out.push({ name: all[i] as string, value: new Uint8Array(Buffer.from(all[i + 1] as string, "latin1")) });
  return { headers: out };
}

function method(name: string): NonNullable<Extract<HttpEvent, { case: "requestInit" }>["value"]["method"]> {
  const registered = METHODS.indexOf(name);
  return { type: registered < 0 ? { case: "unregistered", value: name } : { case: "registered", value: registered } };
}

function scheme(name: string): NonNullable<Extract<HttpEvent, { case: "requestInit" }>["value"]["scheme"]> {
  const registered = SCHEMES.indexOf(name);
  return { type: registered < 0 ? { case: "unregistered", value: escapeControl(name) } : { case: "registered", value: registered } };
}

function duration(ms: number): { seconds: bigint; nanos: number } {
  const seconds = Math.floor(ms / 1000);
  return { seconds: BigInt(seconds), nanos: Math.max(0, Math.round((ms - seconds * 1000) * 1e6)) };
}

function tcpAddress({ ip, port }: SocketAddr): NonNullable<Event["source"]> {
  const v4 = parseIpv4(ip);
  if (v4 !== null) return { ip: { ip: { case: "ipv4", value: v4 } }, port };
  const parts = parseIpv6(ip) ?? new Array<number>(8).fill(0);
  const half = (from: number): bigint => parts.slice(from, from + 4).reduce((value, hextet) => (value << 16n) | BigInt(hextet), 0n);
  return { ip: { ip: { case: "ipv6", value: { first: half(0), last: half(4) } } }, port };
}

function sourceTls(tls: ServerTls): Labels {
  switch (tls.kind) {
    case "disabled":
      return [["tls", "disabled"]];
    case "none":
      return [["tls", tls.reason]];
    case "established":
      return tls.clientId === null
        ? [["tls", "true"]]
        : [
            ["tls", "true"],
            ["client_id", tls.clientId],
          ];
    case "opaque":
      return [
        ["tls", "passthru"],
        ["sni", tls.sni],
      ];
    default:
      return tls satisfies never;
  }
}

function destinationTls(tls: ClientTls): Labels {
  switch (tls.kind) {
    case "disabled":
      return [["tls", "disabled"]];
    case "none":
      return [["tls", tls.reason]];
    case "established":
      return [
        ["tls", "true"],
        ["server_id", tls.serverId],
      ];
    default:
      return tls satisfies never;
  }
}

function record(labels: Labels): Record<string, string> {
  return Object.fromEntries(labels.map(([key, value]) => [key, escapeControl(value)]));
}
