// The engines against Node's HTTP/2 (nghttp2) in both directions, over real sockets.
import { afterEach, describe, expect, test } from "bun:test";
import * as nodeHttp2 from "node:http2";
import type { AddressInfo } from "node:net";
import { RequestHead, type ResponseHead } from "#http";
import { Http2Client, Http2Server } from "./index.ts";
import { echo } from "./testing/echo.ts";
import { dial, listen } from "./testing/loopback.ts";

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

type Answer = { status: number; headers: Record<string, unknown>; body: string; trailers: Record<string, unknown> | null };

/** An exchange by node:http2's client. */
function nodeRequest(session: nodeHttp2.ClientHttp2Session, headers: Record<string, string>, body: Uint8Array | null): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = session.request(headers, { endStream: body === null });
    const answer: Answer = { status: 0, headers: {}, body: "", trailers: null };
    const chunks: Buffer[] = [];
    request.on("response", (got) => {
      answer.status = Number(got[":status"]);
      answer.headers = got;
    });
    request.on("trailers", (got) => {
      answer.trailers = got;
    });
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      answer.body = Buffer.concat(chunks).toString("latin1");
      resolve(answer);
    });
    request.on("error", reject);
    if (body !== null) request.end(body);
  });
}

/** An exchange by the engine's client. */
function engineRequest(
  engine: Http2Client,
  head: RequestHead,
  body: Uint8Array | null,
): Promise<{ head: ResponseHead; body: string; trailers: readonly string[] }> {
  return new Promise((resolve, reject) => {
    let response: ResponseHead;
    const chunks: Uint8Array[] = [];
    const done = (trailers: readonly string[]): void => {
      resolve({ head: response, body: Buffer.concat(chunks).toString("latin1"), trailers });
    };
    const stream = engine.request(head, body === null, {
      onInformational() {},
      onResponse(got, end) {
        response = got;
        if (end) done([]);
      },
      onData(chunk, end) {
        chunks.push(new Uint8Array(chunk));
        stream.consume(chunk.length);
        if (end) done([]);
      },
      onTrailers: done,
      onWritten() {},
      onReset: (error) => reject(new Error(JSON.stringify(error))),
    });
    if (body !== null) stream.write(body, true);
  });
}

const post = (path: string): RequestHead =>
  new RequestHead({ version: "HTTP/2", method: "POST", form: "origin", scheme: "http", authority: "a.test", path, fields: ["x-id", path] });

describe("server engine and node:http2 client", () => {
  test("many requests at once, small and larger than every window", async () => {
    const listener = await listen((host) => new Http2Server({ host, handler: echo }));
    const session = nodeHttp2.connect(`http://127.0.0.1:${listener.port}`);
    closers.push(
      () => listener.close(),
      () => session.destroy(),
    );
    const sizes = Array.from({ length: 60 }, (_, i) => (i % 20 === 0 ? 300_000 + i : i * 7));
    const answers = await Promise.all(
      sizes.map((size, i) => nodeRequest(session, { ":method": "POST", ":path": `/n/${i}` }, Buffer.alloc(size, 97 + (i % 26)))),
    );
    answers.forEach((answer, i) => {
      expect(answer.status).toBe(200);
      expect(answer.headers["x-path"]).toBe(`/n/${i}`);
      expect(answer.body).toBe(String.fromCharCode(97 + (i % 26)).repeat(sizes[i] as number));
    });
    expect(listener.engines[0]?.activeStreams).toBe(0);
  });

  test("drain: GOAWAY, the request under way is finished, then the connection closes", async () => {
    const listener = await listen((host) => new Http2Server({ host, handler: echo }));
    const session = nodeHttp2.connect(`http://127.0.0.1:${listener.port}`);
    closers.push(
      () => listener.close(),
      () => session.destroy(),
    );
    const request = session.request({ ":method": "POST", ":path": "/" }, { endStream: false });
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    await new Promise((resolve) => request.once("response", resolve));
    const goaway = new Promise((resolve) => session.once("goaway", resolve));
    const closed = new Promise((resolve) => session.once("close", resolve));
    (listener.engines[0] as Http2Server).drain();
    await goaway;
    request.end("late");
    await new Promise((resolve) => request.once("end", resolve));
    expect(Buffer.concat(chunks).toString()).toBe("late");
    await closed;
  });
});

describe("client engine and node:http2 server", () => {
  test("many requests at once, with trailers, small and larger than every window", async () => {
    const server = nodeHttp2.createServer();
    server.on("stream", (stream, headers) => {
      stream.respond({ ":status": 200, "x-path": String(headers[":path"]), date: "now" }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
      stream.pipe(stream);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    closers.push(() => server.close());
    const { engine, socket } = await dial((server.address() as AddressInfo).port, (host) => new Http2Client({ host }));
    closers.push(() => socket.destroy());
    const sizes = Array.from({ length: 60 }, (_, i) => (i % 20 === 0 ? 300_000 + i : i * 7));
    const answers = await Promise.all(sizes.map((size, i) => engineRequest(engine, post(`/e/${i}`), Buffer.alloc(size, 97 + (i % 26)))));
    answers.forEach((answer, i) => {
      expect(answer.head.status).toBe(200);
      expect(answer.head.get("x-path")).toBe(`/e/${i}`);
      expect(answer.body).toBe(String.fromCharCode(97 + (i % 26)).repeat(sizes[i] as number));
      expect(answer.trailers).toEqual(["grpc-status", "0"]);
    });
    expect(engine.activeStreams).toBe(0);
  });
});

describe("client engine and server engine", () => {
  test("exchanges larger than every window, both ways at once; then both drain", async () => {
    const listener = await listen((host) => new Http2Server({ host, handler: echo }));
    closers.push(() => listener.close());
    const { engine, socket } = await dial(listener.port, (host) => new Http2Client({ host }));
    const answers = await Promise.all([1, 2, 3, 4].map((i) => engineRequest(engine, post(`/${i}`), Buffer.alloc(400_000, 48 + i))));
    answers.forEach((answer, i) => {
      expect(answer.body).toBe(String.fromCharCode(49 + i).repeat(400_000));
    });
    const closed = new Promise((resolve) => socket.once("close", resolve));
    engine.drain();
    await closed;
    expect(engine.retired).toBe(true);
  });
});

// Where curl speaks HTTP/2 (nearly everywhere): a client that nobody here wrote.
const curl = Bun.which("curl");
if (curl !== null && (await new Response(Bun.spawn([curl, "--version"]).stdout).text()).includes("HTTP2")) {
  test("server engine and curl", async () => {
    const listener = await listen((host) => new Http2Server({ host, handler: echo }));
    closers.push(() => listener.close());
    const body = "0123456789".repeat(20_000);
    const child = Bun.spawn(
      [
        curl,
        "-s",
        "--max-time",
        "10",
        "--http2-prior-knowledge",
        "-w",
        "%{http_version} %{http_code}",
        "--data-binary",
        "@-",
        `http://127.0.0.1:${listener.port}/curl`,
      ],
      { stdin: new Blob([body]), stdout: "pipe" },
    );
    expect(await new Response(child.stdout).text()).toBe(`${body}2 200`);
    await child.exited;
  });
}
