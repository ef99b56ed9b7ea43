// The engines on real sockets against clients and servers nobody here wrote: node:http on both sides, and curl.
import { afterEach, describe, expect, test } from "bun:test";
import http from "node:http";
import net from "node:net";
import type { Engine, EngineHost, Incoming, RequestHandler, RequestHead, ResponseHead, ResponseIncoming, ServerStream } from "#http";
import { ResponseHead as Response } from "#http";
import { Http1Client, Http1Server, HttpDate, requestHeadCache, responseHeadCache } from "./index.ts";
import { bytes, get, text } from "./testing.ts";

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

/** An engine's edge on a socket of node:net. */
function attach(socket: net.Socket, make: (host: EngineHost) => Engine): void {
  let scheduled = false;
  let finishing = false;
  const flush = (): void => {
    scheduled = false;
    for (let chunk = engine.output(); chunk !== null; chunk = engine.output()) if (!socket.write(new Uint8Array(chunk))) return;
    if (finishing) socket.end();
  };
  const host: EngineHost = {
    scheduleFlush() {
      if (!scheduled) setImmediate(flush);
      scheduled = true;
    },
    pauseReading: () => void socket.pause(),
    resumeReading: () => void socket.resume(),
    finish() {
      finishing = true;
      this.scheduleFlush();
    },
    abort: () => void socket.destroy(),
  };
  const engine = make(host);
  let errno = "";
  socket.on("data", (chunk: Buffer) => {
    engine.receive(chunk);
    chunk.fill(0xdb);
  });
  socket.on("drain", flush);
  socket.on("end", () => engine.receiveEnd());
  socket.on("error", (error: NodeJS.ErrnoException) => (errno = error.code ?? "EIO"));
  socket.on("close", () => engine.receiveClose(errno));
}

const date = new HttpDate({ now: () => Date.now() });

/** Answers with the method, path and size of the content, echoing content where the path says so. */
class Echo implements RequestHandler {
  onRequest(stream: ServerStream, head: RequestHead, end: boolean): Incoming {
    let size = 0;
    const echo = head.path === "/echo";
    const finish = (): void => {
      if (echo) stream.write(bytes(""), true);
      else {
        stream.respond(new Response({ version: "HTTP/1.1", status: 200, reason: null, fields: ["content-type", "text/plain"] }), false);
        stream.write(bytes(`${head.method} ${head.path} ${size}`), true);
      }
    };
    if (head.get("expect") === "100-continue")
      stream.informational(new Response({ version: "HTTP/1.1", status: 100, reason: null, fields: [] }));
    if (echo) stream.respond(new Response({ version: "HTTP/1.1", status: 200, reason: null, fields: [] }), false);
    if (end) finish();
    return {
      onData(chunk, last) {
        size += chunk.length;
        if (echo) stream.write(chunk, false);
        else stream.consume(chunk.length);
        if (last) finish();
      },
      onTrailers: finish,
      onWritten: (n) => {
        if (echo) stream.consume(n);
      },
      onReset() {},
    };
  }
}

async function listen(server: net.Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closers.push(() => void server.close());
  return (server.address() as net.AddressInfo).port;
}

async function serve(): Promise<number> {
  const cache = requestHeadCache();
  return listen(
    net.createServer({ allowHalfOpen: true }, (socket) =>
      attach(socket, (host) => new Http1Server({ handler: new Echo(), host, cache, date })),
    ),
  );
}

type Answer = { status: number; headers: http.IncomingHttpHeaders; body: string; localPort: number | undefined };

function ask(port: number, options: http.RequestOptions, body: Uint8Array | null, agent: http.Agent): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = http.request({ host: "127.0.0.1", port, agent, ...options }, (answer) => {
      const chunks: Buffer[] = [];
      const localPort = answer.socket?.localPort;
      answer.on("data", (chunk: Buffer) => chunks.push(chunk));
      answer.on("end", () =>
        resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: Buffer.concat(chunks).toString("latin1"), localPort }),
      );
      answer.on("error", reject);
    });
    request.on("error", reject);
    request.end(body ?? undefined);
  });
}

describe("server engine", () => {
  test("node:http client", async () => {
    const port = await serve();
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    closers.push(() => agent.destroy());
    const big = new Uint8Array(1_000_000).fill(120);
    expect((await ask(port, { path: "/a?b" }, null, agent)).body).toBe("GET /a?b 0");
    expect((await ask(port, { path: "/", method: "POST" }, bytes("hello"), agent)).body).toBe("POST / 5");
    expect((await ask(port, { path: "/", method: "POST", headers: { "transfer-encoding": "chunked" } }, big, agent)).body).toBe(
      "POST / 1000000",
    );
    const echo = await ask(port, { path: "/echo", method: "PUT" }, big, agent);
    expect(echo.body).toHaveLength(1_000_000);
    expect(echo.headers["transfer-encoding"]).toBe("chunked");
    expect(echo.headers.date).toMatch(/GMT$/);
    const head = await ask(port, { path: "/", method: "HEAD" }, null, agent);
    expect([head.status, head.body]).toEqual([200, ""]);
  });

  test("curl", async () => {
    const port = await serve();
    const curl = async (...args: string[]): Promise<string> => {
      const child = Bun.spawn(["curl", "-sS", "--max-time", "10", ...args], {
        // No proxies of the environment.
        env: { PATH: process.env.PATH ?? "" },
        stdout: "pipe",
        stderr: "pipe",
        stdin: "ignore",
      });
      const [out, err] = await Promise.all([new Response_(child.stdout).text(), new Response_(child.stderr).text()]);
      await child.exited;
      return out + err;
    };
    const url = `http://127.0.0.1:${port}`;
    // Two transfers of one process share a connection.
    expect(await curl(`${url}/1`, `${url}/2`, "-w", "|%{num_connects}|")).toBe("GET /1 0|1|GET /2 0|0|");
    expect(await curl("-0", `${url}/old`)).toBe("GET /old 0");
    expect(await curl("-d", "a=b", "-H", "Expect: 100-continue", `${url}/post`)).toBe("POST /post 3");
    expect(await curl("-T", "-", "-H", "Transfer-Encoding: chunked", `${url}/empty`)).toBe("PUT /empty 0");
    expect(await curl("-I", "-o", "/dev/null", "-w", "%{http_code}", `${url}/`)).toBe("200");
    expect(await curl("-x", url, "http://a.example/x")).toBe("GET /x 0");
    expect(await curl("-o", "/dev/null", "-w", "%{http_code}", "-H", "Host:", `${url}/`)).toBe("400");
  });
});

/** `Response` of the platform, whose name the head has here. */
const Response_ = globalThis.Response;

class Seen implements ResponseIncoming {
  readonly informational: number[] = [];
  head: ResponseHead | null = null;
  body = "";
  readonly done: Promise<void>;
  #resolve: () => void = () => {};
  #reject: (error: Error) => void = () => {};
  readonly #consume: (n: number) => void;

  constructor(consume: (n: number) => void) {
    this.#consume = consume;
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }
  onInformational(head: ResponseHead): void {
    this.informational.push(head.status);
  }
  onResponse(head: ResponseHead, end: boolean): void {
    this.head = head;
    if (end) this.#resolve();
  }
  onData(chunk: Uint8Array, end: boolean): void {
    this.body += text(chunk);
    this.#consume(chunk.length);
    if (end) this.#resolve();
  }
  onTrailers(): void {
    this.#resolve();
  }
  onWritten(): void {}
  onReset(error: object): void {
    this.#reject(new Error(JSON.stringify(error)));
  }
}

describe("client engine", () => {
  test("node:http server", async () => {
    const connections = new Set<number | undefined>();
    const server = http.createServer((request, answer) => {
      connections.add(request.socket.remotePort);
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        const body = Buffer.concat(chunks);
        if (request.url === "/hints") answer.writeEarlyHints({ link: "</a>; rel=preload" });
        if (request.url === "/length") answer.setHeader("content-length", body.length);
        if (request.url === "/empty") answer.writeHead(204);
        answer.end(request.url === "/empty" ? undefined : body);
      });
    });
    const port = await listen(server as unknown as net.Server);
    const socket = net.connect(port, "127.0.0.1");
    closers.push(() => socket.destroy());
    await new Promise((resolve) => socket.once("connect", resolve));
    let client: Http1Client | undefined;
    attach(socket, (host) => (client = new Http1Client({ host, cache: responseHeadCache() })));
    const engine = client as Http1Client;

    const run = async (path: string, method: string, body: Uint8Array | null, length: boolean): Promise<Seen> => {
      const fields = ["host", "a", ...(length && body !== null ? ["content-length", String(body.length)] : [])];
      const seen: Seen = new Seen((n) => stream.consume(n));
      const stream = engine.request(get({ path, method, fields }), body === null, seen);
      if (body !== null) stream.write(body, true);
      await seen.done;
      while (!engine.ready) await new Promise<void>((resolve) => (engine.onStateChange = resolve));
      return seen;
    };
    const big = new Uint8Array(1_000_000).fill(121);
    expect((await run("/", "GET", null, false)).body).toBe("");
    expect((await run("/length", "POST", bytes("hello"), true)).body).toBe("hello");
    expect((await run("/", "POST", big, false)).body).toHaveLength(1_000_000);
    expect((await run("/length", "PUT", big, true)).body).toHaveLength(1_000_000);
    expect((await run("/", "HEAD", null, false)).body).toBe("");
    expect((await run("/empty", "DELETE", null, false)).head?.status).toBe(204);
    const hints = await run("/hints", "GET", null, false);
    expect(hints.head?.status).toBe(200);
    expect(connections.size).toBe(1);
  });
});
