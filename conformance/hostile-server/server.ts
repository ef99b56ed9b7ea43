// The hostile server: raw frames. The connection on which the first request comes follows the case; once it has, and on every
// other connection, its manners are good, so that one can see that the proxy has recovered.
import { createServer, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { readUint31 } from "../../packages/http2/frames/header.ts";
import { concat, data, FrameType, Peer, settings, settingsAck } from "../../packages/http2/testing/wire.ts";
import type { HostileCase } from "./case.ts";

export class Hostile {
  readonly peer = new Peer(true);
  /** What has come, a line a frame. */
  readonly lines: string[] = [];
  /** Stream of the request. */
  id = 0;
  ended = false;
  /** It has left the connection by itself. */
  left = false;
  /** Highest stream it will answer, by its GOAWAY. */
  last = Number.POSITIVE_INFINITY;
  /** Requests that came behind its GOAWAY. */
  late = 0;
  readonly #socket: Socket;
  readonly #waiting = new Set<() => void>();

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  send(...frames: readonly Uint8Array[]): void {
    for (const bytes of frames)
      if (bytes[3] === FrameType.GOAWAY && bytes.length >= 17) this.last = Math.min(this.last, readUint31(bytes, 9));
    if (!this.#socket.destroyed) this.#socket.write(concat(...frames));
  }

  /** A response of good manners. */
  ok(stream = this.id): Uint8Array {
    return concat(this.peer.headers(stream, [":status", "200", "content-length", "2"]), data(stream, "ok", true));
  }

  head(fields: readonly string[] = [":status", "200"], end = false): Uint8Array {
    return this.peer.headers(this.id, fields, end);
  }

  end(): void {
    this.left = true;
    this.#socket.end();
  }

  /** Drops the connection by RST. */
  abort(): void {
    this.left = true;
    this.#socket.resetAndDestroy();
  }

  resume(): void {
    this.#socket.resume();
  }

  pause(): void {
    this.#socket.pause();
  }

  /** The first line that satisfies; null when the connection ends before. */
  async find(matches: (line: string) => boolean): Promise<string | null> {
    for (;;) {
      const hit = this.lines.find(matches);
      if (hit !== undefined || this.ended) return hit ?? null;
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
  }

  /** Resolves when the connection is over. */
  async over(): Promise<void> {
    while (!this.ended) await new Promise<void>((resolve) => this.#waiting.add(resolve));
  }

  /** Lets the other side read what was sent. */
  turn(): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, 2));
  }

  wake(): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const resolve of waiting) resolve();
  }
}

export type HostileServer = {
  readonly port: number;
  /** The connection that follows the case; null before it has come. */
  readonly first: Hostile | null;
  readonly accepted: number;
  /** Connections that are open. */
  readonly open: number;
  /** Resolves when the request is there. */
  readonly begun: Promise<void>;
  /** Rejects what the case's script rejects with. */
  readonly script: Promise<void>;
  stop(): void;
};

/** Mesh TLS in front of it: the certificate of the server and whom it trusts. */
export type ServerTls = { readonly key: string; readonly cert: string; readonly ca: string };

export async function startHostile(one: HostileCase, tls: ServerTls | null = null): Promise<HostileServer> {
  const sockets = new Set<Socket>();
  const script = Promise.withResolvers<void>();
  // Looked at by who waits for it; a case may end before.
  script.promise.catch(() => {});
  const begun = Promise.withResolvers<void>();
  let first: Hostile | null = null;
  let accepted = 0;
  const onSocket = (socket: Socket): void => {
    accepted++;
    sockets.add(socket);
    const hostile = new Hostile(socket);
    const over = (): void => {
      hostile.ended = true;
      hostile.wake();
    };
    socket.setNoDelay(true);
    socket.on("error", () => {});
    socket.on("end", () => {
      over();
      socket.end();
    });
    socket.on("close", () => {
      sockets.delete(socket);
      over();
    });
    const quiet = one.quiet && first === null;
    if (!quiet) socket.write(settings());
    socket.on("data", (chunk) => {
      for (const line of hostile.peer.read(chunk)) {
        hostile.lines.push(line);
        if (line.startsWith("SETTINGS") && line !== "SETTINGS ACK" && !quiet) socket.write(settingsAck());
        const stream = Number(line.split(" ")[1]);
        if (line.startsWith("HEADERS ") && first === null) {
          first = hostile;
          hostile.id = stream;
          begun.resolve();
          void (async () => one.act(hostile))().then(script.resolve, script.reject);
        } else if (/^(HEADERS|DATA) .*END$/.test(line) && stream !== hostile.id) {
          if (stream <= hostile.last) hostile.send(hostile.ok(stream));
          else hostile.late++;
        }
      }
      hostile.wake();
    });
  };
  const server =
    tls === null
      ? createServer({ allowHalfOpen: true }, onSocket)
      : createTlsServer({ ...tls, requestCert: true, rejectUnauthorized: true, ALPNProtocols: ["h2"] }, onSocket);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return {
    port: address.port,
    get first() {
      return first;
    },
    get accepted() {
      return accepted;
    },
    get open() {
      return sockets.size;
    },
    begun: begun.promise,
    script: script.promise,
    stop() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
