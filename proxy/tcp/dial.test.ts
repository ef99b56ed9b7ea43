// Peers that vanish: what the kernel is asked to do about them, by what is dialed.
import { dlopen, FFIType, ptr } from "bun:ffi";
import { afterEach, beforeAll, expect, test } from "bun:test";
import { createRuntime } from "../runtime.ts";
import { createCa, type TestCa } from "../testing/certificates.ts";
import { FakeIdentity } from "../testing/fakes.ts";
import { TlsStore } from "../tls/index.ts";
import { type Connection, descriptorOf } from "../transport/index.ts";
import { type DialContext, dial, PEER_KEEPALIVE_MS, PEER_USER_TIMEOUT_MS } from "./dial.ts";

const cleanup: (() => void)[] = [];
afterEach(() => {
  for (const undo of cleanup.splice(0)) undo();
});

let ca: TestCa;
beforeAll(async () => {
  ca = await createCa();
});

const libc = dlopen("libc.so.6", {
  getsockopt: { args: [FFIType.i32, FFIType.i32, FFIType.i32, FFIType.ptr, FFIType.ptr], returns: FFIType.i32 },
});

// <linux/tcp.h>
const IPPROTO_TCP = 6;
const TCP_KEEPIDLE = 4;
const TCP_USER_TIMEOUT = 18;

function tcpOption(connection: Connection, name: number): number {
  const value = new Int32Array(new ArrayBuffer(4));
  const length = new Uint32Array(new ArrayBuffer(4));
  length[0] = 4;
  libc.symbols.getsockopt(descriptorOf(connection.socket), IPPROTO_TCP, name, ptr(value), ptr(length));
  return value[0] as number;
}

const NAME = "peer.test";
const KERNEL_KEEPALIVE_S = 7200;

async function dialed(protocol: "http1" | "http2" | null, meshed: boolean, context: Partial<DialContext> = {}): Promise<Connection> {
  const identity = new FakeIdentity("client.test", await ca.issue("client.test"));
  const server = await ca.issue(NAME);
  const listener = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    ...(meshed ? { tls: { key: server.keyPem, cert: server.certChainPem } } : {}),
    socket: { data() {} },
  });
  cleanup.push(() => listener.stop(true));
  const { promise, resolve, reject } = Promise.withResolvers<Connection>();
  const runtime = createRuntime(reject);
  dial(
    {
      runtime,
      tls: new TlsStore(identity),
      timeoutMs: 2000,
      keepaliveMs: null,
      refusePort: null,
      refuseLoopback: false,
      ...context,
    },
    {
      addr: { ip: "127.0.0.1", port: listener.port },
      serverName: meshed ? NAME : null,
      header: null,
      tls: meshed ? { kind: "established", serverId: NAME } : { kind: "none", reason: "loopback" },
    },
    protocol,
    { open: () => ({ read() {}, wrote() {}, closed() {} }) },
    resolve,
    (error) => reject(new Error(error.message)),
  );
  const connection = await promise;
  cleanup.push(() => connection.abort());
  return connection;
}

const set = { keepaliveMs: 3000, userTimeoutMs: 4000 };

test.each([
  ["HTTP/2 of the mesh", "http2", true, {}, PEER_USER_TIMEOUT_MS, PEER_KEEPALIVE_MS / 1000],
  ["HTTP/1 of the mesh: a peer may leave its bytes unread", "http1", true, {}, 0, KERNEL_KEEPALIVE_S],
  ["opaque bytes of the mesh", null, true, {}, 0, KERNEL_KEEPALIVE_S],
  ["HTTP/2 elsewhere", "http2", false, {}, 0, KERNEL_KEEPALIVE_S],
  ["what is set holds for HTTP/2 of the mesh", "http2", true, set, 4000, 3],
  ["what is set holds for everything", null, false, set, 4000, 3],
  ["less than a second of keepalive is one", null, false, { keepaliveMs: 300 }, 0, 1],
] as const)("%s", async (_, protocol, meshed, context, userTimeoutMs, keepaliveS) => {
  const connection = await dialed(protocol, meshed, context);
  expect([tcpOption(connection, TCP_USER_TIMEOUT), tcpOption(connection, TCP_KEEPIDLE)]).toEqual([userTimeoutMs, keepaliveS]);
});
