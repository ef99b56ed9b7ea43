// Engines on real sockets of the loopback interface, for tests against other implementations.
import { connect, createServer, type Socket } from "node:net";
import type { Engine, EngineHost } from "#http";

/** Joins an engine to a socket: one write per event-loop turn. */
export function attach<T extends Engine>(socket: Socket, make: (host: EngineHost) => T): T {
  let scheduled = false;
  const flush = (): void => {
    scheduled = false;
    if (socket.destroyed) return;
    for (let bytes = engine.output(); bytes !== null; bytes = engine.output()) if (!socket.write(new Uint8Array(bytes))) return;
  };
  const host: EngineHost = {
    scheduleFlush() {
      if (scheduled) return;
      scheduled = true;
      setImmediate(flush);
    },
    pauseReading: () => void socket.pause(),
    resumeReading: () => void socket.resume(),
    finish() {
      flush();
      socket.end();
    },
    abort: () => void socket.destroy(),
  };
  const engine = make(host);
  socket.on("data", (chunk) => {
    engine.receive(chunk);
    // Whoever has kept a view sees it.
    chunk.fill(0xdb);
  });
  socket.on("drain", flush);
  socket.on("end", () => engine.receiveEnd());
  socket.on("error", () => {});
  socket.on("close", () => engine.receiveClose(""));
  return engine;
}

export type Listener = { readonly port: number; readonly engines: Engine[]; close(): Promise<void> };

/** A server on 127.0.0.1 with an engine for each connection. */
export async function listen(make: (host: EngineHost) => Engine): Promise<Listener> {
  const sockets = new Set<Socket>();
  const engines: Engine[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.on("close", () => sockets.delete(socket));
    engines.push(attach(socket, make));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return {
    port: address.port,
    engines,
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

/** An engine connected to a port of 127.0.0.1. */
export async function dial<T extends Engine>(port: number, make: (host: EngineHost) => T): Promise<{ engine: T; socket: Socket }> {
  const socket = connect({ port, host: "127.0.0.1", noDelay: true, allowHalfOpen: true });
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", reject);
  });
  return { engine: attach(socket, make), socket };
}
