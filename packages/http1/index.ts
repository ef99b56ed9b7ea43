// HTTP/1.0 and 1.1 on the wire (RFC 9110, 9112) as pure engines: bytes and calls in, bytes and callbacks out. Stricter than
// any peer: what two parsers could read differently is refused (spec hardening §2). Contract of #http1.
import { HeadCache, type HeadCacheOptions } from "./head-cache.ts";
import type { ParsedRequest } from "./request-head.ts";
import type { ParsedResponse } from "./response-head.ts";

export { Http1Client, type Http1ClientOptions } from "./client.ts";
export { HeadCache, type HeadCacheOptions } from "./head-cache.ts";
export { HttpDate } from "./http-date.ts";
export * from "./limits.ts";
export type { ParsedRequest } from "./request-head.ts";
export type { ParsedResponse } from "./response-head.ts";
export { Http1Server, type Http1ServerOptions, type TakenOver } from "./server.ts";

/** The cache all server engines of a process share. */
export function requestHeadCache(options?: HeadCacheOptions): HeadCache<ParsedRequest> {
  return new HeadCache(options);
}

/** The cache all client engines of a process share. */
export function responseHeadCache(options?: HeadCacheOptions): HeadCache<ParsedResponse> {
  return new HeadCache(options);
}
