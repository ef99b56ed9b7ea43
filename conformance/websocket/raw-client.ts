// Upgrade and CONNECT byte by byte against raw-server.ts: `node raw-client.mjs --server_host=HOST --server_port=PORT
// --test_case=NAME[,NAME …]`.
import { createHash } from "node:crypto";
import { connect, type Socket } from "node:net";
import { equal, flags, ok, runCases } from "../cases.ts";
import { Bytes, digestOf } from "./bytes.ts";

const { host, port, cases } = flags(process.argv);
const SIZE = 8 << 20;
const CHUNK = 1 << 16;
const HEAD_END = "\r\n\r\n";

/** A connection whose bytes are read by and by. */
class Raw {
  readonly socket: Socket;
  readonly closed: Promise<"end" | "reset">;
  bytes = Buffer.alloc(0);
  ended = false;
  #wake: (() => void) | null = null;

  constructor() {
    this.socket = connect({ host, port, noDelay: true, allowHalfOpen: true });
    let failed = false;
    this.socket.on("data", (chunk: Buffer) => {
      this.bytes = Buffer.concat([this.bytes, chunk]);
      this.#wake?.();
    });
    this.socket.on("end", () => {
      this.ended = true;
      this.#wake?.();
    });
    this.socket.on("error", () => {
      failed = true;
    });
    this.closed = new Promise((resolve) =>
      this.socket.on("close", () => {
        this.ended = true;
        this.#wake?.();
        resolve(failed ? "reset" : "end");
      }),
    );
  }

  async until(what: string, holds: () => boolean): Promise<void> {
    while (!holds()) {
      if (this.ended)
        throw new Error(`ended before ${what}; ${this.bytes.length} bytes: ${this.bytes.subarray(0, 300).toString("latin1")}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Takes the head of a response. */
  async head(): Promise<string> {
    await this.until("a head", () => this.bytes.includes(HEAD_END));
    const end = this.bytes.indexOf(HEAD_END);
    const head = this.bytes.subarray(0, end + 2).toString("latin1");
    this.bytes = this.bytes.subarray(end + HEAD_END.length);
    return head;
  }

  async take(size: number): Promise<Buffer> {
    await this.until(`${size} bytes`, () => this.bytes.length >= size);
    const taken = this.bytes.subarray(0, size);
    this.bytes = this.bytes.subarray(size);
    return taken;
  }
}

const request = (path: string, protocol = "websocket", connection = "Upgrade"): string =>
  `GET ${path} HTTP/1.1\r\nHost: ${host}:${port}\r\nConnection: ${connection}\r\nUpgrade: ${protocol}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`;

async function upgrade(path: string, protocol?: string, connection?: string): Promise<Raw> {
  const raw = new Raw();
  raw.socket.write(request(path, protocol, connection));
  const head = await raw.head();
  ok(head, head.startsWith("HTTP/1.1 101 "));
  return raw;
}

async function echo(raw: Raw, text: string): Promise<void> {
  raw.socket.write(text);
  equal("echo", (await raw.take(text.length)).toString("latin1"), text);
}

/** What the server was told on the connection before. */
async function told(): Promise<string> {
  const raw = new Raw();
  raw.socket.write(`GET /told HTTP/1.1\r\nHost: ${host}:${port}\r\n\r\n`);
  const length = Number(/content-length: (\d+)/i.exec(await raw.head())?.[1]);
  const text = (await raw.take(length)).toString();
  raw.socket.destroy();
  return text;
}

async function write(socket: Socket, seed: number): Promise<void> {
  const bytes = new Bytes(seed);
  for (let left = SIZE; left > 0; left -= CHUNK)
    if (!socket.write(bytes.take(CHUNK))) await new Promise<void>((resolve) => socket.once("drain", () => resolve()));
}

const digest = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");

await runCases(cases, {
  // What follows the head waits until the server has agreed, in whatever way it was cut.
  async nothing_before_101() {
    const raw = new Raw();
    raw.socket.write(`${request("/late")}early`);
    setTimeout(() => raw.socket.write(" bytes"), 50);
    const head = await raw.head();
    ok(head, head.startsWith("HTTP/1.1 101 "));
    equal("bytes before 101", /x-early: (\d+)/i.exec(head)?.[1], "0");
    equal("echo", (await raw.take(11)).toString(), "early bytes");
    raw.socket.destroy();
  },
  async nothing_before_2xx_to_connect() {
    const raw = new Raw();
    raw.socket.write(`CONNECT late.test:443 HTTP/1.1\r\nHost: late.test:443\r\n\r\nearly`);
    setTimeout(() => raw.socket.write(" bytes"), 50);
    const head = await raw.head();
    ok(head, head.startsWith("HTTP/1.1 200 "));
    ok(`content-length in ${head}`, !/content-length/i.test(head));
    equal("bytes before 2xx", /x-early: (\d+)/i.exec(head)?.[1], "0");
    equal("echo", (await raw.take(11)).toString(), "early bytes");
    raw.socket.destroy();
  },
  async first_bytes_with_101() {
    const raw = await upgrade("/first");
    equal("bytes", (await raw.take(11)).toString(), "first bytes");
    await echo(raw, "and on");
    raw.socket.destroy();
  },
  async other_protocols_and_tokens() {
    for (const [protocol, connection] of [
      ["foo/2", "Upgrade"],
      ["WebSocket", "keep-alive, Upgrade"],
      ["websocket", "upgrade"],
    ] as const) {
      const raw = await upgrade("/first", protocol, connection);
      await raw.take(11);
      await echo(raw, "GET / HTTP/1.1\r\n\r\n");
      raw.socket.destroy();
    }
  },
  async single_bytes() {
    const raw = new Raw();
    for (const char of request("/first")) {
      raw.socket.write(char);
      await new Promise((resolve) => setImmediate(resolve));
    }
    ok("no 101", (await raw.head()).startsWith("HTTP/1.1 101 "));
    await raw.take(11);
    for (const char of "byte by byte") await echo(raw, char);
    raw.socket.destroy();
  },
  async bytes_both_ways() {
    const raw = await upgrade("/duplex");
    await write(raw.socket, 1);
    raw.socket.end();
    equal("received", digest(await raw.take(SIZE)), digestOf(2, SIZE));
    // After the client has closed its half.
    equal("at the server", (await raw.take(64)).toString(), digestOf(1, SIZE));
    await raw.closed;
    equal("more", raw.bytes.length, 0);
  },
  async half_close_by_server() {
    const raw = await upgrade("/ends");
    equal("received", digest(await raw.take(SIZE)), digestOf(2, SIZE));
    if (!raw.ended) await new Promise((resolve) => raw.socket.once("end", resolve));
    await write(raw.socket, 3);
    raw.socket.end();
    await raw.closed;
    equal("at the server", await told(), `${SIZE} ${digestOf(3, SIZE)}`);
  },
  async reset_by_server() {
    const raw = await upgrade("/reset");
    raw.socket.write("you");
    // A reset may come as an end: what must not happen is that it does not come.
    await Promise.race([raw.closed, new Promise((resolve) => raw.socket.once("end", resolve))]);
    raw.socket.destroy();
  },
  async reset_by_client() {
    const raw = await upgrade("/reset");
    raw.socket.resetAndDestroy();
    ok("nothing told", ["reset", "end"].includes(await told()));
  },
  async refused_and_on() {
    const raw = new Raw();
    raw.socket.write(`${request("/ok")}GET /ok HTTP/1.1\r\nHost: ${host}:${port}\r\n\r\n`);
    for (let i = 1; i <= 2; i++) {
      const head = await raw.head();
      ok(head, head.startsWith("HTTP/1.1 200 "));
      const text = (await raw.take(Number(/content-length: (\d+)/i.exec(head)?.[1]))).toString();
      ok(text, text.startsWith("request "));
    }
    raw.socket.destroy();
  },
});
process.exit(0);
