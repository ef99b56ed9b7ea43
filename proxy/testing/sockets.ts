// Clients and servers of tests in the pods' network namespaces, made by this process: bytes out, bytes in, with the kernel's
// backpressure to be felt. What wire.ts is on loopback.
import type { Socket, TCPSocketListener } from "bun";
import type { Credentials } from "../contracts.ts";
import type { Pod } from "./namespaces.ts";

/** What is kept of a connection's input unless it is told otherwise, bytes; beyond, only counted. */
const KEEP_BYTES = 1 << 20;

export class PodSocket {
  /** Bytes received. */
  received = 0;
  /** The peer has ended its half, or the connection is over. */
  ended = false;
  closedBy: string | null = null;
  /** Called when the peer has ended its half. */
  onEnd: (() => void) | null = null;
  /** Called with every chunk. */
  onData: ((chunk: Uint8Array) => void) | null = null;
  readonly closed: Promise<void>;
  #text = "";
  #socket: Socket<PodSocket> | null = null;
  #queue: Uint8Array[] = [];
  #drained: (() => void)[] = [];
  readonly #waiters = new Set<() => void>();
  #close: () => void = () => {};

  constructor() {
    this.closed = new Promise((resolve) => {
      this.#close = resolve;
    });
  }

  static readonly events = {
    data: (socket: Socket<PodSocket>, chunk: Uint8Array) => socket.data.data(chunk),
    drain: (socket: Socket<PodSocket>) => socket.data.drain(),
    end: (socket: Socket<PodSocket>) => socket.data.end(),
    close: (socket: Socket<PodSocket>, error?: Error) => socket.data.over(error),
    error: (socket: Socket<PodSocket>, error: Error) => socket.data?.over(error),
  };

  adopt(socket: Socket<PodSocket>): void {
    this.#socket = socket;
    socket.setNoDelay(true);
  }

  /** Everything received so far, latin1, up to a mebibyte. */
  text(): string {
    return this.#text;
  }

  /** Forgets what was received. */
  clear(): void {
    this.#text = "";
  }

  /** Resolves when the kernel has taken everything, or the connection is over. */
  write(bytes: Uint8Array | string): Promise<void> {
    const chunk = typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes;
    const socket = this.#socket;
    if (socket === null || this.closedBy !== null) return Promise.resolve();
    const n = this.#queue.length > 0 ? 0 : Math.max(0, socket.write(chunk));
    if (n >= chunk.length) return Promise.resolve();
    this.#queue.push(chunk.subarray(n));
    return new Promise((resolve) => this.#drained.push(resolve));
  }

  pause(): void {
    this.#socket?.pause();
  }

  resume(): void {
    this.#socket?.resume();
  }

  /** FIN. */
  finish(): void {
    this.#socket?.shutdown();
  }

  /** RST. */
  reset(): void {
    this.#socket?.terminate();
  }

  close(): void {
    this.#socket?.end();
  }

  /** Resolves when what was received satisfies; rejects when the connection ends before. */
  until(what: string | RegExp | ((text: string) => boolean)): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const check = (): void => {
      const hit = typeof what === "string" ? this.#text.includes(what) : what instanceof RegExp ? what.test(this.#text) : what(this.#text);
      if (hit) resolve(this.#text);
      else if (this.ended) reject(new Error(`the connection ended before ${what}; received: ${JSON.stringify(this.#text.slice(-400))}`));
      else return;
      this.#waiters.delete(check);
    };
    this.#waiters.add(check);
    check();
    return promise;
  }

  data(chunk: Uint8Array): void {
    this.received += chunk.length;
    if (this.#text.length < KEEP_BYTES) this.#text += Buffer.from(chunk).toString("latin1");
    this.onData?.(chunk);
    this.#wake();
  }

  drain(): void {
    while (this.#queue.length > 0) {
      const chunk = this.#queue[0] as Uint8Array;
      const n = Math.max(0, this.#socket?.write(chunk) ?? 0);
      if (n < chunk.length) {
        this.#queue[0] = chunk.subarray(n);
        return;
      }
      this.#queue.shift();
    }
    for (const resolve of this.#drained.splice(0)) resolve();
  }

  end(): void {
    this.ended = true;
    this.#wake();
    this.onEnd?.();
  }

  over(error?: Error): void {
    if (this.closedBy !== null) return;
    this.closedBy = (error as { code?: string } | undefined)?.code ?? "";
    this.ended = true;
    this.#queue = [];
    for (const resolve of this.#drained.splice(0)) resolve();
    this.#wake();
    this.#close();
  }

  #wake(): void {
    for (const waiter of [...this.#waiters]) waiter();
  }
}

export type DialOptions = {
  readonly host: string;
  readonly port: number;
  /** Mesh TLS; absent: plain. */
  readonly tls?: { readonly serverName: string; readonly credentials: Credentials | null; readonly ca: string; readonly alpn?: string };
};

/** Connects from within a pod. Rejects when the connection, or the handshake, fails. */
export function dialFrom(pod: Pod, options: DialOptions): Promise<PodSocket> {
  const { promise, resolve, reject } = Promise.withResolvers<PodSocket>();
  const connection = new PodSocket();
  const { tls } = options;
  pod
    .within(() =>
      Bun.connect<PodSocket>({
        hostname: options.host,
        port: options.port,
        allowHalfOpen: true,
        ...(tls === undefined
          ? {}
          : {
              tls: {
                ca: tls.ca,
                serverName: tls.serverName,
                rejectUnauthorized: false,
                ...(tls.credentials === null ? {} : { key: tls.credentials.keyPem, cert: tls.credentials.certChainPem }),
                ...(tls.alpn === undefined ? {} : { ALPNProtocols: tls.alpn }),
              } as object,
            }),
        data: connection,
        socket: {
          ...PodSocket.events,
          open(socket) {
            connection.adopt(socket);
            if (tls === undefined) resolve(connection);
          },
          handshake(_socket, ok, error) {
            if (ok) resolve(connection);
            else reject(error ?? new Error("the TLS handshake failed"));
          },
          close(socket, error) {
            PodSocket.events.close(socket, error);
            reject(error ?? new Error("closed"));
          },
          connectError: (_socket, error) => reject(error),
        },
      }),
    )
    .catch(reject);
  return promise;
}

export type PodServer = {
  readonly port: number;
  /** Connections that are open. */
  readonly open: ReadonlySet<PodSocket>;
  readonly accepted: number;
  stop(): void;
};

/** Listens in a pod, on all addresses. A connection whose peer has ended is closed, unless its `onEnd` is set to something else. */
export function serveIn(pod: Pod, port: number, onConnection: (connection: PodSocket) => void): PodServer {
  const open = new Set<PodSocket>();
  let accepted = 0;
  const server: TCPSocketListener<PodSocket> = pod.within(() =>
    Bun.listen<PodSocket>({
      hostname: "0.0.0.0",
      port,
      allowHalfOpen: true,
      socket: {
        ...PodSocket.events,
        open(socket) {
          const connection = new PodSocket();
          socket.data = connection;
          connection.adopt(socket);
          accepted++;
          open.add(connection);
          connection.onEnd = () => connection.close();
          void connection.closed.then(() => open.delete(connection));
          onConnection(connection);
        },
      },
    }),
  );
  return {
    port,
    open,
    get accepted() {
      return accepted;
    },
    stop() {
      server.stop(true);
    },
  };
}

export type PodResponse = { readonly status: number; readonly headers: ReadonlyMap<string, string>; readonly body: string };

/** One HTTP/1.1 request on a connection of its own. Rejects when there is no whole answer within `timeoutMs`. */
export async function requestFrom(
  pod: Pod,
  options: DialOptions & { method?: string; path?: string; headers?: Record<string, string>; body?: string; timeoutMs?: number },
): Promise<PodResponse> {
  const { method = "GET", path = "/", headers = {}, body = "", timeoutMs = 5000 } = options;
  let connection: PodSocket | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer to ${method} ${path} within ${timeoutMs} ms`)), timeoutMs);
  });
  const exchange = async (): Promise<PodResponse> => {
    connection = await dialFrom(pod, options);
    let bytes = Buffer.alloc(0);
    const chunks: Uint8Array[] = [];
    connection.onData = (chunk) => void chunks.push(new Uint8Array(chunk));
    const fields = { host: `${options.host}:${options.port}`, connection: "close", ...headers };
    const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
    const length = body === "" ? "" : `content-length: ${Buffer.byteLength(body)}\r\n`;
    void connection.write(`${method} ${path} HTTP/1.1\r\n${lines.join("")}${length}\r\n${body}`);
    for (;;) {
      const { received } = connection;
      bytes = Buffer.concat([bytes, ...chunks.splice(0)]);
      const response = parseResponse(bytes, connection.ended);
      if (response !== null) return response;
      if (connection.ended)
        throw new Error(`the connection ended within the answer to ${method} ${path} (${connection.closedBy ?? "FIN"})`);
      const before = connection;
      await before.until(() => before.received > received || before.ended).catch(() => {});
    }
  };
  try {
    return await Promise.race([exchange(), late]);
  } finally {
    clearTimeout(timer);
    (connection as PodSocket | null)?.reset();
  }
}

/** Null: not whole yet. */
function parseResponse(bytes: Buffer, ended: boolean): PodResponse | null {
  const headEnd = bytes.indexOf("\r\n\r\n");
  if (headEnd < 0) return null;
  const [statusLine = "", ...lines] = bytes.subarray(0, headEnd).toString("latin1").split("\r\n");
  const headers = new Map(lines.map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim()]));
  const rest = bytes.subarray(headEnd + 4);
  const make = (body: Buffer): PodResponse => ({ status: Number(statusLine.split(" ")[1]), headers, body: body.toString("utf8") });
  const length = headers.get("content-length");
  if (length !== undefined) return rest.length >= Number(length) ? make(rest.subarray(0, Number(length))) : null;
  if (headers.get("transfer-encoding") !== "chunked") return ended ? make(rest) : null;
  const parts: Buffer[] = [];
  for (let at = 0; ; ) {
    const lineEnd = rest.indexOf("\r\n", at);
    if (lineEnd < 0) return null;
    const size = Number.parseInt(rest.subarray(at, lineEnd).toString("latin1"), 16);
    if (rest.length < lineEnd + 4 + size) return null;
    if (size === 0) return make(Buffer.concat(parts));
    parts.push(rest.subarray(lineEnd + 2, lineEnd + 2 + size));
    at = lineEnd + 4 + size;
  }
}
