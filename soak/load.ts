// The load of a soak: every kind of traffic at a bounded rate, every answer compared byte by byte. A line of JSON (LoadReport) each
// second and at the end. Lines on standard input: `guarded allowed|denied|either`, `end`.
//   bun soak/load.ts SERVICE-ADDRESS REQUESTS-A-SECOND
import net from "node:net";
import { createInterface } from "node:readline";
import * as grpc from "@grpc/grpc-js";
import { ECHO } from "./grpc-echo.ts";
import { Payloads, skewed } from "./payload.ts";
import { PORTS } from "./state.ts";

export const KINDS = ["http", "httpNewConnection", "largeBody", "unary", "repeat", "bidi", "websocket", "tcp", "guarded"] as const;
export type Kind = (typeof KINDS)[number];

export type LoadReport = {
  /** Answers that were right. */
  readonly right: Readonly<Record<Kind, number>>;
  readonly inFlight: number;
  /** Operations that were due and not begun, as too many were in flight. */
  readonly late: number;
  readonly errors: number;
  /** What went wrong, how often, and when first and last; at most {@link MAX_REASONS} different ones. */
  readonly reasons: readonly Reason[];
  /** Of `http` since the last report, ms. */
  readonly p50: number;
  readonly p99: number;
};

export type Reason = { readonly kind: Kind; readonly message: string; count: number; readonly first: string; last: string };

const MAX_REASONS = 50;
const MAX_IN_FLIGHT = 4000;
/** Longer than anything lasts that goes well. */
const TIMEOUT_MS = 60_000;
const TICK_MS = 5;
const MEBIBYTE = 1024 * 1024;
const SMALL_BYTES = 16 * 1024;
const SESSION_MESSAGES = 15;
const SESSION_PAUSE_MS = 100;
/** Sessions and large bodies a second, beside the requests. */
const SESSIONS = { largeBody: 1, bidi: 0.8, websocket: 0.8, tcp: 0.8, guarded: 2 } as const;
/** Shares of the requests. */
const SHARES = { http: 0.62, httpNewConnection: 0.08, unary: 0.25, repeat: 0.05 } as const;

class Load {
  readonly #address: string;
  readonly #payloads = new Payloads();
  readonly #right = Object.fromEntries(KINDS.map((kind) => [kind, 0])) as Record<Kind, number>;
  readonly #reasons = new Map<string, Reason>();
  readonly #channel: grpc.Client;
  #latencies: number[] = [];
  #errors = 0;
  #inFlight = 0;
  #late = 0;
  #seed = 0;
  guarded: "allowed" | "denied" | "either" = "either";

  constructor(address: string) {
    this.#address = address;
    // Over one connection, as a client in an application has it.
    this.#channel = new grpc.Client(`${address}:${PORTS.grpc}`, grpc.credentials.createInsecure(), {
      "grpc.max_receive_message_length": -1,
    });
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  run(kind: Kind): void {
    if (this.#inFlight >= MAX_IN_FLIGHT) {
      this.#late++;
      return;
    }
    this.#inFlight++;
    const seed = ++this.#seed;
    const started = performance.now();
    const timeout = Promise.withResolvers<never>();
    const timer = setTimeout(() => timeout.reject(new Error(`not done after ${TIMEOUT_MS} ms`)), TIMEOUT_MS);
    Promise.race([this.#operations[kind](seed), timeout.promise])
      .then(
        () => {
          this.#right[kind]++;
          if (kind === "http") this.#latencies.push(performance.now() - started);
        },
        (error: unknown) => {
          this.#errors++;
          this.#note(kind, error instanceof Error ? error.message : String(error));
        },
      )
      .finally(() => {
        clearTimeout(timer);
        this.#inFlight--;
      });
  }

  report(): LoadReport {
    const sorted = this.#latencies.sort((a, b) => a - b);
    this.#latencies = [];
    const quantile = (q: number): number => Math.round((sorted[Math.floor(sorted.length * q)] ?? 0) * 10) / 10;
    return {
      right: { ...this.#right },
      inFlight: this.#inFlight,
      late: this.#late,
      errors: this.#errors,
      reasons: [...this.#reasons.values()],
      p50: quantile(0.5),
      p99: quantile(0.99),
    };
  }

  #note(kind: Kind, message: string): void {
    const now = new Date().toISOString();
    const known = this.#reasons.get(`${kind} ${message}`);
    if (known !== undefined) {
      known.count++;
      known.last = now;
    } else if (this.#reasons.size < MAX_REASONS)
      this.#reasons.set(`${kind} ${message}`, { kind, message, count: 1, first: now, last: now });
  }

  close(): void {
    this.#channel.close();
  }

  readonly #operations: Readonly<Record<Kind, (seed: number) => Promise<void>>> = {
    http: (seed) => this.#echo(PORTS.http, seed, skewed(seed, SMALL_BYTES), true),
    httpNewConnection: (seed) => this.#echo(PORTS.http, seed, skewed(seed, SMALL_BYTES), false),
    largeBody: (seed) => this.#echo(PORTS.http, seed, MEBIBYTE, true),
    guarded: (seed) => this.#guard(seed),
    unary: (seed) => this.#unary(seed),
    repeat: (seed) => this.#repeat(seed),
    bidi: (seed) => this.#bidi(seed),
    websocket: (seed) => this.#websocket(seed),
    tcp: (seed) => this.#tcp(seed),
  };

  async #fetch(port: number, seed: number, bytes: number, keepalive: boolean): Promise<Response> {
    const get = bytes === 0;
    return fetch(`http://${this.#address}:${port}/echo/${seed}`, {
      method: get ? "GET" : "POST",
      keepalive,
      headers: { "x-seed": String(seed), ...(keepalive ? {} : { connection: "close" }) },
      ...(get ? {} : { body: new Uint8Array(this.#payloads.of(seed, bytes)) }),
    });
  }

  async #echo(port: number, seed: number, bytes: number, keepalive: boolean): Promise<void> {
    const response = await this.#fetch(port, seed, bytes, keepalive);
    const body = Buffer.from(await response.arrayBuffer());
    if (response.status !== 200)
      throw new Error(`status ${response.status}, ${response.headers.get("l5d-proxy-error") ?? "no proxy error"}`);
    if (response.headers.get("x-seed") !== String(seed)) throw new Error(`the answer to ${response.headers.get("x-seed")}`);
    this.#compare(body, this.#payloads.of(seed, bytes));
  }

  /** What policy says at the time; during a change either is right. */
  async #guard(seed: number): Promise<void> {
    const expected = this.guarded;
    const response = await this.#fetch(PORTS.guarded, seed, 100, true);
    const body = Buffer.from(await response.arrayBuffer());
    if (expected !== this.guarded) return;
    const wanted = expected === "allowed" ? [200] : expected === "denied" ? [403] : [200, 403];
    if (!wanted.includes(response.status)) throw new Error(`status ${response.status} while ${expected}`);
    if (response.status === 200) this.#compare(body, this.#payloads.of(seed, 100));
  }

  #unary(seed: number): Promise<void> {
    const message = this.#payloads.of(seed, 1 + skewed(seed, SMALL_BYTES));
    const { path, requestSerialize, responseDeserialize } = ECHO.Unary;
    return new Promise((resolve, reject) =>
      this.#channel.makeUnaryRequest(path, requestSerialize, responseDeserialize, message, (error, answer) => {
        if (error !== null) reject(error);
        else resolve(this.#compare(answer ?? Buffer.alloc(0), message));
      }),
    );
  }

  #repeat(seed: number): Promise<void> {
    const message = Buffer.from(this.#payloads.of(seed, 1 + skewed(seed, 2048)));
    message[0] = 1 + (seed % 20);
    const { path, requestSerialize, responseDeserialize } = ECHO.Repeat;
    return new Promise((resolve, reject) => {
      let received = 0;
      const call = this.#channel.makeServerStreamRequest(path, requestSerialize, responseDeserialize, message);
      call.on("data", (answer: Buffer) => {
        received++;
        if (!answer.equals(message)) call.destroy(new Error(`message ${received} differs`));
      });
      call.on("error", reject);
      call.on("end", () => {
        if (received === message[0]) resolve();
        else reject(new Error(`${received} of ${message[0]} messages`));
      });
    });
  }

  async #bidi(seed: number): Promise<void> {
    const { path, requestSerialize, responseDeserialize } = ECHO.Bidi;
    const call = this.#channel.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
    await this.#session(seed, {
      send: (message) => void call.write(message),
      end: () => call.end(),
      listen(message, end, error) {
        call.on("data", message);
        call.on("end", end);
        call.on("error", error);
      },
    });
  }

  async #websocket(seed: number): Promise<void> {
    const socket = new WebSocket(`ws://${this.#address}:${PORTS.http}/ws`);
    socket.binaryType = "arraybuffer";
    await new Promise<void>((resolve, reject) => {
      socket.onopen = () => resolve();
      socket.onerror = (event) => reject(new Error(`websocket: ${(event as ErrorEvent).message}`));
    });
    await this.#session(seed, {
      send: (message) => socket.send(new Uint8Array(message)),
      end: () => socket.close(1000),
      listen(message, end, error) {
        socket.onmessage = (event) => message(Buffer.from(event.data as ArrayBuffer));
        socket.onclose = (event) => (event.code === 1000 ? end() : error(new Error(`websocket closed with ${event.code}`)));
        socket.onerror = (event) => error(new Error(`websocket: ${(event as ErrorEvent).message}`));
      },
    });
  }

  /** Messages one after another, each echoed before the next, then an orderly end from both sides. */
  #session(
    seed: number,
    peer: {
      send(message: Buffer): void;
      end(): void;
      listen(message: (bytes: Buffer) => void, end: () => void, error: (error: Error) => void): void;
    },
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      let sent = 0;
      let expected: Buffer | null = null;
      const next = (): void => {
        if (sent === SESSION_MESSAGES) {
          peer.end();
          return;
        }
        const s = seed * 31 + sent++;
        expected = this.#payloads.of(s, 1 + skewed(s, SMALL_BYTES));
        peer.send(expected);
      };
      peer.listen(
        (bytes) => {
          try {
            this.#compare(bytes, expected ?? Buffer.alloc(0));
          } catch (error) {
            reject(error as Error);
            return;
          }
          expected = null;
          setTimeout(next, SESSION_PAUSE_MS);
        },
        () => {
          if (sent === SESSION_MESSAGES && expected === null) resolve();
          else reject(new Error(`ended after ${sent} of ${SESSION_MESSAGES} messages`));
        },
        reject,
      );
      next();
    });
  }

  /** The server greets first; then every byte comes back inverted; then the client ends, and the server does. */
  #tcp(seed: number): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const socket = net.connect({ host: this.#address, port: PORTS.tcp, allowHalfOpen: true });
    let expected = Buffer.alloc(0);
    let received = Buffer.alloc(0);
    let greeted = false;
    let sent = 0;
    const next = (): void => {
      if (sent === SESSION_MESSAGES) {
        socket.end();
        return;
      }
      const s = seed * 17 + sent++;
      const message = this.#payloads.of(s, 1 + skewed(s, 4 * SMALL_BYTES));
      expected = Buffer.alloc(message.length);
      for (let i = 0; i < message.length; i++) expected[i] = ~(message[i] as number);
      socket.write(message);
    };
    socket.on("data", (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      if (!greeted) {
        const end = received.indexOf("\r\n");
        if (end < 0) return;
        if (!/^220 [\d.]+ ready\r\n$/.test(received.toString("latin1")))
          reject(new Error(`greeting ${JSON.stringify(received.toString("latin1"))}`));
        greeted = true;
        received = Buffer.alloc(0);
        next();
      } else if (received.length >= expected.length) {
        try {
          this.#compare(received, expected);
        } catch (error) {
          socket.destroy();
          reject(error as Error);
          return;
        }
        received = Buffer.alloc(0);
        setTimeout(next, SESSION_PAUSE_MS);
      }
    });
    socket.on("end", () => {
      if (sent === SESSION_MESSAGES && received.length === 0) resolve();
      else reject(new Error(`ended after ${sent} of ${SESSION_MESSAGES} messages${greeted ? "" : ", without a greeting"}`));
      socket.destroy();
    });
    socket.on("error", reject);
    return promise;
  }

  #compare(got: Buffer, wanted: Buffer): void {
    if (got.equals(wanted)) return;
    const length = Math.min(got.length, wanted.length);
    let at = 0;
    while (at < length && got[at] === wanted[at]) at++;
    throw new Error(`${got.length} bytes of ${wanted.length}, different at ${at}`);
  }
}

async function main([address = "", rate = ""]: readonly string[]): Promise<void> {
  const load = new Load(address);
  const perSecond = new Map<Kind, number>([
    ...Object.entries(SHARES).map(([kind, share]) => [kind as Kind, share * Number(rate)] as const),
    ...Object.entries(SESSIONS).map(([kind, count]) => [kind as Kind, count] as const),
  ]);
  const begun = new Map<Kind, number>();
  const start = performance.now();
  const ticks = setInterval(() => {
    const seconds = (performance.now() - start) / 1000;
    for (const [kind, each] of perSecond)
      for (let n = begun.get(kind) ?? 0; n < Math.floor(seconds * each); n++) {
        begun.set(kind, n + 1);
        load.run(kind);
      }
  }, TICK_MS);
  const reports = setInterval(() => console.log(JSON.stringify(load.report())), 1000);
  for await (const line of createInterface({ input: process.stdin })) {
    const [verb, word] = line.split(" ");
    if (verb === "end") break;
    load.guarded = word as Load["guarded"];
  }
  clearInterval(ticks);
  clearInterval(reports);
  while (load.inFlight > 0) await Bun.sleep(20);
  load.close();
  console.log(JSON.stringify(load.report()));
  process.exit(0);
}

if (import.meta.main) await main(process.argv.slice(2));
