// The mesh as processes, for tests of the built binary: two pods with redirect rules, a proxy in each under a control plane of
// files that can be killed and started again, and a pod outside the mesh.
//
//   pod a                                  pod b                                outsider
//   test's clients ─► proxy a ── mTLS ─► proxy b ─► test's applications  ◄─ test's hostile clients
//                     control plane          control plane
import type { ChildProcess } from "node:child_process";
import { chownSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { builtBinary } from "./built.ts";
import { createCa, type TestCa } from "./certificates.ts";
import type { ControlPlaneFile } from "./control-plane.ts";
import { parseExposition, type Samples } from "./exposition.ts";
import type { LoadReport } from "./load.ts";
import { createOutsider, createPods, type Pod, type Pods, PROXY_UID } from "./namespaces.ts";
import { requestFrom } from "./sockets.ts";
import { undoAtExit } from "./undo.ts";

/** Namespaces and redirect rules need root and iptables. */
export const canRunPods: boolean = process.getuid?.() === 0 && (existsSync("/usr/sbin/iptables") || existsSync("/sbin/iptables"));

export const SERVICE_IP = "10.96.0.10";
export const SERVICE_NAME = "web.ns.svc.cluster.local";
export const CONTROL_PORT = 8086;
export type Who = "a" | "b";
export const identityOf = (who: string): string => `${who}.ns.serviceaccount.identity.linkerd.cluster.local`;

type Doors = { readonly outbound: number; readonly inbound: number; readonly admin: number };
/** Where the redirect rules of namespaces.ts lead. */
const DOORS: Doors = { outbound: 4140, inbound: 4143, admin: 4191 };

const ROOT = join(import.meta.dir, "../..");
const LOOK_MS = 10;
const CLOCK_TICKS_PER_SECOND = 100;

/** Looks until it is so. @throws {Error} after `withinMs` saying what was awaited and what `tell` says */
export async function until(what: string, look: () => boolean | Promise<boolean>, withinMs = 15_000, tell = () => ""): Promise<void> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    if (await look()) return;
    if (performance.now() > deadline) throw new Error(`not within ${withinMs} ms: ${what}\n${tell()}`);
    await Bun.sleep(LOOK_MS);
  }
}

/** One proxy that runs. */
export class ProxyProcess {
  readonly pod: Pod;
  readonly child: ChildProcess;
  /** Exit status; null after a signal. */
  readonly exited: Promise<number | null>;
  readonly #log: { text: string };
  readonly #admin: { readonly host: string; readonly port: number };

  /** @param options.admin host of its admin port */
  constructor(options: { pod: Pod; child: ChildProcess; log: { text: string }; admin: string; adminPort?: number }) {
    this.pod = options.pod;
    this.child = options.child;
    this.#log = options.log;
    this.#admin = { host: options.admin, port: options.adminPort ?? DOORS.admin };
    this.exited = new Promise((resolve) => options.child.once("exit", (code) => resolve(code)));
  }

  get pid(): number {
    return this.child.pid as number;
  }

  get alive(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** What it has said on standard output. */
  get log(): string {
    return this.#log.text;
  }

  /** Log lines no fault of a peer may bring about: an exception, a rejected promise. */
  get internalErrors(): string[] {
    return this.log.split("\n").filter((line) => line.includes("internal error"));
  }

  #status(field: string): number {
    return Number(new RegExp(`^${field}:\\s+(\\d+)`, "m").exec(readFileSync(`/proc/${this.pid}/status`, "latin1"))?.[1]);
  }

  get rssBytes(): number {
    return this.#status("VmRSS") * 1024;
  }

  get openFds(): number {
    return readdirSync(`/proc/${this.pid}/fd`).length;
  }

  /** CPU used so far, user and system, ms. */
  get cpuMs(): number {
    const fields = readFileSync(`/proc/${this.pid}/stat`, "latin1")
      .replace(/^.*\) /, "")
      .split(" ");
    return ((Number(fields[11]) + Number(fields[12])) * 1000) / CLOCK_TICKS_PER_SECOND;
  }

  admin(path: string, options: { method?: string; headers?: Record<string, string>; timeoutMs?: number } = {}) {
    return requestFrom(this.pod, { ...this.#admin, path, ...options });
  }

  async metrics(): Promise<Samples> {
    return parseExposition((await this.admin("/metrics")).body);
  }

  async ready(): Promise<void> {
    const look = () =>
      this.admin("/ready").then(
        ({ status }) => status === 200,
        () => false,
      );
    await until("the proxy is ready", look, 20_000, () => this.log);
  }

  /** Connections of peers and to peers that are open; the one that asks is not counted. */
  async openConnections(): Promise<number> {
    return (await this.metrics()).sum("tcp_open_connections") - 1;
  }

  /** SIGTERM; the exit status. */
  stop(): Promise<number | null> {
    this.child.kill("SIGTERM");
    return this.exited;
  }
}

export type MeshOptions = {
  /** Unique among the namespaces of this machine, at most 8 characters. */
  readonly tag: string;
  /** Ports of the application in pod b; service port = target port. */
  readonly ports: Readonly<Record<number, { readonly opaque?: boolean }>>;
  /** More variables of the proxies, or other values; without the prefix `LINKERD2_PROXY_`. Null takes one away. */
  readonly env?: (who: Who) => Readonly<Record<string, string | null>>;
  /** Stand before the proxy's command, as `prlimit --nofile=128`. */
  readonly wrap?: (who: Who) => readonly string[];
  /** Standard output of a proxy, if not the log. */
  readonly stdout?: (who: Who) => number | "unread" | undefined;
  /** Variables without the prefix, of the processes of a pod. */
  readonly plainEnv?: (who: Who) => Readonly<Record<string, string>>;
  /** Life of the proxies' certificates, ms; default: an hour. */
  readonly lifetimeMs?: number;
  /** The link between the pods, if it is to be made bad (impaired-link.ts). */
  readonly link?: (a: Pod, b: Pod) => void;
};

const everywhere = [{ net: { ip: { ipv4: 0 }, prefixLen: 0 } }];
const ipv4 = (ip: string): number => ip.split(".").reduce((n, octet) => n * 256 + Number(octet), 0);

export class ProcessMesh {
  readonly pods: Pods;
  readonly outsider: Pod;
  readonly ca: TestCa;
  readonly directory: string;
  readonly #options: MeshOptions;
  readonly #removeOutsider: () => void;
  readonly #proxies = new Map<Who, ProxyProcess>();
  readonly #controlPlanes = new Map<Who, { child: ChildProcess; heard: { text: string } }>();
  #generation = 0;

  private constructor(init: {
    pods: Pods;
    outsider: ReturnType<typeof createOutsider>;
    ca: TestCa;
    directory: string;
    options: MeshOptions;
  }) {
    this.pods = init.pods;
    this.outsider = init.outsider.pod;
    this.#removeOutsider = init.outsider.remove;
    this.ca = init.ca;
    this.directory = init.directory;
    this.#options = init.options;
  }

  /** Control planes up and both proxies ready, unless `proxies` is false. */
  static async start(options: MeshOptions & { readonly proxies?: boolean }): Promise<ProcessMesh> {
    const ca = await createCa();
    const directory = mkdtempSync(join(tmpdir(), "fairlead-mesh-"));
    Bun.spawnSync(["chmod", "755", directory]);
    const pods = options.link === undefined ? createPods(options.tag) : createPods(options.tag, options.link);
    let outsider: ReturnType<typeof createOutsider>;
    try {
      outsider = createOutsider(options.tag, pods.b);
    } catch (error) {
      pods.remove();
      throw error;
    }
    const mesh = new ProcessMesh({ pods, outsider, ca, directory, options });
    try {
      for (const who of ["a", "b"] as const) {
        mkdirSync(join(directory, who));
        chownSync(join(directory, who), PROXY_UID, PROXY_UID);
      }
      writeFileSync(join(directory, "token"), "token");
      mesh.write();
      await Promise.all([mesh.startControlPlane("a"), mesh.startControlPlane("b")]);
      if (options.proxies !== false) {
        mesh.startProxy("a");
        mesh.startProxy("b");
        await Promise.all([mesh.a.ready(), mesh.b.ready()]);
      }
      return mesh;
    } catch (error) {
      mesh.close();
      throw error;
    }
  }

  get a(): ProxyProcess {
    return this.#proxies.get("a") as ProxyProcess;
  }

  get b(): ProxyProcess {
    return this.#proxies.get("b") as ProxyProcess;
  }

  /** The file both control planes serve; `change` is asked for another one. */
  write(change: (file: ControlPlaneFile, who: Who) => ControlPlaneFile = (file) => file): void {
    for (const who of ["a", "b"] as const) writeFileSync(join(this.directory, `${who}.json`), JSON.stringify(change(this.#file(), who)));
  }

  #file(): ControlPlaneFile {
    const ports = Object.entries(this.#options.ports).map(([port, { opaque = false }]) => ({ port: Number(port), opaque }));
    const anyone = [{ networks: everywhere, authentication: { unauthenticated: {} }, labels: { name: "anyone" } }];
    const server = (name: string, opaque: boolean) => ({
      protocol: opaque ? { opaque: {} } : { detect: { timeout: "10s" } },
      authorizations: anyone,
      labels: { name },
    });
    return {
      ca: this.ca.saved,
      lifetimeMs: this.#options.lifetimeMs,
      profiles: Object.fromEntries(
        ports.map(({ port, opaque }) => [`${SERVICE_IP}:${port}`, { fullyQualifiedName: SERVICE_NAME, opaqueProtocol: opaque }]),
      ),
      updates: Object.fromEntries(
        ports.map(({ port, opaque }) => [
          `${SERVICE_NAME}:${port}`,
          {
            add: {
              addrs: [
                {
                  addr: { ip: { ipv4: ipv4(this.pods.b.ip) }, port },
                  tlsIdentity: { dnsLikeIdentity: { name: identityOf("b") } },
                  protocolHint: opaque ? { opaqueTransport: { inboundPort: 4143 } } : { h2: {} },
                },
              ],
              metricLabels: { service: "web", namespace: "ns" },
            },
          },
        ]),
      ),
      servers: Object.fromEntries([
        ...ports.map(({ port, opaque }) => [port, server(opaque ? `tcp-${port}` : `http-${port}`, opaque)]),
        [4191, server("admin", false)],
      ]),
    } as unknown as ControlPlaneFile;
  }

  /** Proxy a finds its endpoints in the pod outside the mesh, where a relay leads on to pod b. */
  detour(): void {
    const { a, b } = this.pods;
    b.run("sysctl", "-qw", "net.ipv4.ip_forward=1");
    b.run("iptables", "-w", "5", "-t", "nat", "-I", "PREROUTING", "-d", this.outsider.ip, "-j", "RETURN");
    a.run("ip", "route", "replace", `${this.outsider.ip}/32`, "via", b.ip);
    const from = String(ipv4(b.ip));
    this.write((file) => JSON.parse(JSON.stringify(file).replaceAll(from, String(ipv4(this.outsider.ip)))) as ControlPlaneFile);
  }

  async startControlPlane(who: Who): Promise<void> {
    const heard = { text: "" };
    const child = this.pods[who].start(
      [
        ...this.#variables(who),
        process.execPath,
        join(ROOT, "proxy/testing/control-plane.ts"),
        join(this.directory, `${who}.json`),
        String(CONTROL_PORT),
      ],
      { stdout: (text) => void (heard.text += text) },
    );
    this.#controlPlanes.set(who, { child, heard });
    await until("the control plane listens", () => heard.text.includes("listening"));
  }

  controlPlane(who: Who): ChildProcess {
    return this.#controlPlanes.get(who)?.child as ChildProcess;
  }

  async killControlPlane(who: Who): Promise<void> {
    const child = this.controlPlane(who);
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await gone;
  }

  /** Has the kernel count the connections a proxy begins to a port of its own pod. */
  countConnections(who: Who, port: number): void {
    const rule = ["-o", "lo", "-p", "tcp", "--dport", String(port), "--syn", "-m", "owner", "--uid-owner", String(PROXY_UID)];
    this.pods[who].run("iptables", "-w", "5", "-A", "OUTPUT", ...rule, "-j", "ACCEPT");
  }

  connections(who: Who): number {
    const argv = ["ip", "netns", "exec", this.pods[who].namespace, "iptables", "-w", "5", "-vxnL", "OUTPUT"];
    return Number(/^\s*(\d+)\s.*flags/m.exec(Bun.spawnSync(argv).stdout.toString())?.[1] ?? Number.NaN);
  }

  /** Of the program itself, not of those that start it. */
  #variables(who: Who): string[] {
    const variables = Object.entries(this.#options.plainEnv?.(who) ?? {});
    return variables.length === 0 ? [] : ["env", ...variables.map(([key, value]) => `${key}=${value}`)];
  }

  environment(who: Who): Record<string, string> {
    const control = `localhost.:${CONTROL_PORT}`;
    const vars: Record<string, string | null> = {
      LOG: "warn,linkerd=info",
      DESTINATION_SVC_ADDR: control,
      DESTINATION_PROFILE_NETWORKS: "10.0.0.0/8",
      POLICY_SVC_ADDR: control,
      POLICY_WORKLOAD: `ns:${who}`,
      INBOUND_PORTS: Object.keys(this.#options.ports).join(","),
      INBOUND_DEFAULT_POLICY: "all-unauthenticated",
      IDENTITY_SVC_ADDR: control,
      IDENTITY_DIR: join(this.directory, who),
      IDENTITY_TRUST_ANCHORS: this.ca.pem,
      IDENTITY_LOCAL_NAME: identityOf(who),
      IDENTITY_TOKEN_FILE: join(this.directory, "token"),
      ...this.#options.env?.(who),
    };
    const kept = Object.entries(vars).filter((entry): entry is [string, string] => entry[1] !== null);
    return Object.fromEntries(kept.map(([key, value]) => [`LINKERD2_PROXY_${key}`, value]));
  }

  startProxy(who: Who): ProxyProcess {
    return this.#startProxy(who, DOORS);
  }

  #startProxy(who: Who, doors: Doors): ProxyProcess {
    const log = { text: "" };
    const pod = this.pods[who];
    const child = pod.start([...(this.#options.wrap?.(who) ?? []), ...this.#variables(who), builtBinary(), "proxy"], {
      env: {
        ...this.environment(who),
        LINKERD2_PROXY_OUTBOUND_LISTEN_ADDR: `127.0.0.1:${doors.outbound}`,
        LINKERD2_PROXY_INBOUND_LISTEN_ADDR: `0.0.0.0:${doors.inbound}`,
        LINKERD2_PROXY_ADMIN_LISTEN_ADDR: `0.0.0.0:${doors.admin}`,
      },
      uid: PROXY_UID,
      stdout: this.#options.stdout?.(who) ?? ((text) => void (log.text += text)),
    });
    const proxy = new ProxyProcess({ pod, child, log, admin: "127.0.0.1", adminPort: doors.admin });
    this.#proxies.set(who, proxy);
    return proxy;
  }

  /**
   * Another proxy takes a pod over: when it is ready connections are redirected to it, then the old one is told to end.
   * Resolves with the old one's exit status.
   */
  async replaceProxy(who: Who): Promise<number | null> {
    const old = this.#proxies.get(who) as ProxyProcess;
    const n = ++this.#generation;
    const doors = { outbound: DOORS.outbound + 1000 * n, inbound: DOORS.inbound + 1000 * n, admin: DOORS.admin + 1000 * n };
    await this.#startProxy(who, doors).ready();
    const replace = (chain: string, rule: number, port: number) =>
      this.pods[who].run(
        "iptables",
        "-w",
        "5",
        "-t",
        "nat",
        "-R",
        chain,
        String(rule),
        "-p",
        "tcp",
        "-j",
        "REDIRECT",
        "--to-port",
        String(port),
      );
    replace("OUTPUT", 3, doors.outbound);
    replace("PREROUTING", 2, doors.inbound);
    return old.stop();
  }

  readonly close = undoAtExit(() => {
    this.#removeOutsider();
    this.pods.remove();
    rmSync(this.directory, { recursive: true, force: true });
  });
}

/** Steady traffic from a pod (load.ts). */
export class Load {
  readonly child: ChildProcess;
  #text = "";

  constructor(pod: Pod, options: { protocol: "http1" | "grpc"; host: string; port: number; rate: number; connections: number }) {
    const { protocol, host, port, rate, connections } = options;
    this.child = pod.start(
      [process.execPath, join(ROOT, "proxy/testing/load.ts"), protocol, host, String(port), String(rate), String(connections)],
      { stdin: "pipe", stdout: (text) => void (this.#text += text) },
    );
  }

  /** What became of the requests so far; latencies since the last report. */
  async report(): Promise<LoadReport> {
    return this.#next(() => this.child.stdin?.write("\n"));
  }

  /** The report when all is answered. */
  async stop(): Promise<LoadReport> {
    return this.#next(() => this.child.stdin?.end());
  }

  async #next(ask: () => void): Promise<LoadReport> {
    const before = this.#text.length;
    ask();
    await until("a report of the load", () => this.#text.indexOf("\n", before) >= 0, 30_000);
    return JSON.parse(this.#text.slice(before, this.#text.indexOf("\n", before))) as LoadReport;
  }
}

/** The application of {@link Load}, on two ports of a pod. */
export async function startLoadApp(pod: Pod, options: { delayMs: number; http1Port: number; grpcPort: number }): Promise<ChildProcess> {
  let text = "";
  const child = pod.start(
    [
      process.execPath,
      join(ROOT, "proxy/testing/load-app.ts"),
      String(options.delayMs),
      String(options.http1Port),
      String(options.grpcPort),
    ],
    { stdout: (more) => void (text += more) },
  );
  await until("the application listens", () => text.includes("listening"));
  return child;
}
