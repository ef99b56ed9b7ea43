// Two network namespaces joined by a link, each with the mesh's redirect rules: a pod each, as far as a proxy can tell.
import { dlopen, FFIType } from "bun:ffi";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { closeSync, existsSync, openSync, readdirSync } from "node:fs";
import { undoAtExit } from "./undo.ts";

export const PROXY_UID = 2102;

function run(command: string, ...args: string[]): void {
  const { status, stderr, error } = spawnSync(command, args, { encoding: "utf8" });
  if (error) throw error;
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}: ${stderr.trim()}`);
}

/** <linux/sched.h> */
const CLONE_NEWNET = 0x40000000;

/** Runs a function with this thread in another network namespace: a socket stays where it was made. */
function inNamespace<T>(namespace: string, make: () => T): T {
  const libc = dlopen("libc.so.6", { setns: { args: [FFIType.i32, FFIType.i32], returns: FFIType.i32 } });
  const home = openSync("/proc/thread-self/ns/net", "r");
  const there = openSync(`/run/netns/${namespace}`, "r");
  const enter = (fd: number): void => {
    if (libc.symbols.setns(fd, CLONE_NEWNET) !== 0) throw new Error(`cannot enter or leave the network namespace ${namespace}`);
  };
  try {
    enter(there);
    try {
      return make();
    } finally {
      enter(home);
    }
  } finally {
    closeSync(home);
    closeSync(there);
    libc.close();
  }
}

export class Pod {
  readonly namespace: string;
  readonly ip: string;
  readonly #children: ChildProcess[] = [];

  constructor(namespace: string, ip: string) {
    this.namespace = namespace;
    this.ip = ip;
  }

  run(command: string, ...args: string[]): void {
    run("ip", "netns", "exec", this.namespace, command, ...args);
  }

  /** Makes a socket in this pod, from this process. `make` must make it before it returns, as Bun.connect and Bun.listen do. */
  within<T>(make: () => T): T {
    return inNamespace(this.namespace, make);
  }

  /** Runs a program to its end. */
  async output(command: string, ...args: string[]): Promise<{ status: number; stdout: string; stderr: string }> {
    const child = spawn("ip", ["netns", "exec", this.namespace, command, ...args], { stdio: ["ignore", "pipe", "pipe"] });
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (chunk) => {
      stdout += chunk;
    });
    child.stderr.on("data", (chunk) => {
      stderr += chunk;
    });
    const status = await new Promise<number>((resolve) => child.on("close", (code) => resolve(code ?? -1)));
    return { status, stdout, stderr };
  }

  /**
   * Starts a program that stays. `uid`: whose it is. `stdout`: told what it says; a file descriptor: its standard output;
   * "unread": a pipe that nobody reads.
   */
  start(
    command: string[],
    options: { env?: Record<string, string>; uid?: number; stdin?: "pipe"; stdout?: ((text: string) => void) | number | "unread" } = {},
  ): ChildProcess {
    const { stdout } = options;
    const user =
      options.uid === undefined ? [] : ["setpriv", "--reuid", String(options.uid), "--regid", String(options.uid), "--clear-groups"];
    const child = spawn("ip", ["netns", "exec", this.namespace, ...user, ...command], {
      stdio: [options.stdin ?? "ignore", typeof stdout === "number" ? stdout : "pipe", "inherit"],
      env: { PATH: process.env["PATH"] ?? "", ...options.env },
    });
    if (typeof stdout === "function") child.stdout?.on("data", (chunk: Buffer) => stdout(chunk.toString()));
    else if (stdout === undefined) child.stdout?.resume();
    this.#children.push(child);
    return child;
  }

  /** What the init container does. */
  redirect(): void {
    const nat = (...args: string[]) => this.run("iptables", "-w", "5", "-t", "nat", ...args);
    nat("-A", "OUTPUT", "-m", "owner", "--uid-owner", String(PROXY_UID), "-j", "RETURN");
    nat("-A", "OUTPUT", "-o", "lo", "-j", "RETURN");
    nat("-A", "OUTPUT", "-p", "tcp", "-j", "REDIRECT", "--to-port", "4140");
    nat("-A", "PREROUTING", "-p", "tcp", "-m", "multiport", "--dports", "4190,4191", "-j", "RETURN");
    nat("-A", "PREROUTING", "-p", "tcp", "-j", "REDIRECT", "--to-port", "4143");
  }

  kill(): void {
    for (const child of this.#children) child.kill("SIGKILL");
  }
}

/** What processes have left that were killed: tags begin with the process's number. */
function sweep(): void {
  if (!existsSync("/run/netns")) return;
  for (const namespace of readdirSync("/run/netns")) {
    const pid = /^proxytest-c?(\d+)/.exec(namespace)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) spawnSync("ip", ["netns", "delete", namespace]);
  }
}

/** Ends the programs in pods, and the pods. */
export function destroy(...pods: readonly Pod[]): void {
  for (const pod of pods) {
    pod.kill();
    spawnSync("ip", ["netns", "delete", pod.namespace]);
  }
}

export type Pods = { readonly a: Pod; readonly b: Pod; remove(): void };

/** A pod without a proxy that reaches `to` over a link of its own, and nobody else. It dials `to.ip` as anybody would. */
export function createOutsider(tag: string, to: Pod): { readonly pod: Pod; readonly gateway: string; remove(): void } {
  const pod = new Pod(`proxytest-${tag}-o`, "10.199.8.2");
  const gateway = "10.199.8.3";
  const remove = undoAtExit(() => destroy(pod));
  try {
    run("ip", "netns", "add", pod.namespace);
    run("ip", "link", "add", "eth0", "netns", pod.namespace, "type", "veth", "peer", "name", "eth1", "netns", to.namespace);
    pod.run("ip", "link", "set", "lo", "up");
    pod.run("ip", "addr", "add", `${pod.ip}/24`, "dev", "eth0");
    pod.run("ip", "link", "set", "eth0", "up");
    to.run("ip", "addr", "add", `${gateway}/24`, "dev", "eth1");
    to.run("ip", "link", "set", "eth1", "up");
    pod.run("ip", "route", "add", "default", "via", gateway);
  } catch (error) {
    remove();
    throw error;
  }
  return { pod, gateway, remove };
}

/** A link of the kernel's own between two namespaces. */
function joinByVeth(a: Pod, b: Pod): void {
  run("ip", "link", "add", "eth0", "netns", a.namespace, "type", "veth", "peer", "name", "eth0", "netns", b.namespace);
}

/** @param tag unique on this machine, at most 8 characters: the process's number, and a letter where it makes several
 * @param join makes a device `eth0` in either namespace */
export function createPods(tag: string, join: (a: Pod, b: Pod) => void = joinByVeth): Pods {
  sweep();
  const a = new Pod(`proxytest-${tag}-a`, "10.199.7.2");
  const b = new Pod(`proxytest-${tag}-b`, "10.199.7.3");
  const remove = undoAtExit(() => destroy(a, b));
  try {
    for (const pod of [a, b]) run("ip", "netns", "add", pod.namespace);
    join(a, b);
    for (const [pod, other] of [
      [a, b],
      [b, a],
    ] as const) {
      pod.run("ip", "link", "set", "lo", "up");
      pod.run("ip", "addr", "add", `${pod.ip}/24`, "dev", "eth0");
      pod.run("ip", "link", "set", "eth0", "up");
      pod.run("ip", "route", "add", "default", "via", other.ip);
      pod.redirect();
    }
  } catch (error) {
    remove();
    throw error;
  }
  return { a, b, remove };
}
