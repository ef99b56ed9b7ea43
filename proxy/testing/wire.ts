// Clients and servers of tests that speak bytes: what was sent is exactly what was written here.
import { connect, createServer, type Server, type Socket } from "node:net";

export type Raw = {
  readonly socket: Socket;
  /** Everything received so far, latin1. */
  text(): string;
  write(text: string | Uint8Array): void;
  /** Resolves when the text received matches; rejects when the connection ends before. */
  until(pattern: RegExp | string | ((text: string) => boolean)): Promise<string>;
  /** Resolves with everything when the peer has ended or closed. */
  readonly closed: Promise<string>;
};

export function raw(socket: Socket): Raw {
  let received = "";
  let ended = false;
  const waiters = new Set<() => void>();
  const wake = (): void => {
    for (const waiter of [...waiters]) waiter();
  };
  const closed = Promise.withResolvers<string>();
  socket.setNoDelay(true);
  socket.on("data", (chunk) => {
    received += chunk.toString("latin1");
    wake();
  });
  const end = (): void => {
    ended = true;
    wake();
    closed.resolve(received);
  };
  socket.on("end", end);
  socket.on("close", end);
  socket.on("error", end);
  return {
    socket,
    text: () => received,
    write: (text) => void socket.write(typeof text === "string" ? Buffer.from(text, "latin1") : text),
    closed: closed.promise,
    until(pattern) {
      const { promise, resolve, reject } = Promise.withResolvers<string>();
      const check = (): void => {
        const hit =
          typeof pattern === "string" ? received.includes(pattern) : pattern instanceof RegExp ? pattern.test(received) : pattern(received);
        if (hit) resolve(received);
        else if (ended) reject(new Error(`the connection ended before ${pattern}; received: ${JSON.stringify(received)}`));
        else return;
        waiters.delete(check);
      };
      waiters.add(check);
      check();
      return promise;
    },
  };
}

export function dialRaw(port: number): Promise<Raw> {
  const { promise, resolve, reject } = Promise.withResolvers<Raw>();
  const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
  socket.once("error", reject);
  socket.once("connect", () => resolve(raw(socket)));
  return promise;
}

export type RawServer = {
  readonly port: number;
  /** The next connection, in order of arrival. */
  accept(): Promise<Raw>;
  readonly accepted: number;
  stop(): void;
};

export async function serveRaw(onConnection?: (connection: Raw) => void): Promise<RawServer> {
  const queue: Raw[] = [];
  const waiting: ((connection: Raw) => void)[] = [];
  const sockets = new Set<Socket>();
  let accepted = 0;
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    accepted++;
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    const connection = raw(socket);
    if (onConnection) onConnection(connection);
    else {
      const next = waiting.shift();
      if (next) next(connection);
      else queue.push(connection);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as { port: number }).port,
    get accepted() {
      return accepted;
    },
    accept() {
      const ready = queue.shift();
      if (ready) return Promise.resolve(ready);
      return new Promise((resolve) => waiting.push(resolve));
    },
    stop() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
