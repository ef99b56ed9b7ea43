// The bare HTTP/2 server engine behind plain TCP. It answers every request at once with a small body, as h2spec wants.
import { type Incoming, type RequestHandler, ResponseHead, type ServerStream } from "#http";
import { Http2Server } from "#http2";
import { listen } from "../../packages/http2/testing/loopback.ts";
import type { Target } from "../suite.ts";

const BODY = new TextEncoder().encode("conformance\n");

class Sink implements Incoming {
  readonly stream: ServerStream;

  constructor(stream: ServerStream) {
    this.stream = stream;
  }

  onData(chunk: Uint8Array): void {
    this.stream.consume(chunk.length);
  }

  onTrailers(): void {}
  onWritten(): void {}
  onReset(): void {}
}

const HEAD = new ResponseHead({
  version: "HTTP/2",
  status: 200,
  reason: null,
  fields: ["content-type", "text/plain", "content-length", String(BODY.length)],
});

const handler: RequestHandler = {
  onRequest(stream, head) {
    stream.respond(HEAD, head.method === "HEAD");
    stream.write(BODY, true);
    return new Sink(stream);
  },
};

/** A server of the engine on a port of 127.0.0.1. */
export async function engine(): Promise<Target> {
  const { port, close } = await listen((host) => new Http2Server({ host, handler }));
  return { name: "engine", what: "the HTTP/2 engine behind plain TCP", port, stop: close };
}
