// Two pods on a wire: network namespaces with a pair of interfaces and the real redirect rules, and the processes in them.
// Everything made is undone by `close`, also after a failure.
//
//   client pod 10.213.N.1                         server pod 10.213.N.2
//   load ──► OUTPUT ─redirect─► proxy A :4140 ──── veth ───► PREROUTING ─redirect─► proxy B :4143 ──► server :8080
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Subprocess } from "bun";
import { redirectRules } from "../proxy-init/rules.ts";
import { family } from "./cost.ts";
import { run } from "./tools.ts";

/** User of a proxy in a pod; what it sends is not redirected. */
export const PROXY_UID = 2102;

export type Pod = { readonly namespace: string; readonly ip: string };

/** The service's address is nobody's: the proxy decides. The server pod has `otherIp` as well. */
export type Pair = { readonly client: Pod; readonly server: Pod; readonly otherIp: string; readonly service: string };

export class Lab {
  /** Working files, readable for the proxies' user. */
  readonly directory: string;
  /** Core of the proxies, and of everything else. */
  readonly proxyCore: number;
  readonly otherCore: number;
  readonly #namespaces = new Set<string>();
  /** By the namespace they are in. */
  readonly #processes = new Map<Subprocess, string>();
  readonly #prefix: string;
  #pairs = 0;
  /** Told to end: what is there goes first. */
  readonly #interrupted = (): void => void this.close().then(() => process.exit(130));

  /** `prefix` of namespaces; tells runs apart that go on at the same time. */
  constructor(options: { readonly cores: number; readonly prefix?: string }) {
    this.#prefix = options.prefix ?? "flb";
    this.directory = mkdtempSync(join(tmpdir(), "fairlead-bench-"));
    run(["chmod", "755", this.directory]);
    this.proxyCore = options.cores - 1;
    this.otherCore = Math.max(0, options.cores - 2);
    for (const signal of SIGNALS) process.once(signal, this.#interrupted);
  }

  /** A client pod and a server pod of a name that is unique in the run. */
  pods(name: string): Pair {
    const n = ++this.#pairs;
    const client = { namespace: `${this.#prefix}-${name}-c`, ip: `10.213.${n}.1` };
    const server = { namespace: `${this.#prefix}-${name}-s`, ip: `10.213.${n}.2` };
    for (const pod of [client, server]) {
      // A run that was killed may have left it.
      Bun.spawnSync(["ip", "netns", "del", pod.namespace], { stderr: "ignore" });
      run(["ip", "netns", "add", pod.namespace]);
      this.#namespaces.add(pod.namespace);
      run(["ip", "-n", pod.namespace, "link", "set", "lo", "up"]);
    }
    run(["ip", "-n", client.namespace, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", server.namespace]);
    for (const pod of [client, server]) {
      run(["ip", "-n", pod.namespace, "addr", "add", `${pod.ip}/24`, "dev", "eth0"]);
      run(["ip", "-n", pod.namespace, "link", "set", "eth0", "up"]);
    }
    const otherIp = `10.213.${n}.3`;
    run(["ip", "-n", server.namespace, "addr", "add", `${otherIp}/24`, "dev", "eth0"]);
    return { client, server, otherIp, service: `10.213.${n}.100` };
  }

  /** The rules a pod gets from proxy-init. */
  redirect(pod: Pod): void {
    const { commands } = redirectRules({
      incomingProxyPort: 4143,
      outgoingProxyPort: 4140,
      proxyUid: PROXY_UID,
      portsToRedirect: [],
      inboundPortsToIgnore: ["4190", "4191"],
      outboundPortsToIgnore: [],
      subnetsToIgnore: [],
      now: 0,
    });
    for (const { argv } of commands) run(["ip", "netns", "exec", pod.namespace, "iptables", "-w", ...argv]);
  }

  /** The command line of a program in a pod, on a core. */
  command(pod: Pod, core: number, argv: readonly string[], uid = 0): string[] {
    const user = uid === 0 ? [] : ["setpriv", `--reuid=${uid}`, `--regid=${uid}`, "--clear-groups"];
    return ["ip", "netns", "exec", pod.namespace, ...user, "taskset", "-c", String(core), ...argv];
  }

  /** Starts a process that lives until `close`. Every program in front of it replaces itself, so the pid is its own. */
  start(pod: Pod, core: number, argv: readonly string[], options: { uid?: number; env?: Record<string, string>; log: string }): number {
    const log = Bun.file(join(this.directory, options.log));
    const child = Bun.spawn(this.command(pod, core, argv, options.uid), {
      cwd: this.directory,
      env: { PATH: `${process.env.PATH}:/usr/sbin:/sbin`, ...options.env },
      stdin: "ignore",
      stdout: log,
      stderr: log,
    });
    this.#processes.set(child, pod.namespace);
    return child.pid;
  }

  /** Starts a program that is talked to by its standard input and output; its errors come through. */
  talk(pod: Pod, core: number, argv: readonly string[], uid = 0): Subprocess<"pipe", "pipe", "inherit"> {
    const child = Bun.spawn(this.command(pod, core, argv, uid), {
      cwd: this.directory,
      env: { PATH: `${process.env.PATH}:/usr/sbin:/sbin` },
      stdin: "pipe",
      stdout: "pipe",
      stderr: "inherit",
    });
    this.#processes.set(child, pod.namespace);
    return child;
  }

  startProxy(pod: Pod, argv: readonly string[], options: { env?: Record<string, string>; log: string }): number {
    return this.start(pod, this.proxyCore, argv, { ...options, uid: PROXY_UID });
  }

  /** The application: {@link ANSWER} at `/`, 1 MB at `/1m`; over HTTP/2 with prior knowledge also a gRPC method at {@link GRPC_PATH}. */
  async startServer(pod: Pod, { http2 = false }: { http2?: boolean } = {}): Promise<void> {
    const config = join(this.directory, `nginx-${pod.namespace}.conf`);
    await Bun.write(config, nginxConfig(this.directory, pod.namespace, http2));
    await Bun.write(join(this.directory, "1m"), new Uint8Array(BODY_BYTES).fill(120));
    this.start(pod, this.otherCore, ["nginx", "-c", config, "-e", "stderr"], { log: `nginx-${pod.namespace}.log` });
  }

  async log(name: string): Promise<string> {
    return Bun.file(join(this.directory, name))
      .text()
      .catch(() => "");
  }

  /** Ends what runs in these pods and removes them. */
  async remove(pods: readonly Pod[]): Promise<void> {
    const names = new Set(pods.map((pod) => pod.namespace));
    const children = [...this.#processes].filter(([, namespace]) => names.has(namespace)).map(([child]) => child);
    // Children before parents, so that the parents collect them.
    for (const child of children) for (const pid of family(child.pid).reverse()) kill(pid, "SIGTERM");
    await Promise.race([Promise.all(children.map((child) => child.exited)), Bun.sleep(2000)]);
    for (const child of children) this.#processes.delete(child);
    for (const name of names) {
      // What is left in the namespaces is ours alone: workers of peers included.
      const pids = Bun.spawnSync(["ip", "netns", "pids", name]).stdout.toString().split("\n").filter(Boolean).map(Number);
      for (const pid of pids) kill(pid, "SIGKILL");
      Bun.spawnSync(["ip", "netns", "del", name], { stderr: "ignore" });
      this.#namespaces.delete(name);
    }
  }

  async close(): Promise<void> {
    for (const signal of SIGNALS) process.off(signal, this.#interrupted);
    await this.remove([...this.#namespaces].map((namespace) => ({ namespace, ip: "" })));
    rmSync(this.directory, { recursive: true, force: true });
  }
}

const SIGNALS = ["SIGINT", "SIGTERM"] as const;

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended in the meantime.
  }
}

/** Answer of the server at `/`. */
export const ANSWER: string = `${"a small answer of a hundred bytes, as many services give it; ".repeat(2).slice(0, 99)}\n`;

/** Bytes of the answer at `/1m`. */
export const BODY_BYTES: number = 1024 * 1024;

export const GRPC_PATH = "/bench.Echo/Unary";

/** A gRPC message of 100 bytes in its frame: a protobuf message whose field 1 is text. */
export const GRPC_MESSAGE: Buffer = Buffer.concat([Buffer.of(0, 0, 0, 0, 100, 0x0a, 98), Buffer.alloc(98, "a small message ")]);

function nginxConfig(directory: string, name: string, http2: boolean): string {
  const grpc = `
    location = ${GRPC_PATH} {
      default_type application/grpc;
      add_trailer grpc-status 0;
      return 200 "${GRPC_MESSAGE.toString("latin1")}";
    }`;
  return `daemon off;
worker_processes 1;
pid ${directory}/nginx-${name}.pid;
error_log stderr crit;
events { worker_connections 4096; }
http {
  access_log off;
  default_type text/plain;
  keepalive_requests 1000000000;
  keepalive_timeout 600s;
  tcp_nodelay on;
  client_body_temp_path ${directory}/nginx-body;
  proxy_temp_path ${directory}/nginx-proxy;
  fastcgi_temp_path ${directory}/nginx-fastcgi;
  uwsgi_temp_path ${directory}/nginx-uwsgi;
  scgi_temp_path ${directory}/nginx-scgi;
  server {
    listen 8080 backlog=4096${http2 ? " http2" : ""};
    # For the chain without proxies.
    listen 80 backlog=4096${http2 ? " http2" : ""};
    location = / { return 200 "${ANSWER.replace("\n", "\\n")}"; }
    location = /1m { root ${directory}; }${http2 ? grpc : ""}
  }
}
`;
}
