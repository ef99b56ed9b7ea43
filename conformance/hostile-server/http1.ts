// Servers that break HTTP/1 as connections: when they end, stall, never end, or say what nobody asked. What they can write
// into a response is the smuggling suite's subject.
import { connect, createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { within } from "../smuggling/recorder.ts";
import type { CaseResult } from "../suite.ts";
import { CUT, NONE, type Outcome, WAITING, WHOLE } from "./case.ts";
import type { Door } from "./doors.ts";

export type Http1Case = {
  readonly group: string;
  readonly name: string;
  readonly source: string;
  readonly method: "GET" | "POST" | "HEAD";
  readonly body: string;
  /** As soon as the connection is there; on every connection. */
  readonly greet: ((socket: Socket) => void) | null;
  /** Once the head of the first request is there. */
  readonly act: (server: Http1Hostile) => void | Promise<void>;
  readonly outcome: Outcome;
  /** It is the proxy that ends the connection. */
  readonly dropped: boolean;
  /** Within TLS, cut off from outside as soon as the client has been answered: FIN without close_notify. */
  readonly truncated: boolean;
  /** The server goes on like this: nobody after gets an answer. */
  readonly hopeless: boolean;
};

/** How long a client waits for what must not come, ms. */
const PATIENCE_MS = 60;

export class Http1Hostile {
  text = "";
  ended = false;
  left = false;
  readonly #socket: Socket;
  readonly #waiting = new Set<() => void>();

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  write(text: string): void {
    if (!this.#socket.destroyed) this.#socket.write(Buffer.from(text, "latin1"));
  }

  /** Writes until the other side has had enough or `bytes` are written. */
  async flood(piece: string, bytes: number): Promise<void> {
    for (let sent = 0; sent < bytes && !this.ended && !this.#socket.destroyed; sent += piece.length)
      if (!this.#socket.write(Buffer.from(piece, "latin1"))) await new Promise((resolve) => setTimeout(resolve, 1));
  }

  end(text = ""): void {
    this.left = true;
    this.#socket.end(Buffer.from(text, "latin1"));
  }

  async abort(text = ""): Promise<void> {
    this.left = true;
    this.write(text);
    // The bytes must have left, or the reset overtakes them.
    if (text !== "") await new Promise((resolve) => setTimeout(resolve, 2));
    this.#socket.resetAndDestroy();
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  async until(matches: (text: string) => boolean): Promise<void> {
    while (!matches(this.text) && !this.ended) await new Promise<void>((resolve) => this.#waiting.add(resolve));
  }

  async over(): Promise<void> {
    while (!this.ended) await new Promise<void>((resolve) => this.#waiting.add(resolve));
  }

  wake(): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const resolve of waiting) resolve();
  }
}

const OK = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const cases: Http1Case[] = [];

type Options = Partial<Pick<Http1Case, "method" | "body" | "greet" | "dropped" | "hopeless" | "truncated">>;

function add(group: string, source: string, name: string, act: Http1Case["act"], outcome: Outcome, options: Options = {}): void {
  cases.push({
    group: `HTTP/1 ${group}`,
    name,
    source,
    method: options.method ?? (options.body === undefined ? "GET" : "POST"),
    body: options.body ?? "",
    greet: options.greet ?? null,
    act,
    outcome,
    dropped: options.dropped ?? false,
    truncated: options.truncated ?? false,
    hopeless: options.hopeless ?? false,
  });
}

const TE = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
const LENGTH = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n";
const DROPPED: Options = { dropped: true };

const END = "ends";
add(END, "RFC 9112 §8", "before the response", (s) => s.end(), NONE);
add(END, "RFC 9112 §8", "before the response, by RST", (s) => s.abort(), NONE);
add(END, "RFC 9112 §8", "within the status line", (s) => s.end("HTTP/1.1 2"), NONE);
add(END, "RFC 9112 §8", "within the head", (s) => s.end("HTTP/1.1 200 OK\r\ncontent-le"), NONE);
add(END, "RFC 9112 §8", "before the empty line", (s) => s.end("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n"), NONE);
add(END, "RFC 9112 §8", "behind 100", (s) => s.end("HTTP/1.1 100 Continue\r\n\r\n"), NONE);
add(END, "RFC 9112 §8", "within a length", (s) => s.end(`${LENGTH}he`), CUT);
add(END, "RFC 9112 §8", "within a length, by RST", (s) => s.abort(`${LENGTH}he`), CUT);
add(END, "RFC 9112 §8", "within chunks", (s) => s.end(`${TE}5\r\nhe`), CUT);
add(END, "RFC 9112 §8", "between chunks", (s) => s.end(`${TE}2\r\nhe\r\n`), CUT);
add(END, "RFC 9112 §8", "before the last empty line", (s) => s.end(`${TE}2\r\nhe\r\n0\r\n`), CUT);
add(END, "RFC 9112 §8", "within trailers", (s) => s.end(`${TE}2\r\nhe\r\n0\r\nx: 1\r\n`), CUT);
add(END, "RFC 9112 §6.3", "content without a length", (s) => s.end("HTTP/1.1 200 OK\r\n\r\nok"), WHOLE);
add(END, "RFC 9112 §6.3", "content without a length, by RST", (s) => s.abort("HTTP/1.1 200 OK\r\n\r\nok"), CUT);
add(END, "RFC 9112 §9.6", "behind the response, without having said so", (s) => s.end(OK), WHOLE);
add(END, "RFC 9112 §9.6", "behind the response, by RST", (s) => s.abort(OK), WHOLE);
add(END, "RFC 9112 §9.6", "before the end of the request", (s) => s.end(), NONE, { body: "x".repeat(3_000_000) });
add(
  END,
  "RFC 9112 §9.6",
  "with an answer before the end of the request",
  async (s) => {
    s.write("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok");
    await s.until((text) => text.includes("x".repeat(1000)));
  },
  WHOLE,
  { body: "x".repeat(3_000_000) },
);

const STALL = "stalls";
const unblocked: Http1Case["act"] = (s) => s.over();
add(STALL, "RFC 9110 §15.6.5", "says nothing", unblocked, WAITING);
add(
  STALL,
  "RFC 9110 §15.6.5",
  "within the status line",
  (s) => {
    s.write("HTTP/1.1 ");
    return s.over();
  },
  WAITING,
);
add(
  STALL,
  "RFC 9110 §15.6.5",
  "behind 100",
  (s) => {
    s.write("HTTP/1.1 100 Continue\r\n\r\n");
    return s.over();
  },
  WAITING,
);
add(
  STALL,
  "RFC 9112 §7.1",
  "within chunks",
  (s) => {
    s.write(`${TE}5\r\nhe`);
    return s.over();
  },
  WAITING,
);
add(
  STALL,
  "RFC 9112 §9.6",
  "does not read the request",
  async (s) => {
    s.pause();
    await new Promise((resolve) => setTimeout(resolve, 30));
    s.resume();
    await s.until((text) => text.endsWith("x".repeat(10)) && text.length > 3_000_000);
    s.write(OK);
  },
  WHOLE,
  { body: "x".repeat(3_000_000) },
);
add(
  STALL,
  "CVE-2019-9511 class",
  "a byte at a time",
  async (s) => {
    for (const c of `${TE}2\r\nok\r\n0\r\n\r\n`) {
      s.write(c);
      await new Promise((resolve) => setImmediate(resolve));
    }
  },
  WHOLE,
);

const ENDLESS = "without end";
const BOUND = 1 << 20;
add(ENDLESS, "RFC 9112 §4", "status line", async (s) => s.flood("HTTP/1.1 200 ".padEnd(1000, "x"), BOUND), NONE, DROPPED);
add(
  ENDLESS,
  "RFC 9112 §5",
  "one field",
  async (s) => {
    s.write("HTTP/1.1 200 OK\r\nx: ");
    await s.flood("y".repeat(1000), BOUND);
  },
  NONE,
  DROPPED,
);
add(
  ENDLESS,
  "RFC 9112 §5",
  "fields",
  async (s) => {
    s.write("HTTP/1.1 200 OK\r\n");
    await s.flood("x: y\r\n".repeat(100), BOUND);
  },
  NONE,
  DROPPED,
);
add(ENDLESS, "RFC 9110 §15.2", "1xx", (s) => s.flood("HTTP/1.1 103 Early Hints\r\n\r\n".repeat(10), BOUND), NONE, DROPPED);
add(
  ENDLESS,
  "RFC 9112 §7.1",
  "chunk size",
  async (s) => {
    s.write(TE);
    await s.flood("0".repeat(1000), BOUND);
  },
  CUT,
  DROPPED,
);
add(
  ENDLESS,
  "CVE-2023-39326",
  "chunk extension",
  async (s) => {
    s.write(`${TE}1;`);
    await s.flood("a".repeat(1000), BOUND);
  },
  CUT,
  DROPPED,
);
add(
  ENDLESS,
  "CVE-2023-39326",
  "chunk extensions of small chunks",
  async (s) => {
    s.write(TE);
    await s.flood(`1;${"a".repeat(500)}\r\nx\r\n`, BOUND);
  },
  CUT,
  DROPPED,
);
add(
  ENDLESS,
  "RFC 9112 §7.1.2",
  "trailers",
  async (s) => {
    s.write(`${TE}0\r\n`);
    await s.flood("x: y\r\n".repeat(100), BOUND);
  },
  CUT,
  DROPPED,
);
add(ENDLESS, "RFC 9112 §2.2", "empty lines before the response", (s) => s.flood("\r\n".repeat(100), BOUND), NONE, DROPPED);
add(
  ENDLESS,
  "RFC 9112 §9.2",
  "bytes behind the response",
  async (s) => {
    s.write(OK);
    await s.flood("x".repeat(1000), BOUND);
  },
  WHOLE,
  DROPPED,
);

const STRANGE = "says what is no response";
for (const [name, text] of [
  ["HTTP/2", "\0\0\0\x04\0\0\0\0\0"],
  ["the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
  ["a TLS alert", "\x15\x03\x01\0\x02\x02\x46"],
  ["SSH", "SSH-2.0-OpenSSH_9.2\r\n"],
  ["SMTP", "220 mail.example ESMTP\r\n"],
  ["a request", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"],
  ["HTML", "<html><body>hello</body></html>\r\n\r\n"],
  ["zeros", "\0".repeat(100)],
] as const)
  add(STRANGE, "RFC 9112 §4", name, (s) => s.write(text), NONE, DROPPED);
add(
  STRANGE,
  "RFC 9110 §15.2.2",
  "101 nobody asked for",
  (s) => s.write("HTTP/1.1 101 x\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n"),
  NONE,
  DROPPED,
);
add(STRANGE, "RFC 9112 §9.2", "a greeting before the request, always", () => {}, NONE, {
  greet: (socket) => socket.write("220 ready\r\n"),
  hopeless: true,
});
add(END, "RFC 9112 §9.5", "at once, always", () => {}, NONE, { greet: (socket) => socket.end(), hopeless: true });
add(END, "RFC 9112 §9.5", "at once by RST, always", () => {}, NONE, { greet: (socket) => socket.resetAndDestroy(), hopeless: true });

add(
  END,
  "RFC 9112 §9.8",
  "content without a length, cut off by someone on the way",
  (s) => {
    s.write("HTTP/1.1 200 OK\r\n\r\nok");
    return s.over();
  },
  CUT,
  { truncated: true },
);

export const HTTP1_CASES: readonly Http1Case[] = cases;

export async function runHttp1(door: Door): Promise<CaseResult[]> {
  const results: CaseResult[] = [];
  for (const one of HTTP1_CASES) {
    if (one.truncated && door.tls === null) continue;
    const detail = await runCase(door, one).catch((error: Error) => error.message);
    results.push({
      target: door.name,
      case: `${one.group}: ${one.name} (${one.source})`,
      outcome: detail === null ? "passed" : "failed",
      detail: detail ?? "",
    });
  }
  return results;
}

/** `ended`: the connection of an HTTP/1 client ended with nothing said, which cannot be taken for a response either. */
function matches(outcome: Outcome, got: string): boolean {
  switch (outcome.kind) {
    case "whole":
      return got === `${outcome.status} ${outcome.body}`;
    case "none":
      return got === "502";
    case "cut":
      return got === `${outcome.status} cut` || got === "ended" || got === "502";
    case "reset":
    case "waiting":
      return false;
    default:
      return outcome satisfies never;
  }
}

async function runCase(door: Door, one: Http1Case): Promise<string | null> {
  const sockets = new Set<Socket>();
  const script = Promise.withResolvers<void>();
  script.promise.catch(() => {});
  const begun = Promise.withResolvers<void>();
  let first: Http1Hostile | null = null;
  const onSocket = (socket: Socket): void => {
    sockets.add(socket);
    const hostile = new Http1Hostile(socket);
    let answered = 0;
    const over = (): void => {
      hostile.ended = true;
      hostile.wake();
    };
    socket.on("error", () => {});
    socket.on("end", () => {
      over();
      socket.end();
    });
    socket.on("close", () => {
      sockets.delete(socket);
      over();
    });
    one.greet?.(socket);
    socket.on("data", (chunk) => {
      hostile.text += chunk.toString("latin1");
      if (first === null) {
        first = hostile;
        answered++;
        begun.resolve();
        void (async () => one.act(hostile))().then(script.resolve, script.reject);
      }
      // The requests that follow have no content.
      const requests = hostile.text.split("GET / HTTP/1.1\r\n").length - 1 + (hostile.text.startsWith("GET") ? 0 : 1);
      for (; answered < requests && hostile.text.endsWith("\r\n\r\n"); answered++) hostile.write(OK);
      hostile.wake();
    });
  };
  const server =
    door.tls === null
      ? createServer({ allowHalfOpen: true }, onSocket)
      : createTlsServer({ ...door.tls, requestCert: true, rejectUnauthorized: true, allowHalfOpen: true }, onSocket);
  const relay = createServer({ allowHalfOpen: true }, (near) => cutOff(near, port(server), sockets));
  for (const each of [server, relay]) await new Promise<void>((resolve) => each.listen(0, "127.0.0.1", resolve));
  try {
    door.point(port(one.truncated ? relay : server));
    const started = await door.start(one.method, one.body);
    const neighbour = door.bystander();
    if (one.outcome.kind === "waiting") {
      await within(begun.promise, "the request");
      const silence = new Promise<string>((resolve) => setTimeout(() => resolve("nothing"), PATIENCE_MS));
      const got = await Promise.race([started.outcome, silence]);
      started.cancel();
      if (got !== "nothing") return `the client got ${got}`;
    } else {
      const got = await within(started.outcome, "the client's answer");
      if (!matches(one.outcome, got)) return `the client got ${got}`;
    }
    if (!one.hopeless) await within(script.promise, "the end of the script");
    const scripted = first as Http1Hostile | null;
    if (one.dropped) await within(scripted?.over() ?? Promise.resolve(), "the proxy's end of the connection");
    await neighbour;
    await door.bystander();
    if (scripted?.left === true) await within(scripted.over(), "the end of the connection");
    const next = await within((await door.start("GET", "")).outcome, "the answer to the next request");
    if (next !== (one.hopeless ? "502" : "200 ok")) return `the next request got ${next}`;
    for (let i = 0; door.inFlight() > 0; i++) {
      if (i === 100) return `${door.inFlight()} requests are still in flight`;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    return null;
  } finally {
    server.close();
    relay.close();
    for (const socket of sockets) socket.destroy();
  }
}

function port(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

/** Passes bytes on, and ends the connection once the server has been quiet for a while. */
function cutOff(near: Socket, to: number, sockets: Set<Socket>): void {
  const far = connect({ port: to, host: "127.0.0.1", allowHalfOpen: true });
  let quiet: ReturnType<typeof setTimeout> | undefined;
  for (const socket of [near, far]) {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => {
      clearTimeout(quiet);
      near.destroy();
      far.destroy();
    });
  }
  near.pipe(far);
  far.on("data", (chunk) => {
    near.write(chunk);
    clearTimeout(quiet);
    quiet = setTimeout(() => near.end(), QUIET_MS);
  });
  far.on("end", () => near.end());
}

/** Longer than a handshake's pauses. */
const QUIET_MS = 150;
