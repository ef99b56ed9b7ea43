// Two network namespaces joined by a link, each with the mesh's redirect rules: a pod each, as far as a proxy can tell.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";

export const PROXY_UID = 2102;

function run(command: string, ...args: string[]): void {
  const { status, stderr, error } = spawnSync(command, args, { encoding: "utf8" });
  if (error) throw error;
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}: ${stderr.trim()}`);
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

  /** Starts a program that stays. `uid`: whose it is. */
  start(command: string[], options: { env?: Record<string, string>; uid?: number; stdout?: (text: string) => void } = {}): ChildProcess {
    const user =
      options.uid === undefined ? [] : ["setpriv", "--reuid", String(options.uid), "--regid", String(options.uid), "--clear-groups"];
    const child = spawn("ip", ["netns", "exec", this.namespace, ...user, ...command], {
      stdio: ["ignore", "pipe", "inherit"],
      env: { PATH: process.env["PATH"] ?? "", ...options.env },
    });
    child.stdout.on("data", (chunk: Buffer) => options.stdout?.(chunk.toString()));
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

export type Pods = { readonly a: Pod; readonly b: Pod; remove(): void };

/** @param tag unique on this machine, at most 8 characters */
export function createPods(tag: string): Pods {
  const a = new Pod(`proxytest-${tag}-a`, "10.199.7.2");
  const b = new Pod(`proxytest-${tag}-b`, "10.199.7.3");
  const remove = (): void => {
    for (const pod of [a, b]) {
      pod.kill();
      spawnSync("ip", ["netns", "delete", pod.namespace]);
    }
  };
  try {
    for (const pod of [a, b]) run("ip", "netns", "add", pod.namespace);
    run("ip", "link", "add", "eth0", "netns", a.namespace, "type", "veth", "peer", "name", "eth0", "netns", b.namespace);
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
