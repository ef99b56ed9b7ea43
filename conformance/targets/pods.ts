// A client's pod and a server's pod on a wire: network namespaces, the built proxy as a pod runs it, a control plane of files, and the
// suite's servers. Which of the two pods is meshed is the target's choice.
import { chownSync, copyFileSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createCa, type TestCa } from "../../proxy/testing/certificates.ts";
import type { ControlPlaneFile } from "../../proxy/testing/control-plane.ts";
import { createPods, type Pod, type Pods, PROXY_UID } from "../../proxy/testing/namespaces.ts";
import { undoAtExit } from "../../proxy/testing/undo.ts";

const root = resolve(import.meta.dir, "../..");
const SERVICE = "10.96.0.10";
const NAME = "web.ns.svc.cluster.local";
const CONTROL_PORT = 8086;
const ADMIN_PORT = 4191;
const START_MS = 30_000;
const LOG_BYTES = 4000;

export type Server = {
  readonly name: string;
  readonly argv: readonly string[];
  /** What shows that it listens: it says "listening", or this port takes connections. */
  readonly listens: "says so" | number;
};

/** What a suite brings along. */
export type Cast = {
  /** The proxy's executable. */
  readonly binary: string;
  /** Ports of the server's pod that clients call. */
  readonly ports: readonly number[];
  /** Puts the programs into the scene's directory. */
  build(directory: string): Promise<void>;
  servers(directory: string): readonly Server[];
  /** Environment of clients. */
  readonly env?: Readonly<Record<string, string>>;
  /** Two ports of servers that are the same: with `changing`, calls to the first go to those of the two that are there. */
  readonly twins?: readonly [number, number];
};

export type SceneOptions = {
  /** The client's pod has a proxy, the server's pod has one. */
  readonly outbound: boolean;
  readonly inbound: boolean;
  /** A relay in the client's pod speaks mesh TLS to the server's pod. */
  readonly relay?: boolean;
  /** While it runs the twins come and go as endpoints, and both proxies get a new certificate every second. */
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
  readonly #cast: Cast;
  readonly #options: SceneOptions;
  readonly #ca: TestCa;
  readonly #pods: Pods;
  readonly #logs = new Map<string, string>();
  #changes: Promise<void> = Promise.resolve();
  #stopping = false;
  /** Files that the client's control plane has read since its start. */
  #reads = 0;
  #onRead: (() => void) | null = null;
  /** Rounds of endpoint changes so far. */
  rounds = 0;

  private constructor(cast: Cast, options: SceneOptions, ca: TestCa) {
    this.#cast = cast;
    this.#options = options;
    this.#ca = ca;
    this.directory = mkdtempSync(join(tmpdir(), "fairlead-conformance-"));
    this.#pods = createPods(`c${process.pid % 1_000_000}`);
    Bun.spawnSync(["chmod", "755", this.directory]);
    copyFileSync(cast.binary, join(this.directory, "fairlead"));
    for (const who of ["a", "b"]) {
      mkdirSync(join(this.directory, who));
      chownSync(join(this.directory, who), PROXY_UID, PROXY_UID);
    }
    writeFileSync(join(this.directory, "token"), "token");
  }

  static async start(cast: Cast, options: SceneOptions): Promise<Scene> {
    const scene = new Scene(cast, options, await createCa());
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
    await this.#cast.build(this.directory);
    const listening = this.#cast.servers(this.directory).map(({ name, argv, listens }) => this.#server(b, name, argv, listens));
    this.#write("b", this.#file(null));
    this.#write("a", this.#file(null));
    if (this.#options.inbound) listening.push(this.#proxy(b, "b"));
    if (this.#options.outbound) listening.push(this.#proxy(a, "a"));
    await Promise.all(listening);
    if (this.#options.relay) await this.#relay(a);
    if (this.#options.changing) this.#changes = this.#change();
  }

  async #server(pod: Pod, name: string, argv: readonly string[], listens: Server["listens"]): Promise<void> {
    let up = false;
    pod.start([...argv], {
      stdout: (text) => {
        if (text.includes("listening")) up = true;
        this.#log(name, text);
      },
    });
    await this.#until(`${name} listens`, async () => {
      if (listens === "says so") return up;
      return (await pod.output("bash", "-c", `: < /dev/tcp/127.0.0.1/${listens}`)).status === 0;
    });
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
      INBOUND_PORTS: this.#cast.ports.join(","),
      INBOUND_DEFAULT_POLICY: "all-unauthenticated",
      IDENTITY_SVC_ADDR: control,
      IDENTITY_DIR: join(this.directory, who),
      IDENTITY_TRUST_ANCHORS: this.#ca.pem,
      IDENTITY_LOCAL_NAME: ID(who),
      IDENTITY_TOKEN_FILE: join(this.directory, "token"),
      // Hundreds of handshakes at once take their time on a busy machine; how long is for other tests to say.
      OUTBOUND_CONNECT_TIMEOUT: "10s",
      INBOUND_CONNECT_TIMEOUT: "10s",
      ...(this.#options.changing ? { IDENTITY_MIN_REFRESH: "1s", IDENTITY_MAX_REFRESH: "1s" } : {}),
    };
    return Object.fromEntries(Object.entries(vars).map(([key, value]) => [`LINKERD2_PROXY_${key}`, value]));
  }

  /** What the control planes say. `step`: the update of the twins' endpoints instead of the first one. */
  #file(step: Step | null): ControlPlaneFile {
    const { ports, twins } = this.#cast;
    const addr = (port: number) => ({ ip: { ipv4: ipv4(this.#pods.b.ip) }, port });
    const meshed = this.#options.inbound ? { tlsIdentity: { dnsLikeIdentity: { name: ID("b") } }, protocolHint: { h2: {} } } : {};
    const add = (ports: readonly number[]) => ({
      add: { addrs: ports.map((port) => ({ addr: addr(port), ...meshed })), metricLabels: { service: "web", namespace: "ns" } },
    });
    const updates: Record<string, unknown> = Object.fromEntries(ports.map((port) => [`${NAME}:${port}`, add([port])]));
    const path = `${NAME}:${twins?.[0]}`;
    if (step !== null) updates[path] = step.verb === "add" ? add([step.port]) : { remove: { addrs: [addr(step.port)] } };
    const server = { protocol: { detect: { timeout: "10s" } }, authorizations: everyone, labels: { name: "web" } };
    return {
      ca: this.#ca.saved,
      profiles: Object.fromEntries(ports.map((port) => [`${SERVICE}:${port}`, { fullyQualifiedName: NAME }])),
      updates,
      ...(step === null ? {} : { current: { [path]: add(step.left) } }),
      servers: Object.fromEntries([...ports, ADMIN_PORT].map((port) => [port, server])),
    } as unknown as ControlPlaneFile;
  }

  #write(who: "a" | "b", file: ControlPlaneFile): void {
    const path = join(this.directory, `${who}.json`);
    writeFileSync(`${path}.new`, JSON.stringify(file));
    renameSync(`${path}.new`, path);
  }

  /** Adds one endpoint and removes the other, again and again; a step follows once the one before has been sent. */
  async #change(): Promise<void> {
    if (this.#cast.twins === undefined) throw new Error("the suite has no twins");
    const [one, two] = this.#cast.twins;
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
      ports: this.#cast.ports,
      servername: ID("b"),
      ca: this.#ca.pem,
      key: client.keyPem,
      cert: client.certChainPem,
    };
    const path = join(this.directory, "relay.json");
    writeFileSync(path, JSON.stringify(settings));
    await this.#server(pod, "relay", [process.execPath, join(root, "conformance/targets/relay.ts"), path], "says so");
  }

  /** Where a client in the client's pod reaches the servers. */
  get host(): string {
    return this.#options.relay ? "127.0.0.1" : this.#options.outbound ? SERVICE : this.#pods.b.ip;
  }

  /** Runs a client in the client's pod to its end, at most `deadlineMs` long; null as its status when it was not done by then. */
  async client(argv: readonly string[], deadlineMs: number): Promise<{ status: number | null; stdout: string; stderr: string }> {
    const child = Bun.spawn(["ip", "netns", "exec", this.#pods.a.namespace, ...argv], {
      cwd: this.directory,
      env: { PATH: process.env["PATH"] ?? "", ...this.#cast.env },
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

  async #until(what: string, look: () => boolean | Promise<boolean>): Promise<void> {
    for (const started = performance.now(); performance.now() - started < START_MS; await Bun.sleep(50)) if (await look()) return;
    throw new Error(`not within ${START_MS / 1000} s: ${what}\n${[...this.#logs].map(([name, text]) => `--- ${name}\n${text}`).join("")}`);
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    this.#onRead?.();
    await this.#changes;
    this.#clean();
  }

  readonly #clean = undoAtExit(() => {
    this.#pods.remove();
    rmSync(this.directory, { recursive: true, force: true });
  });
}
