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

export class Lab {
  /** Working files, readable for the proxies' user. */
  readonly directory: string;
  /** Core of the proxies, and of everything else. */
  readonly proxyCore: number;
  readonly otherCore: number;
  readonly #namespaces: string[] = [];
  readonly #processes: Subprocess[] = [];
  #pairs = 0;

  constructor(options: { readonly cores: number }) {
    this.directory = mkdtempSync(join(tmpdir(), "fairlead-bench-"));
    run(["chmod", "755", this.directory]);
    this.proxyCore = options.cores - 1;
    this.otherCore = Math.max(0, options.cores - 2);
  }

  /** A client pod and a server pod. The service's address is `10.213.N.100`: nobody has it, the proxy decides. */
  pods(name: string): { client: Pod; server: Pod; service: string } {
    const n = ++this.#pairs;
    const client = { namespace: `flb-${name}-c`, ip: `10.213.${n}.1` };
    const server = { namespace: `flb-${name}-s`, ip: `10.213.${n}.2` };
    for (const pod of [client, server]) {
      // A run that was killed may have left it.
      Bun.spawnSync(["ip", "netns", "del", pod.namespace], { stderr: "ignore" });
      run(["ip", "netns", "add", pod.namespace]);
      this.#namespaces.push(pod.namespace);
      run(["ip", "-n", pod.namespace, "link", "set", "lo", "up"]);
    }
    run(["ip", "-n", client.namespace, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", server.namespace]);
    for (const pod of [client, server]) {
      run(["ip", "-n", pod.namespace, "addr", "add", `${pod.ip}/24`, "dev", "eth0"]);
      run(["ip", "-n", pod.namespace, "link", "set", "eth0", "up"]);
    }
    return { client, server, service: `10.213.${n}.100` };
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
    this.#processes.push(child);
    return child.pid;
  }

  startProxy(pod: Pod, argv: readonly string[], options: { env?: Record<string, string>; log: string }): number {
    return this.start(pod, this.proxyCore, argv, { ...options, uid: PROXY_UID });
  }

  /** The HTTP/1 server: ~100 bytes at `/`, 1 MB at `/1m`. */
  async startServer(pod: Pod): Promise<void> {
    const config = join(this.directory, "nginx.conf");
    await Bun.write(config, nginxConfig(this.directory));
    await Bun.write(join(this.directory, "1m"), new Uint8Array(1024 * 1024).fill(120));
    this.start(pod, this.otherCore, ["nginx", "-c", config, "-e", "stderr"], { log: `nginx-${pod.namespace}.log` });
  }

  async log(name: string): Promise<string> {
    return Bun.file(join(this.directory, name))
      .text()
      .catch(() => "");
  }

  async close(): Promise<void> {
    // Children before parents, so that the parents collect them.
    for (const child of this.#processes) for (const pid of family(child.pid).reverse()) kill(pid, "SIGTERM");
    await Promise.race([Promise.all(this.#processes.map((child) => child.exited)), Bun.sleep(2000)]);
    // What is left in the namespaces is ours alone: workers of peers included.
    for (const namespace of this.#namespaces) {
      const pids = Bun.spawnSync(["ip", "netns", "pids", namespace]).stdout.toString().split("\n").filter(Boolean).map(Number);
      for (const pid of pids) kill(pid, "SIGKILL");
      Bun.spawnSync(["ip", "netns", "del", namespace], { stderr: "ignore" });
    }
    rmSync(this.directory, { recursive: true, force: true });
  }
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended in the meantime.
  }
}

/** Answer of the server at `/`. */
export const ANSWER: string = `${"a small answer of a hundred bytes, as many services give it; ".repeat(2).slice(0, 99)}\n`;

function nginxConfig(directory: string): string {
  return `daemon off;
worker_processes 1;
pid ${directory}/nginx.pid;
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
    listen 8080 backlog=4096;
    # For the chain without proxies.
    listen 80 backlog=4096;
    location = / { return 200 "${ANSWER.replace("\n", "\\n")}"; }
    location = /1m { root ${directory}; }
  }
}
`;
}
