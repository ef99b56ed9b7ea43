// The DNS server: UDP and TCP on one address and port.
import { createSocket } from "node:dgram";
import { createServer, type Socket } from "node:net";
import { maxQueryBytes, respond } from "./message.ts";
import type { Answer } from "./records.ts";

export interface DnsServerOptions {
  /** Address to listen on. */
  host: string;
  /** 0: any port free for both UDP and TCP. */
  port?: number;
  resolve: (name: string, type: string) => Answer;
  /** Queries that come before this resolves are answered then: a name that is not known yet must not be denied. */
  ready?: Promise<void>;
}

export interface DnsServer {
  port: number;
  close(): Promise<void>;
}

/** A client over TCP that says nothing for so long is let go. */
const idleMs = 10_000;
/** Connections over TCP at one time; further ones are closed at once. */
const maxConnections = 256;
/** Queries that wait for the server to be ready. */
export const maxHeld = 1_024;
/** UDP and TCP need the same number: with port 0 it may take several tries. */
const maxPortTries = 16;

/** @throws {Error} when the address or port cannot be had. */
export async function startDnsServer({ host, port = 0, resolve, ready }: DnsServerOptions): Promise<DnsServer> {
  const gate = new Gate(ready);
  for (let attempt = 1; ; attempt++) {
    const udp = createSocket("udp4");
    let isClosed = false;
    udp.on("message", (message, sender) => {
      gate.run(() => {
        const answer = respond(message, resolve, "udp");
        if (answer && !isClosed) udp.send(answer, sender.port, sender.address, () => {});
      });
    });
    await new Promise<void>((done, fail) => {
      udp.once("error", fail);
      udp.bind(port, host, () => {
        udp.removeAllListeners("error");
        udp.on("error", () => {});
        done();
      });
    });
    const chosen = udp.address().port;
    const sockets = new Set<Socket>();
    const tcp = createServer((socket) => {
      sockets.add(socket);
      gate.run(() => serveTcp(socket, resolve));
      socket.on("close", () => sockets.delete(socket));
      if (sockets.size > maxConnections) socket.destroy();
    });
    try {
      await new Promise<void>((done, fail) => {
        tcp.once("error", fail);
        tcp.listen(chosen, host, done);
      });
    } catch (error) {
      await new Promise<void>((done) => udp.close(() => done()));
      if (port === 0 && attempt < maxPortTries) continue;
      throw error;
    }
    return {
      port: chosen,
      close: async () => {
        isClosed = true;
        for (const socket of sockets) socket.destroy();
        await Promise.all([new Promise<void>((done) => udp.close(() => done())), new Promise<void>((done) => tcp.close(() => done()))]);
      },
    };
  }
}

/** Lets calls through once a promise has resolved, those that came before in their order. */
class Gate {
  #held: (() => void)[] | undefined;

  constructor(ready: Promise<void> | undefined) {
    if (!ready) return;
    this.#held = [];
    void ready.then(() => {
      const held = this.#held ?? [];
      this.#held = undefined;
      for (const call of held) call();
    });
  }

  /** One too many is dropped: the client asks again. */
  run(call: () => void): void {
    if (!this.#held) call();
    else if (this.#held.length < maxHeld) this.#held.push(call);
  }
}

/** Messages with a 16-bit length before each (RFC 1035 §4.2.2). */
function serveTcp(socket: Socket, resolve: (name: string, type: string) => Answer): void {
  let buffered = Buffer.alloc(0);
  socket.setTimeout(idleMs, () => socket.destroy());
  socket.on("error", () => socket.destroy());
  socket.on("data", (chunk) => {
    buffered = Buffer.concat([buffered, chunk as Buffer]);
    while (buffered.length >= 2) {
      const length = buffered.readUInt16BE(0);
      if (length > maxQueryBytes) return void socket.destroy();
      if (buffered.length < 2 + length) return;
      const answer = respond(buffered.subarray(2, 2 + length), resolve, "tcp");
      buffered = buffered.subarray(2 + length);
      if (!answer) return void socket.destroy();
      const prefix = Buffer.alloc(2);
      prefix.writeUInt16BE(answer.length, 0);
      socket.write(Buffer.concat([prefix, answer]));
    }
  });
}
