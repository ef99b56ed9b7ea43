// Network namespaces for cases: one outside the mesh with as many addresses as a test wants, and pods with redirect rules around it,
// all reachable from each other. Sockets in them are made by the test's own process, with node:net and node:tls.
//
//   pod 10.199.N.2 ── outside (10.199.N.1, addresses of its own) ── pod 10.199.M.2
import { dlopen, FFIType } from "bun:ffi";
import { spawnSync } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { connect, type Server, type Socket } from "node:net";
import { destroy, Pod } from "../../testing/namespaces.ts";
import { undoAtExit } from "../../testing/undo.ts";
import { type Raw, raw } from "../../testing/wire.ts";

function ip(args: string): void {
  const { status, stderr } = spawnSync("ip", args.split(" "), { encoding: "utf8" });
  if (status !== 0) throw new Error(`ip ${args}: ${stderr.trim()}`);
}

/** <linux/sched.h> */
const CLONE_NEWNET = 0x40000000;

/** This thread's way into other network namespaces and back: a socket stays where it was made. */
class Doors {
  readonly #libc = dlopen("libc.so.6", { setns: { args: [FFIType.i32, FFIType.i32], returns: FFIType.i32 } });
  readonly #home = openSync("/proc/thread-self/ns/net", "r");
  readonly #fds = new Map<string, number>();

  #enter(fd: number): void {
    if (this.#libc.symbols.setns(fd, CLONE_NEWNET) !== 0) throw new Error("cannot enter or leave a network namespace");
  }

  #door(namespace: string): number {
    const known = this.#fds.get(namespace);
    if (known !== undefined) return known;
    const fd = openSync(`/run/netns/${namespace}`, "r");
    this.#fds.set(namespace, fd);
    return fd;
  }

  /** What `make` does before it returns happens in the namespace. */
  now<T>(namespace: string, make: () => T): T {
    this.#enter(this.#door(namespace));
    try {
      return make();
    } finally {
      this.#enter(this.#home);
    }
  }

  /** And what it leaves to the next tick as well: net.connect makes its socket there. */
  tick<T>(namespace: string, make: () => T): T {
    const door = this.#door(namespace);
    process.nextTick(() => this.#enter(door));
    try {
      return make();
    } finally {
      process.nextTick(() => this.#enter(this.#home));
    }
  }

  close(): void {
    for (const fd of [this.#home, ...this.#fds.values()]) closeSync(fd);
    this.#libc.close();
  }
}

/** Addresses of the namespace outside: clients of several networks, servers, one of them among the services. */
export const OUTSIDE_IPS = ["10.1.2.3", "10.2.2.3", "10.9.0.1", "10.9.0.2", "10.9.0.3", "10.9.0.4", "10.96.9.1"] as const;

/** `from`: the client's own address. */
export type Address = { readonly ip: string; readonly port: number; readonly from?: string };

export class Network {
  readonly outside: Pod;
  readonly #tag: string;
  readonly #pods: Pod[] = [];
  readonly #doors = new Doors();

  /** @param tag unique among the namespaces of this machine */
  constructor(tag: string) {
    this.#tag = tag;
    this.outside = new Pod(`fairlead-${tag}-out`, OUTSIDE_IPS[0]);
    ip(`netns add ${this.outside.namespace}`);
    try {
      ip(`-n ${this.outside.namespace} link set lo up`);
      for (const address of OUTSIDE_IPS) ip(`-n ${this.outside.namespace} addr add ${address}/32 dev lo`);
      this.outside.run("sysctl", "-qw", "net.ipv4.ip_forward=1");
    } catch (error) {
      this.remove();
      throw error;
    }
  }

  addPod(): Pod {
    const n = this.#pods.length + 1;
    const pod = new Pod(`fairlead-${this.#tag}-${n}`, `10.199.${n}.2`);
    ip(`netns add ${pod.namespace}`);
    this.#pods.push(pod);
    const outside = this.outside.namespace;
    ip(`link add eth0 netns ${pod.namespace} type veth peer name pod${n} netns ${outside}`);
    ip(`-n ${outside} addr add 10.199.${n}.1/24 dev pod${n}`);
    ip(`-n ${outside} link set pod${n} up`);
    ip(`-n ${pod.namespace} link set lo up`);
    ip(`-n ${pod.namespace} addr add ${pod.ip}/24 dev eth0`);
    ip(`-n ${pod.namespace} link set eth0 up`);
    ip(`-n ${pod.namespace} route add default via 10.199.${n}.1`);
    pod.redirect();
    return pod;
  }

  #connect(pod: Pod, to: Address): Socket {
    const at = to.from === undefined ? {} : { localAddress: to.from };
    return this.#doors.tick(pod.namespace, () => connect({ host: to.ip, port: to.port, allowHalfOpen: true, ...at }));
  }

  /** Connects from within a pod. Rejects when the connection is refused; one that is reset at once is a connection that has closed. */
  dialRaw(pod: Pod, to: Address): Promise<Raw> {
    const { promise, resolve, reject } = Promise.withResolvers<Raw>();
    const socket = this.#connect(pod, to);
    const connection = raw(socket);
    socket.once("error", (error: { code?: string }) => (error.code === "ECONNRESET" ? resolve(connection) : reject(error)));
    socket.once("connect", () => {
      socket.setNoDelay(true);
      resolve(connection);
    });
    return promise;
  }

  /** The same without anybody who reads. */
  dial(pod: Pod, to: Address): Promise<Socket> {
    const { promise, resolve, reject } = Promise.withResolvers<Socket>();
    const socket = this.#connect(pod, to);
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.off("error", reject);
      // What becomes of the connection is told by "end" and "close".
      socket.on("error", () => {});
      resolve(socket);
    });
    return promise;
  }

  /** Lets a server listen in a pod. */
  async listen(pod: Pod, at: { readonly ip: string; readonly port: number }, server: Server): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    server.once("error", reject);
    server.once("listening", resolve);
    this.#doors.now(pod.namespace, () => server.listen(at.port, at.ip));
    await promise;
  }

  /** Everything goes. */
  readonly remove = undoAtExit(() => {
    destroy(...this.#pods, this.outside);
    this.#doors.close();
  });
}
