// The application behind the proxy: it writes down every byte that reaches it, and answers each request that is complete.
import { createServer, type Socket } from "node:net";
import { type ReadMessage, readRequests } from "./strict-reader.ts";

export type Recorded = {
  /** Where it begins: of what was complete, and then of what was not. */
  readonly requests: readonly ReadMessage[];
  /** Beginnings of requests whose rest never came. */
  readonly unfinished: readonly string[];
  /** Why the bytes could be read in two ways; null when they cannot. */
  readonly problem: string | null;
  readonly bytes: number;
};

/** What the application does with a complete request: bytes to answer, null for nothing. */
export type Answer = (request: ReadMessage, socket: Socket) => string | null;

export const OK = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const OK_HEAD = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n";

export const answerOk: Answer = ({ start }) => (start.startsWith("HEAD ") ? OK_HEAD : start.startsWith("CONNECT ") ? REFUSE : OK);
const REFUSE = "HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 0\r\n\r\n";

class Connection {
  readonly socket: Socket;
  /** Bytes that are no complete request yet. */
  rest = "";
  ended = false;
  problem: string | null = null;

  constructor(socket: Socket) {
    this.socket = socket;
  }
}

export class Recorder {
  answer: Answer = answerOk;
  /** Times that a request of this target has come, however complete: of what nobody may see. */
  leaks = 0;
  readonly port: number;
  readonly #stop: () => void;
  readonly #connections = new Set<Connection>();
  #requests: ReadMessage[] = [];
  #problem: string | null = null;
  #bytes = 0;
  #changed = Promise.withResolvers<void>();

  private constructor(port: number, stop: () => void) {
    this.port = port;
    this.#stop = stop;
  }

  static async start(): Promise<Recorder> {
    const server = createServer({ allowHalfOpen: true }, (socket) => recorder.#accept(socket));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("no port");
    const recorder = new Recorder(address.port, () => server.close());
    return recorder;
  }

  /** What has come since the last call. Connections that are quiet in the middle of nothing are none of its business. */
  take(): Recorded {
    const unfinished: string[] = [];
    for (const connection of this.#connections) {
      if (connection.rest !== "") unfinished.push(connection.rest);
      if (connection.ended) this.#connections.delete(connection);
    }
    const taken = { requests: this.#requests, unfinished, problem: this.#problem, bytes: this.#bytes };
    this.#requests = [];
    this.#problem = null;
    this.#bytes = 0;
    return taken;
  }

  /** Connections in the middle of a request that their peer may still complete. */
  get open(): number {
    let n = 0;
    for (const { rest, ended } of this.#connections) if (rest !== "" && !ended) n++;
    return n;
  }

  /** Resolves when something has come or a connection has ended. */
  changed(): Promise<void> {
    return this.#changed.promise;
  }

  stop(): void {
    this.#stop();
    for (const { socket } of this.#connections) socket.destroy();
  }

  #accept(socket: Socket): void {
    const connection = new Connection(socket);
    this.#connections.add(connection);
    socket.setNoDelay(true);
    socket.on("data", (chunk) => {
      this.#bytes += chunk.length;
      connection.rest += chunk.toString("latin1");
      this.#read(connection);
      this.#wake();
    });
    const end = (): void => {
      if (connection.ended) return;
      connection.ended = true;
      if (connection.rest === "") this.#connections.delete(connection);
      socket.end();
      this.#wake();
    };
    socket.on("end", end);
    socket.on("close", end);
    socket.on("error", () => {});
  }

  #read(connection: Connection): void {
    if (connection.rest.includes("/smuggled")) this.leaks++;
    const { messages, problem, consumed } = readRequests(connection.rest);
    if (problem !== null) this.#problem ??= problem;
    if (consumed === 0) return;
    connection.rest = connection.rest.slice(consumed);
    for (const message of messages) {
      if (!message.complete) continue;
      this.#requests.push(message);
      const bytes = this.answer(message, connection.socket);
      if (bytes !== null) connection.socket.write(Buffer.from(bytes, "latin1"));
    }
  }

  #wake(): void {
    const { resolve } = this.#changed;
    this.#changed = Promise.withResolvers<void>();
    resolve();
  }
}

/** Rejects when it takes longer than anything on this machine should. */
export async function within<T>(promise: Promise<T>, what: string, ms = 3000): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing for ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
