// HTTP/2, RFC 9113, as engines of #http: bytes and calls in, bytes and callbacks out. Contract of #http2.
//
//     const server = new Http2Server({ host, handler, options });        host: EngineHost, handler: RequestHandler
//     const client = new Http2Client({ host, options });                 client.request(head, end, incoming)
//
// Both have something to say at once: they call `host.scheduleFlush()` from within the constructor, so `output` is to be
// asked at the end of the turn, not within that call. `server.receive` wants the client's preface; `client.output` begins
// with it. Callbacks must not throw.
export { Http2Client, type Http2ClientInit } from "./client.ts";
export { CONNECTION_PREFACE } from "./frames/header.ts";
export {
  DEFAULT_CONNECTION_WINDOW,
  DEFAULT_LIMITS,
  DEFAULT_MAX_CONCURRENT_STREAMS,
  DEFAULT_STREAM_WINDOW,
  type Http2Limits,
  type Http2Options,
} from "./options.ts";
export { Http2Server, type Http2ServerInit } from "./server.ts";
