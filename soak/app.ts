// The applications of a soak: instances on addresses of their own that echo what they get, by HTTP/1, WebSocket, gRPC, and a protocol
// in which the server speaks first. Lines on standard input: `join IP`, `leave IP`; answered by `joined IP` when it listens.
// `left IP MS` says when it has gone, and how long after `leave` its last request came.
//   bun soak/app.ts
// An instance that leaves does it as a well-behaved one: it takes connections for a while, then finishes what it has.
import { createHash } from "node:crypto";
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from "node:http";
import net from "node:net";
import { createInterface } from "node:readline";
import * as grpc from "@grpc/grpc-js";
import { ECHO } from "./grpc-echo.ts";
import { PORTS } from "./state.ts";

/** It goes on as before for so long: news of its removal is on its way to proxies, on a machine that may be busy. */
const LISTEN_AFTER_LEAVE_MS = 6000;
/** Then it takes no connections, and what it has ends by itself; what has not by now is cut. */
const FINISH_MS = 70_000;
const LOOK_MS = 100;

type Instance = { stop(): Promise<void> };

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits until there is nothing left, or the time is over. */
async function finished(left: () => number): Promise<void> {
  const deadline = performance.now() + FINISH_MS;
  while (left() > 0 && performance.now() < deadline) await sleep(LOOK_MS);
}

function listening(server: net.Server, ip: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, ip, resolve);
  });
}

/** The digest of a body however long it is, without keeping it. */
async function digest(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    hash.update(chunk);
    bytes += chunk.length;
  }
  response.end(`${bytes} ${hash.digest("hex")}\n`);
}

async function startUploads(ip: string): Promise<Instance> {
  let open = 0;
  const server = createHttpServer((request, response) => {
    open++;
    void digest(request, response)
      .catch(() => response.destroy())
      .finally(() => open--);
  });
  await listening(server, ip, PORTS.upload);
  return {
    async stop() {
      server.close();
      await finished(() => open);
      server.closeAllConnections();
    },
  };
}

/** When instances that are leaving were told to, and how long after it the last request came. */
const leaving = new Map<string, { since: number; lastMs: number }>();

/** Echo, with the instance's address; WebSockets at any path. */
function startHttp(ip: string, port: number): Instance {
  const server = Bun.serve({
    hostname: ip,
    port,
    idleTimeout: 60,
    async fetch(request, self) {
      const left = leaving.get(ip);
      if (left !== undefined) left.lastMs = performance.now() - left.since;
      if (request.headers.get("upgrade") === "websocket") return self.upgrade(request) ? undefined : new Response("no", { status: 400 });
      const body = await request.arrayBuffer();
      const headers = { "x-instance": ip, "x-seed": request.headers.get("x-seed") ?? "", "content-type": "application/octet-stream" };
      return new Response(body, { headers });
    },
    websocket: {
      maxPayloadLength: 4 * 1024 * 1024,
      message(socket, message) {
        socket.send(message);
      },
    },
  });
  return {
    async stop() {
      void server.stop();
      await finished(() => server.pendingRequests + server.pendingWebSockets);
      await server.stop(true);
    },
  };
}

async function startGrpc(ip: string, failures: Set<string>): Promise<Instance> {
  const server = new grpc.Server({ "grpc.max_receive_message_length": -1 });
  server.addService(ECHO, {
    Unary: (call: grpc.ServerUnaryCall<Buffer, Buffer>, callback: grpc.sendUnaryData<Buffer>) => callback(null, call.request),
    // Fails once for each message: whoever gets an answer has asked twice.
    Flaky(call: grpc.ServerUnaryCall<Buffer, Buffer>, callback: grpc.sendUnaryData<Buffer>) {
      const key = call.request.toString("latin1");
      if (failures.delete(key)) callback(null, call.request);
      else {
        failures.add(key);
        callback({ code: grpc.status.UNAVAILABLE, details: "ask again" });
      }
    },
    Bidi(call: grpc.ServerDuplexStream<Buffer, Buffer>) {
      call.on("data", (message: Buffer) => void call.write(message));
      call.on("end", () => call.end());
      call.on("error", () => {});
    },
    // As many messages as the first byte says, each the whole request.
    Repeat(call: grpc.ServerWritableStream<Buffer, Buffer>) {
      for (let i = 0; i < (call.request[0] ?? 0); i++) call.write(call.request);
      call.end();
    },
  });
  await new Promise<void>((resolve, reject) =>
    server.bindAsync(`${ip}:${PORTS.grpc}`, grpc.ServerCredentials.createInsecure(), (error) => (error ? reject(error) : resolve())),
  );
  return {
    async stop() {
      await Promise.race([new Promise<void>((resolve) => server.tryShutdown(() => resolve())), sleep(FINISH_MS)]);
      server.forceShutdown();
    },
  };
}

/** The server greets, then sends back every byte inverted. */
async function startTcp(ip: string): Promise<Instance> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy());
    socket.write(`220 ${ip} ready\r\n`);
    socket.on("data", (chunk) => {
      const inverted = Buffer.alloc(chunk.length);
      for (let i = 0; i < chunk.length; i++) inverted[i] = ~(chunk[i] as number);
      if (!socket.write(inverted)) {
        socket.pause();
        socket.once("drain", () => socket.resume());
      }
    });
    socket.on("end", () => socket.end());
  });
  await listening(server, ip, PORTS.tcp);
  return {
    async stop() {
      server.close();
      await finished(() => sockets.size);
      for (const socket of sockets) socket.destroy();
    },
  };
}

const instances = new Map<string, Instance[]>();
/** Messages that have failed once, on whichever instance. */
const failures = new Set<string>();

async function join(ip: string): Promise<void> {
  const parts = [
    startHttp(ip, PORTS.http),
    startHttp(ip, PORTS.guarded),
    await startGrpc(ip, failures),
    await startTcp(ip),
    await startUploads(ip),
  ];
  instances.set(ip, parts);
  console.log(`joined ${ip}`);
}

async function leave(ip: string): Promise<void> {
  const parts = instances.get(ip) ?? [];
  instances.delete(ip);
  const left = { since: performance.now(), lastMs: 0 };
  leaving.set(ip, left);
  await sleep(LISTEN_AFTER_LEAVE_MS);
  await Promise.all(parts.map((part) => part.stop()));
  leaving.delete(ip);
  console.log(`left ${ip} ${left.lastMs.toFixed(1)}`);
}

for await (const line of createInterface({ input: process.stdin })) {
  const [verb, ip = ""] = line.split(" ");
  if (verb === "join") await join(ip);
  else void leave(ip);
}
process.exit(0);
