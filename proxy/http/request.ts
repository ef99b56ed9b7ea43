// What the server side of the proxy works out of a request head, once per head that repeats: the head to pass on, how to
// answer errors, what kind of client carries it (spec proxy §3.6, §3.7, §4.4). Pure.
import {
  downgradeRequest,
  type Fields,
  isClassifiedAsGrpc,
  isGrpc,
  type RequestHead,
  stripHopByHop,
  wantsUpgrade,
  withField,
  withoutField,
} from "#http";
import type { ErrorStyle } from "./respond.ts";

/** Lives in `Head.derived`; belongs to one context (the stack that worked it out) and is void for any other. */
export class DerivedRequest {
  readonly context: object;
  /** Without hop-by-hop and consumed `l5d-*` fields; its version is the one the application speaks. */
  readonly head: RequestHead;
  readonly style: ErrorStyle;
  /** An HTTP/1 request that came on HTTP/2 from an `l5d-orig-proto` peer. */
  readonly downgraded: boolean;
  /** Why it cannot be passed on as HTTP/1 (smuggling): a stream error. Null when it can. */
  readonly malformed: string | null;
  /** A WebSocket or other upgrade, or CONNECT: wants a connection of its own. */
  readonly upgrade: boolean;
  /** HTTP/1 connections are shared by requests of one authority; null: HTTP/1.0, without Host, or an upgrade are never on a pooled one. */
  readonly poolKey: string | null;
  /** Value of `l5d-require-id`, a valid name; null without. */
  readonly requireId: string | null;
  /** May be repeated when a connection ends without a response (RFC 9110 §9.2.2). */
  readonly idempotent: boolean;
  /** Classified by `grpc-status` alone (spec proxy §12). */
  readonly grpcClassified: boolean;
  /** What the stack above remembers: its target, route, permit … */
  memo: unknown = null;

  constructor(init: Omit<DerivedRequest, "memo">) {
    this.context = init.context;
    this.head = init.head;
    this.style = init.style;
    this.downgraded = init.downgraded;
    this.malformed = init.malformed;
    this.upgrade = init.upgrade;
    this.poolKey = init.poolKey;
    this.requireId = init.requireId;
    this.idempotent = init.idempotent;
    this.grpcClassified = init.grpcClassified;
  }
}

/** RFC 9110 §9.2.2. */
const IDEMPOTENT: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"]);

export type DeriveOptions = {
  readonly context: object;
  /** Informational headers on errors are shown to this client. */
  readonly informational: boolean;
  /** Undo `l5d-orig-proto` (inbound). */
  readonly downgrade: boolean;
  /** Set as `l5d-client-id`; null removes the field; undefined leaves it alone (outbound). */
  readonly clientId?: string | null;
  /** Read and remove `l5d-require-id`: gives the name in it, null when it is none (outbound). */
  readonly requireId?: (value: string) => string | null;
  /** Set (a value) or leave alone (undefined) `l5d-dst-canonical`. */
  readonly dstCanonical?: string;
};

export function deriveRequest(received: RequestHead, options: DeriveOptions): DerivedRequest {
  const http2 = received.version === "HTTP/2";
  let head = received;
  let downgraded = false;
  let malformed: string | null = null;
  if (http2 && options.downgrade) {
    const result = downgradeRequest(received);
    if (result.kind === "malformed") malformed = result.message;
    else if (result.kind !== "native") head = result.head;
    downgraded = result.kind === "downgraded";
  }
  const upgrade = !http2 && wantsUpgrade(head);
  let fields: Fields = http2 || upgrade ? head.fields : stripHopByHop(head.fields);
  let requireId: string | null = null;
  if (options.requireId !== undefined) {
    const value = head.get("l5d-require-id");
    if (value !== undefined) {
      fields = withoutField(fields, "l5d-require-id");
      requireId = options.requireId(value);
    }
  }
  if (options.clientId !== undefined)
    fields = options.clientId === null ? withoutField(fields, "l5d-client-id") : withField(fields, "l5d-client-id", options.clientId);
  if (options.dstCanonical !== undefined) fields = withField(fields, "l5d-dst-canonical", options.dstCanonical);
  const authority = head.authority ?? head.get("host") ?? "";
  return new DerivedRequest({
    context: options.context,
    head: fields === head.fields ? head : head.with({ fields }),
    style: { version: received.version, grpc: isGrpc(received), informational: options.informational },
    downgraded,
    malformed,
    upgrade,
    poolKey: upgrade || head.version === "HTTP/1.0" || authority === "" ? null : authority,
    requireId,
    idempotent: IDEMPOTENT.has(head.method),
    grpcClassified: isClassifiedAsGrpc(head),
  });
}

/** What a derived request remembers of where it was sent. */
class Redirected {
  readonly key: unknown;
  readonly request: DerivedRequest;

  constructor(key: unknown, request: DerivedRequest) {
    this.key = key;
    this.request = request;
  }
}

/** The request with another head; made once as long as `key` stays the same. Takes the request's memo. */
export function redirect(request: DerivedRequest, key: unknown, change: (head: RequestHead) => RequestHead): DerivedRequest {
  const { memo } = request;
  if (memo instanceof Redirected && memo.key === key) return memo.request;
  const made = new DerivedRequest({ ...request, head: change(request.head) });
  request.memo = new Redirected(key, made);
  return made;
}
