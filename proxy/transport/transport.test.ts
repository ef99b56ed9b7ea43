// Real sockets on loopback: plain and TLS doors, half-close, backpressure, the gate before the first certificate.
import { afterEach, beforeAll, expect, test } from "bun:test";
import tls from "node:tls";
import { createCa, type TestCa } from "../testing/certificates.ts";
import { alpnWire, createContexts, type TlsContexts, terminateTls } from "../tls/index.ts";
import { Connection, type ConnectionHandler, PART_BYTES } from "./connection.ts";
import { type ConnectError, connect, FlushQueue, forward, Listener, type TlsSession } from "./index.ts";

let ca: TestCa;
let server: TlsContexts;
let client: TlsContexts;
let stranger: TlsContexts;
let anonymous: TlsContexts["client"];
beforeAll(async () => {
  ca = await createCa();
  server = createContexts(await ca.issue("server.test"));
  client = createContexts(await ca.issue("client.test"));
  stranger = createContexts({ ...(await (await createCa("other")).issue("client.test")), trustAnchorsPem: ca.pem });
  const { createAnonymousClientContext } = await import("../tls/index.ts");
  anonymous = createAnonymousClientContext(ca.pem);
});

const flushQueue = new FlushQueue({ defer: (run) => void setImmediate(run) });
const cleanup: (() => void)[] = [];
afterEach(() => {
  for (const undo of cleanup.splice(0)) undo();
});

function listen(onAccept: (connection: Connection) => void, open = true): Listener {
  const listener = new Listener({ ip: "127.0.0.1", port: 0, flushQueue, keepaliveMs: null, onAccept });
  cleanup.push(() => listener.stop());
  if (open) listener.open();
  return listener;
}

type Dial = { tls?: { context: TlsContexts["client"]; serverName: string; alpn: Uint8Array | null } | null; timeoutMs?: number };
function dial(port: number, { tls = null, timeoutMs = 2000 }: Dial = {}): Promise<Connection> {
  return new Promise((resolve, reject) =>
    connect({
      addr: { ip: "127.0.0.1", port },
      flushQueue,
      timeoutMs,
      keepaliveMs: null,
      tls,
      onConnect: resolve,
      onError: (error) => reject(error),
    }),
  );
}

/** Collects until the peer ends; `text` resolves then. */
function collect(connection: Connection): { text: Promise<string>; closed: Promise<string> } {
  const text = Promise.withResolvers<string>();
  const closed = Promise.withResolvers<string>();
  const chunks: Uint8Array[] = [];
  connection.handler = {
    onData: (chunk) => void chunks.push(new Uint8Array(chunk)),
    onFlush() {},
    onDrain() {},
    onEnd: () => text.resolve(Buffer.concat(chunks).toString("latin1")),
    onClose: (errno) => closed.resolve(errno),
  };
  return { text: text.promise, closed: closed.promise };
}

/** A TLS door: waits for the first bytes, cuts them in two for the handshake, then hands over. */
function tlsDoor(options: {
  alpn?: Uint8Array;
  onSession: (connection: Connection, session: TlsSession) => void;
  onFailure?: (errno: string) => void;
}): Listener {
  return listen((connection) => {
    connection.handler = {
      onData: (chunk) =>
        terminateTls({
          connection,
          context: server.server,
          initialData: new Uint8Array(chunk),
          alpn: options.alpn ?? null,
          onSession: (session) => options.onSession(connection, session),
          onFailure: (errno) => options.onFailure?.(errno),
        }),
      onFlush() {},
      onDrain() {},
      onEnd() {},
      onClose() {},
    };
  });
}

test("mTLS: identities and ALPN of both sides, bytes and half-close both ways", async () => {
  const accepted = Promise.withResolvers<{ session: TlsSession; text: Promise<string> }>();
  const alpn = alpnWire("transport.l5d.io/v1");
  const door = tlsDoor({
    alpn,
    onSession(connection, session) {
      const { text } = collect(connection);
      accepted.resolve({ session, text });
      void text.then((t) => {
        // The client's half is over: ours still carries bytes.
        connection.write(Buffer.from(`echo ${t}`));
        connection.end();
      });
    },
  });
  const connection = await dial(door.port, { tls: { context: client.client, serverName: "server.test", alpn } });
  expect(connection.tls).toEqual({ peerId: "server.test", alpn: "transport.l5d.io/v1" });
  const answer = collect(connection);
  connection.write(Buffer.from("hello"));
  connection.end();
  const { session, text } = await accepted.promise;
  expect(session).toEqual({ peerId: "client.test", alpn: "transport.l5d.io/v1" });
  expect(await text).toBe("hello");
  expect(await answer.text).toBe("echo hello");
  expect(await answer.closed).toBe("");
});

test("a client without a certificate is anonymous", async () => {
  const session = Promise.withResolvers<TlsSession>();
  const door = tlsDoor({ onSession: (_c, s) => session.resolve(s) });
  const connection = await dial(door.port, { tls: { context: anonymous, serverName: "server.test", alpn: null } });
  cleanup.push(() => connection.abort());
  expect(await session.promise).toEqual({ peerId: null, alpn: null });
});

test.each(["TLSv1.1", "TLSv1.2", "TLSv1.3"] as const)("a client of %s: taken from 1.2 on, its session never resumed", async (version) => {
  const door = tlsDoor({ onSession: (connection) => void connection.write(Buffer.from("hello")) });
  let session: Buffer | undefined;
  const visit = (): Promise<string> =>
    new Promise((resolve) => {
      const socket = tls.connect({
        host: "127.0.0.1",
        port: door.port,
        servername: "server.test",
        ca: ca.pem,
        minVersion: "TLSv1",
        maxVersion: version,
        ...(session === undefined ? {} : { session }),
      });
      socket.on("session", (offered: Buffer) => {
        session = offered;
      });
      socket.on("error", () => resolve("refused"));
      socket.on("data", () =>
        setImmediate(() => {
          session ??= socket.getSession();
          resolve(`${socket.getProtocol()} ${socket.isSessionReused() ? "resumed" : "new"}`);
          socket.destroy();
        }),
      );
    });
  const outcome = version === "TLSv1.1" ? "refused" : `${version} new`;
  expect([await visit(), await visit()]).toEqual([outcome, outcome]);
});

test("a certificate of another root fails the handshake", async () => {
  const failure = Promise.withResolvers<string>();
  const door = tlsDoor({ onSession: () => failure.resolve("accepted"), onFailure: failure.resolve });
  const connection = await dial(door.port, { tls: { context: stranger.client, serverName: "server.test", alpn: null } }).catch(() => null);
  if (connection) collect(connection);
  expect(await failure.promise).toBe("EBADCERT");
});

test("the client refuses a server of another name", async () => {
  const door = tlsDoor({ onSession() {} });
  const error = await dial(door.port, { tls: { context: client.client, serverName: "else.test", alpn: null } }).catch(
    (e: ConnectError) => e,
  );
  expect(error).toMatchObject({ kind: "io" });
});

test("a client offering an ALPN the ordinary port does not know is served", async () => {
  const session = Promise.withResolvers<TlsSession>();
  const door = tlsDoor({ onSession: (_c, s) => session.resolve(s) });
  const connection = await dial(door.port, { tls: { context: client.client, serverName: "server.test", alpn: alpnWire("h2") } });
  cleanup.push(() => connection.abort());
  expect((await session.promise).alpn).toBeNull();
});

test("forward: megabytes through a paused reader, half-close kept", async () => {
  const size = 8 << 20;
  const sink = listen((connection) => {
    let got = 0;
    connection.pause();
    setTimeout(() => connection.resume(), 20);
    connection.handler = {
      onData: (chunk) => void (got += chunk.length),
      onFlush() {},
      onDrain() {},
      onEnd() {
        connection.write(Buffer.from(String(got)));
        connection.end();
      },
      onClose() {},
    };
  });
  let worst = 0;
  const middle = listen((a) => {
    a.pause();
    void dial(sink.port).then((b) => {
      forward({ a, b });
      const inner = a.handler;
      a.handler = {
        onData(chunk) {
          inner.onData(chunk);
          worst = Math.max(worst, b.pendingBytes);
        },
        onFlush() {},
        onDrain: () => inner.onDrain(),
        onEnd: () => inner.onEnd(),
        onClose: (e) => inner.onClose(e),
      };
      a.resume();
    });
  });
  const source = await dial(middle.port);
  const answer = collect(source);
  source.write(new Uint8Array(size));
  source.end();
  expect(await answer.text).toBe(String(size));
  // Bound of the forwarder: one read of the source.
  expect(worst).toBeLessThanOrEqual(1 << 20);
});

test("forward: a reset of one side resets the other", async () => {
  const upstream = Promise.withResolvers<{ closed: Promise<string> }>();
  const sink = listen((connection) => upstream.resolve(collect(connection)));
  const middle = listen((a) => {
    a.pause();
    void dial(sink.port).then((b) => {
      forward({ a, b });
      a.resume();
    });
  });
  const source = await dial(middle.port);
  const { closed } = await upstream.promise;
  source.abort();
  expect(typeof (await closed)).toBe("string");
});

test("the gate: connections before it opens are held, not lost", async () => {
  let accepted = 0;
  const listener = listen((connection) => {
    accepted++;
    connection.handler = {
      onData: (c) => void connection.write(c),
      onFlush() {},
      onDrain() {},
      onEnd: () => connection.end(),
      onClose() {},
    };
  }, false);
  const connection = await dial(listener.port);
  const answer = collect(connection);
  connection.write(Buffer.from("early"));
  connection.end();
  expect(accepted).toBe(0);
  listener.open();
  expect(await answer.text).toBe("early");
  expect(accepted).toBe(1);
});

test("the gate: who takes a held connection may stop it, and loses nothing", async () => {
  const taken = Promise.withResolvers<Connection>();
  let lost = 0;
  const waiting = { onFlush() {}, onDrain() {}, onEnd() {}, onClose() {} };
  const listener = listen((connection) => {
    connection.pause();
    connection.handler = { ...waiting, onData: () => void lost++ };
    taken.resolve(connection);
  }, false);
  const client = await dial(listener.port);
  client.write(Buffer.from("early"));
  await new Promise((resolve) => setTimeout(resolve, 20));
  listener.open();
  const connection = await taken.promise;
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(lost).toBe(0);
  const { promise, resolve } = Promise.withResolvers<string>();
  connection.handler = { ...waiting, onData: (chunk) => resolve(Buffer.from(chunk).toString()) };
  connection.resume();
  expect(await promise).toBe("early");
  client.abort();
});

test("a refused dial is an I/O error, a silent one a timeout", async () => {
  const listener = listen(() => {});
  const { port } = listener;
  listener.stop();
  expect(await dial(port).catch((e: ConnectError) => e)).toMatchObject({ kind: "io", errno: "ECONNREFUSED" });
  const silent = listen(() => {});
  const error = await dial(silent.port, { timeoutMs: 30, tls: { context: client.client, serverName: "server.test", alpn: null } }).catch(
    (e: ConnectError) => e,
  );
  expect(error).toMatchObject({ kind: "timeout", message: "connect timed out after 30ms" });
});

/** A connection over a socket that only remembers what it was told. */
function scripted(handler: Partial<ConnectionHandler>): { connection: Connection; told: string[]; events: string[]; turn: () => void } {
  const told: string[] = [];
  const events: string[] = [];
  const socket = {
    pause: () => void told.push("pause"),
    resume: () => void told.push("resume"),
    terminate: () => void told.push("terminate"),
    shutdown() {},
    end() {},
  } as unknown as Connection["socket"];
  const turns: (() => void)[] = [];
  const queue = new FlushQueue({ defer: (run) => void turns.push(run) });
  const connection = new Connection({
    socket,
    flushQueue: queue,
    handler: {
      onData: (chunk) => void events.push(`data ${chunk.length}`),
      onFlush() {},
      onDrain() {},
      onEnd: () => void events.push("end"),
      onClose: (errno) => void events.push(`close ${errno}`),
      ...handler,
    },
  });
  return { connection, told, events, turn: () => turns.shift()?.() };
}

test("parts: a pause stops within a read, and resume goes on at the end of the turn", () => {
  const sizes: number[] = [];
  const { connection, told, turn } = scripted({
    inParts: true,
    onData(chunk) {
      sizes.push(chunk.length);
      if (sizes.length % 2 === 0) connection.pause();
    },
  });
  connection.socketData(new Uint8Array(PART_BYTES * 3 + 1));
  expect(sizes).toEqual([PART_BYTES, PART_BYTES]);
  // A read that was in flight waits behind.
  connection.socketData(new Uint8Array(5));
  expect(sizes.length).toBe(2);
  connection.resume();
  expect(sizes.length).toBe(2);
  turn();
  expect(sizes).toEqual([PART_BYTES, PART_BYTES, PART_BYTES, 1]);
  connection.resume();
  turn();
  expect(sizes).toEqual([PART_BYTES, PART_BYTES, PART_BYTES, 1, 5]);
  expect(told).toEqual(["pause", "resume"]);
});

test("parts: a read of one part is given whole; a handler that takes none gets every read whole, paused or not", () => {
  const one = scripted({ inParts: true });
  one.connection.socketData(new Uint8Array(PART_BYTES));
  expect(one.events).toEqual([`data ${PART_BYTES}`]);
  const whole = scripted({});
  whole.connection.pause();
  whole.connection.socketData(new Uint8Array(PART_BYTES * 2));
  expect(whole.events).toEqual([`data ${PART_BYTES * 2}`]);
});

test.each(["end", "close"] as const)("parts: what a pause left comes before the peer's %s", (how) => {
  const { connection, events } = scripted({ inParts: true });
  connection.pause();
  connection.socketData(new Uint8Array(PART_BYTES + 2));
  expect(events).toEqual([]);
  if (how === "end") connection.socketEnd();
  else connection.socketClose("");
  expect(events).toEqual([`data ${PART_BYTES}`, "data 2", "end", ...(how === "end" ? [] : ["close "])]);
});

test("after our abort comes the close alone, whether or not the runtime reports one", async () => {
  const { connection, events, turn } = scripted({
    inParts: true,
    onData(chunk) {
      events.push(`data ${chunk.length}`);
      connection.abort();
    },
  });
  connection.socketData(new Uint8Array(PART_BYTES * 2));
  turn();
  await Promise.resolve();
  connection.socketClose("ECONNRESET");
  expect(events).toEqual([`data ${PART_BYTES}`, "close "]);
});

test("a read buffer is freed once its bytes were handed over", () => {
  const { connection } = scripted({ inParts: true });
  const large = new Uint8Array(PART_BYTES * 2);
  const small = new Uint8Array(100);
  connection.socketData(large);
  connection.socketData(small);
  expect([large.byteLength, small.byteLength]).toEqual([0, 100]);
});

test("what the kernel refuses is copied: the caller's bytes may change", () => {
  const sent: number[][] = [];
  let room = 2;
  const { connection } = scripted({});
  connection.socket = {
    write(chunk: Uint8Array) {
      const n = Math.min(room, chunk.length);
      sent.push([...chunk.subarray(0, n)]);
      return n;
    },
  } as unknown as Connection["socket"];
  const bytes = Uint8Array.of(1, 2, 3, 4);
  expect(connection.write(bytes)).toBe(false);
  bytes.fill(9);
  expect(connection.write(bytes)).toBe(false);
  expect(connection.pendingBytes).toBe(6);
  bytes.fill(8);
  room = 100;
  connection.socketDrain();
  expect(sent).toEqual([
    [1, 2],
    [3, 4],
    [9, 9, 9, 9],
  ]);
});
