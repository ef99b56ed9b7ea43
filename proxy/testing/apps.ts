// Small applications behind the proxies of tests.
import http2 from "node:http2";
import type { Pod } from "./namespaces.ts";
import { type PodServer, type PodSocket, serveIn } from "./sockets.ts";

/** What `/flood` answers: more than a stream's first window. */
const LARGE = Buffer.alloc(70_000, "x");

/** HTTP/2 without TLS by node: `/flood` answers 70,000 bytes, anything else `ok`. Requests with a body are answered at its end. */
export function serveHttp2(pod: Pod, port: number): { stop(): void } {
  const sessions = new Set<http2.ServerHttp2Session>();
  const server = http2.createServer();
  server.on("session", (session) => {
    sessions.add(session);
    session.on("error", () => {});
    session.on("close", () => sessions.delete(session));
  });
  server.on("stream", (stream, headers) => {
    stream.on("error", () => {});
    const answer = (): void => {
      if (stream.destroyed) return;
      stream.respond({ ":status": 200 });
      stream.end(headers[":path"] === "/flood" ? LARGE : "ok");
    };
    stream.resume();
    if (headers[":method"] === "GET") answer();
    else stream.on("end", answer);
  });
  pod.within(() => server.listen(port, "0.0.0.0"));
  return {
    stop() {
      for (const session of sessions) session.destroy();
      server.close();
    },
  };
}

/** HTTP/1.1: every head gets `ok`; requests have no bodies. */
export function serveHttp1(pod: Pod, port: number): PodServer {
  return serveIn(pod, port, (connection: PodSocket) => {
    let heads = 0;
    connection.onData = () => {
      const seen = connection.text().split("\r\n\r\n").length - 1;
      for (; heads < seen; heads++) void connection.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    };
  });
}
