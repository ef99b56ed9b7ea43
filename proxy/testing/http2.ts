// HTTP/2 clients and servers of tests that nobody here wrote: node's.
import http2, { type ClientHttp2Session, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";

export type Answer = {
  readonly headers: IncomingHttpHeaders & { readonly ":status"?: number };
  readonly body: string;
  readonly trailers: IncomingHttpHeaders;
  /** RST_STREAM code, 0 for none. */
  readonly rst: number;
};

/** A client on loopback; `socket` for TLS made by the test. */
export function http2Client(port: number, socket?: Socket): ClientHttp2Session {
  const session = http2.connect(`http://127.0.0.1:${port}`, socket === undefined ? {} : { createConnection: () => socket });
  session.on("error", () => {});
  return session;
}

export function http2Request(
  session: ClientHttp2Session,
  headers: Record<string, string>,
  options: { body?: string; trailers?: Record<string, string> } = {},
): Promise<Answer> {
  const { promise, resolve } = Promise.withResolvers<Answer>();
  const stream = session.request(
    { ":method": "GET", ":path": "/", ":authority": "web.ns", ":scheme": "http", ...headers },
    { endStream: options.body === undefined && options.trailers === undefined, waitForTrailers: options.trailers !== undefined },
  );
  let head: Answer["headers"] = {};
  let trailers: IncomingHttpHeaders = {};
  let body = "";
  stream.on("response", (fields) => {
    head = fields as Answer["headers"];
  });
  stream.on("trailers", (fields) => {
    trailers = fields;
  });
  stream.on("data", (chunk: Buffer) => {
    body += chunk.toString("latin1");
  });
  stream.on("wantTrailers", () => stream.sendTrailers(options.trailers ?? {}));
  stream.on("error", () => {});
  stream.on("close", () => resolve({ headers: head, body, trailers, rst: stream.rstCode ?? 0 }));
  if (options.body !== undefined || options.trailers !== undefined) stream.end(options.body ?? "");
  else stream.resume();
  return promise;
}

export type Http2App = { readonly port: number; readonly sessions: number; stop(): void };

/** A server without TLS. */
export async function http2App(onStream: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void): Promise<Http2App> {
  let sessions = 0;
  const server = http2.createServer();
  const open = new Set<http2.ServerHttp2Session>();
  server.on("session", (session) => {
    sessions++;
    open.add(session);
    session.on("close", () => open.delete(session));
  });
  server.on("stream", (stream, headers) => {
    stream.on("error", () => {});
    onStream(stream, headers);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as { port: number }).port,
    get sessions() {
      return sessions;
    },
    stop() {
      for (const session of open) session.destroy();
      server.close();
    },
  };
}
