// A client's pod and a server's pod on a wire: network namespaces, the built proxy as a pod runs it, a control plane of files, and the
// servers of the interop cases. Which of the two pods is meshed is the target's choice.
import { chownSync, copyFileSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createCa, type TestCa } from "../../proxy/testing/certificates.ts";
import type { ControlPlaneFile } from "../../proxy/testing/control-plane.ts";
import { createPods, type Pod, type Pods, PROXY_UID } from "../../proxy/testing/namespaces.ts";
import { build, type Programs } from "./install.ts";

const root = resolve(import.meta.dir, "../..");
const SERVICE = "10.96.0.10";
const NAME = "grpc.ns.svc.cluster.local";
const CONTROL_PORT = 8086;
const ADMIN_PORT = 4191;
const START_MS = 30_000;
const LOG_BYTES = 4000;

export const BAD_SERVER_CASES = [
  "goaway",
  "rst_after_header",
  "rst_during_data",
  "rst_after_data",
  "ping",
  "max_streams",
  "data_frame_padding",
] as const;

/** Ports of the servers in the server's pod. `grpc-go-2` is what endpoints change to. */
export const PORTS = {
  "grpc-go": 9001,
  "grpc-go-2": 9002,
  "grpc-js": 9003,
  grpcio: 9004,
  raw: 9005,
  ...(Object.fromEntries(BAD_SERVER_CASES.map((name, i) => [name, 9010 + i])) as Record<(typeof BAD_SERVER_CASES)[number], number>),
} as const;
export type ServerName = keyof typeof PORTS;

export type SceneOptions = {
  /** The client's pod has a proxy, the server's pod has one. */
  readonly outbound: boolean;
  readonly inbound: boolean;
  /** A relay in the client's pod speaks mesh TLS to the server's pod. */
  readonly relay?: boolean;
  /** While it runs endpoints of `grpc-go` change, and both proxies get a new certificate every second. */
  readonly changing?: boolean;
};

/** A change of endpoints, and the ports that are left after it. */
type Step = { readonly verb: "add" | "remove"; readonly port: number; readonly left: readonly number[] };

const ID = (who: string): string => `${who}.ns.serviceaccount.identity.linkerd.cluster.local`;
const ipv4 = (ip: string): number => ip.split(".").reduce((n, octet) => n * 256 + Number(octet), 0);
const everywhere = [{ net: { ip: { ipv4: 0 }, prefixLen: 0 } }];
const everyone = [{ networks: everywhere, authentication: { unauthenticated: {} }, labels: { name: "everyone" } }];

export class Scene {
  readonly directory: string;
  readonly programs: Programs;
  readonly #options: SceneOptions;
  readonly #ca: TestCa;
  readonly #pods: Pods;
  readonly #logs = new Map<string, string>();
  readonly #remove = (): void => this.#clean();
  readonly #interrupted = (): never => process.exit(130);
  #changes: Promise<void> = Promise.resolve();
  #stopping = false;
  /** Files that the client's control plane has read since its start. */
  #reads = 0;
  #onRead: (() => void) | null = null;
  /** Rounds of endpoint changes so far. */
  rounds = 0;

  private constructor(programs: Programs, binary: string, options: SceneOptions, ca: TestCa) {
    this.programs = programs;
    this.#options = options;
    this.#ca = ca;
    this.directory = mkdtempSync(join(tmpdir(), "fairlead-grpc-"));
    // A run that is interrupted takes its namespaces along.
    process.on("exit", this.#remove);
    process.on("SIGINT", this.#interrupted);
    process.on("SIGTERM", this.#interrupted);
    this.#pods = createPods(`g${process.pid % 1_000_000}`);
    Bun.spawnSync(["chmod", "755", this.directory]);
    copyFileSync(binary, join(this.directory, "fairlead"));
    for (const who of ["a", "b"]) {
      mkdirSync(join(this.directory, who));
      chownSync(join(this.directory, who), PROXY_UID, PROXY_UID);
    }
    writeFileSync(join(this.directory, "token"), "token");
  }

  static async start(programs: Programs, binary: string, options: SceneOptions): Promise<Scene> {
    const scene = new Scene(programs, binary, options, await createCa());
    try {
      await scene.#start();
      return scene;
    } catch (error) {
      await scene.stop();
      throw error;
    }
  }

  async #start(): Promise<void> {
    const { a, b } = this.#pods;
    // A pod that is not meshed has no rules.
    if (!this.#options.outbound) a.run("iptables", "-w", "5", "-t", "nat", "-F", "OUTPUT");
    if (!this.#options.inbound) b.run("iptables", "-w", "5", "-t", "nat", "-F", "PREROUTING");
    await build(this.programs, this.directory);
    const { node, python, pythonPath, goServer } = this.programs;
    const file = (name: string): string => join(this.directory, name);
    const port = (name: ServerName): string => String(PORTS[name]);
    const servers: [string, string[]][] = [
      ["grpc-js", [node, file("grpc-js-server.mjs"), port("grpc-js")]],
      ["grpcio", ["env", `PYTHONPATH=${pythonPath}`, python, file("interop_server.py"), port("grpcio")]],
      ["raw", [node, file("servers-raw-server.mjs"), port("raw")]],
      ["bad-server", [node, file("servers-bad-server.mjs"), ...BAD_SERVER_CASES.map((name) => `${name}=${PORTS[name]}`)]],
    ];
    const listening = servers.map(([name, argv]) => this.#server(b, name, argv));
    for (const name of ["grpc-go", "grpc-go-2"] as const) {
      // It says what it does on standard error, where it is asked to.
      b.start([goServer, `--port=${port(name)}`]);
      listening.push(
        this.#until(`${name} listens`, async () => (await b.output("bash", "-c", `: < /dev/tcp/127.0.0.1/${port(name)}`)).status === 0),
      );
    }
    this.#write("b", this.#file(null));
    this.#write("a", this.#file(null));
    if (this.#options.inbound) listening.push(this.#proxy(b, "b"));
    if (this.#options.outbound) listening.push(this.#proxy(a, "a"));
    await Promise.all(listening);
    if (this.#options.relay) await this.#relay(a);
    if (this.#options.changing) this.#changes = this.#change();
  }

  /** Starts a program that says "listening". */
  async #server(pod: Pod, name: string, argv: string[]): Promise<void> {
    let up = false;
    pod.start(argv, {
      stdout: (text) => {
        if (text.includes("listening")) up = true;
        this.#log(name, text);
      },
    });
    await this.#until(`${name} listens`, () => up);
  }

  async #proxy(pod: Pod, who: "a" | "b"): Promise<void> {
    const plane = join(root, "proxy/testing/control-plane.ts");
    let up = false;
    pod.start([process.execPath, plane, join(this.directory, `${who}.json`), String(CONTROL_PORT)], {
      stdout: (text) => {
        if (text.includes("listening")) up = true;
        if (who !== "a") return;
        this.#reads += text.split("read").length - 1;
        this.#onRead?.();
      },
    });
    await this.#until("the control plane listens", () => up);
    pod.start([join(this.directory, "fairlead"), "proxy"], {
      env: this.#environment(who),
      uid: PROXY_UID,
      stdout: (text) => this.#log(`proxy ${who}`, text),
    });
    await this.#until(`proxy ${who} is ready`, async () => (await this.#admin(pod, "ready")).trim() === "ready");
  }

  #environment(who: string): Record<string, string> {
    const control = `localhost.:${CONTROL_PORT}`;
    const vars: Record<string, string> = {
      LOG: "warn",
      OUTBOUND_LISTEN_ADDR: "127.0.0.1:4140",
      INBOUND_LISTEN_ADDR: "0.0.0.0:4143",
      ADMIN_LISTEN_ADDR: `0.0.0.0:${ADMIN_PORT}`,
      DESTINATION_SVC_ADDR: control,
      DESTINATION_PROFILE_NETWORKS: "10.0.0.0/8",
      POLICY_SVC_ADDR: control,
      POLICY_WORKLOAD: `ns:${who}`,
      INBOUND_PORTS: Object.values(PORTS).join(","),
      INBOUND_DEFAULT_POLICY: "all-unauthenticated",
      IDENTITY_SVC_ADDR: control,
      IDENTITY_DIR: join(this.directory, who),
      IDENTITY_TRUST_ANCHORS: this.#ca.pem,
      IDENTITY_LOCAL_NAME: ID(who),
      IDENTITY_TOKEN_FILE: join(this.directory, "token"),
      ...(this.#options.changing ? { IDENTITY_MIN_REFRESH: "1s", IDENTITY_MAX_REFRESH: "1s" } : {}),
    };
    return Object.fromEntries(Object.entries(vars).map(([key, value]) => [`LINKERD2_PROXY_${key}`, value]));
  }

  /** What the control planes say. `step`: the update of `grpc-go`'s endpoints instead of the first one. */
  #file(step: Step | null): ControlPlaneFile {
    const addr = (port: number) => ({ ip: { ipv4: ipv4(this.#pods.b.ip) }, port });
    const meshed = this.#options.inbound ? { tlsIdentity: { dnsLikeIdentity: { name: ID("b") } }, protocolHint: { h2: {} } } : {};
    const add = (ports: readonly number[]) => ({
      add: { addrs: ports.map((port) => ({ addr: addr(port), ...meshed })), metricLabels: { service: "grpc", namespace: "ns" } },
    });
    const updates: Record<string, unknown> = Object.fromEntries(Object.values(PORTS).map((port) => [`${NAME}:${port}`, add([port])]));
    const path = `${NAME}:${PORTS["grpc-go"]}`;
    if (step !== null) updates[path] = step.verb === "add" ? add([step.port]) : { remove: { addrs: [addr(step.port)] } };
    const server = { protocol: { detect: { timeout: "10s" } }, authorizations: everyone, labels: { name: "grpc" } };
    return {
      ca: this.#ca.saved,
      profiles: Object.fromEntries(Object.values(PORTS).map((port) => [`${SERVICE}:${port}`, { fullyQualifiedName: NAME }])),
      updates,
      ...(step === null ? {} : { current: { [path]: add(step.left) } }),
      servers: Object.fromEntries([...Object.values(PORTS), ADMIN_PORT].map((port) => [port, server])),
    } as unknown as ControlPlaneFile;
  }

  #write(who: "a" | "b", file: ControlPlaneFile): void {
    const path = join(this.directory, `${who}.json`);
    writeFileSync(`${path}.new`, JSON.stringify(file));
    renameSync(`${path}.new`, path);
  }

  /** Adds one endpoint and removes the other, again and again; a step follows once the one before has been sent. */
  async #change(): Promise<void> {
    const [one, two] = [PORTS["grpc-go"], PORTS["grpc-go-2"]];
    const steps: Step[] = [
      { verb: "add", port: two, left: [one, two] },
      { verb: "remove", port: one, left: [two] },
      { verb: "add", port: one, left: [one, two] },
      { verb: "remove", port: two, left: [one] },
    ];
    while (!this.#stopping) {
      for (const step of steps) {
        const before = this.#reads;
        this.#write("a", this.#file(step));
        await new Promise<void>((resolve) => {
          this.#onRead = () => {
            if (this.#reads > before || this.#stopping) resolve();
          };
          this.#onRead();
        });
        await Bun.sleep(100);
      }
      this.rounds++;
    }
  }

  async #relay(pod: Pod): Promise<void> {
    const client = await this.#ca.issue(ID("a"));
    const settings = {
      to: this.#pods.b.ip,
      ports: Object.values(PORTS),
      servername: ID("b"),
      ca: this.#ca.pem,
      key: client.keyPem,
      cert: client.certChainPem,
    };
    const path = join(this.directory, "relay.json");
    writeFileSync(path, JSON.stringify(settings));
    await this.#server(pod, "relay", [process.execPath, join(root, "conformance/targets/relay.ts"), path]);
  }

  /** Where a client in the client's pod reaches a server. */
  address(server: ServerName): { host: string; port: number } {
    const host = this.#options.relay ? "127.0.0.1" : this.#options.outbound ? SERVICE : this.#pods.b.ip;
    return { host, port: PORTS[server] };
  }

  /** Runs a client in the client's pod to its end, at most `deadlineMs` long; null as its status when it was not done by then. */
  async client(argv: readonly string[], deadlineMs: number): Promise<{ status: number | null; stdout: string; stderr: string }> {
    const child = Bun.spawn(["ip", "netns", "exec", this.#pods.a.namespace, ...argv], {
      cwd: this.directory,
      env: { PATH: process.env["PATH"] ?? "", GRPC_GO_LOG_SEVERITY_LEVEL: "error", PYTHONPATH: this.programs.pythonPath },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      child.kill("SIGKILL");
    }, deadlineMs);
    const [stdout, stderr, status] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    clearTimeout(timer);
    return { status: late ? null : status, stdout, stderr };
  }

  /** Metrics of a proxy. */
  metrics(who: "a" | "b"): Promise<string> {
    return this.#admin(this.#pods[who], "metrics");
  }

  async #admin(pod: Pod, path: string): Promise<string> {
    return (await pod.output("curl", "-s", "-m", "5", `http://127.0.0.1:${ADMIN_PORT}/${path}`)).stdout;
  }

  #log(name: string, text: string): void {
    this.#logs.set(name, ((this.#logs.get(name) ?? "") + text).slice(-LOG_BYTES));
  }

  /** The last that the proxies said. */
  get logs(): string {
    return [...this.#logs]
      .filter(([name]) => name.startsWith("proxy"))
      .map(([name, text]) => `--- ${name}\n${text}`)
      .join("");
  }

  async #until(what: string, look: () => boolean | Promise<boolean>): Promise<void> {
    for (const started = performance.now(); performance.now() - started < START_MS; await Bun.sleep(50)) if (await look()) return;
    throw new Error(`not within ${START_MS / 1000} s: ${what}\n${[...this.#logs].map(([name, text]) => `--- ${name}\n${text}`).join("")}`);
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    this.#onRead?.();
    await this.#changes;
    process.off("exit", this.#remove);
    process.off("SIGINT", this.#interrupted);
    process.off("SIGTERM", this.#interrupted);
    this.#clean();
  }

  #clean(): void {
    this.#pods.remove();
    rmSync(this.directory, { recursive: true, force: true });
  }
}
