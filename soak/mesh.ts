// Two pods with the mesh's redirect rules, a proxy in each, a control plane beside each proxy, and applications on many addresses of
// the second pod. Everything is a process of its own; `close` undoes everything.
//
//   client pod                                       server pod
//   load ──► redirect ──► proxy A ──── mTLS ────► redirect ──► proxy B ──► instances .10, .11, …
//            control plane of A                     control plane of B
import { join } from "node:path";
import type { Subprocess } from "bun";
import { Authority } from "../bench/certificates.ts";
import type { ConnectionsTls } from "../bench/connections.ts";
import { Lab, type Pair, type Pod, PROXY_UID } from "../bench/lab.ts";
import { CONTROL_PORT, environment, POD_PORTS, proxyCommand } from "../bench/systems/fairlead.ts";
import { CLIENT_ID, SERVER_ID } from "../bench/systems/system.ts";
import { root, run } from "../bench/tools.ts";
import { Lines } from "./lines.ts";
import { type Sample, samplesOf } from "./metrics.ts";
import { PORTS, SERVICES, type Server, type Service, type State } from "./state.ts";

export type Side = "a" | "b";
export const SIDES: readonly Side[] = ["a", "b"];
/** Who may tap. */
export const TAP_ID = "tap.linkerd-viz.serviceaccount.identity.linkerd.cluster.local";

export type MeshOptions = {
  readonly cores: number;
  /** Of namespaces; tells runs apart. */
  readonly prefix: string;
  /** Addresses for instances that exist; which are up is said by `update`. */
  readonly addresses: number;
  readonly certificateLifetimeMs: number;
  /** More variables of both proxies. */
  readonly env?: Readonly<Record<string, string>>;
  readonly services?: readonly Service[];
  /** Servers of more ports; proxy A's identity may call each. */
  readonly meshedServers?: Readonly<Record<number, Omit<Server, "clients">>>;
};

type Talker = Subprocess<"pipe", "pipe", "inherit">;

export class Mesh {
  readonly lab: Lab;
  readonly authority: Authority;
  readonly pair: Pair;
  /** Processes of the proxies. */
  readonly pids: Readonly<Record<Side, number>>;
  /** Of each instance that has left: how long after the news went out its last request came, ms. */
  readonly lastRequestsMs: number[] = [];
  /** Addresses no instance has. */
  readonly free: string[];
  readonly #controlPlanes = new Map<Side, Talker>();
  readonly #rootFile: string;
  readonly #app: Talker;
  readonly #appLines: Lines;
  #state: State;

  private constructor(init: {
    lab: Lab;
    authority: Authority;
    pair: Pair;
    addresses: readonly string[];
    pids: Record<Side, number>;
    controlPlanes: ReadonlyMap<Side, Talker>;
    rootFile: string;
    app: Talker;
    state: State;
  }) {
    this.lab = init.lab;
    this.authority = init.authority;
    this.pair = init.pair;
    this.free = [...init.addresses];
    this.pids = init.pids;
    for (const [side, child] of init.controlPlanes) this.#controlPlanes.set(side, child);
    this.#rootFile = init.rootFile;
    this.#app = init.app;
    this.#appLines = new Lines(init.app.stdout);
    this.#state = init.state;
  }

  /** Both proxies are ready; no instance is up. @throws {Error} with what the proxies said */
  static async start(options: MeshOptions): Promise<Mesh> {
    const lab = new Lab({ cores: options.cores, prefix: options.prefix });
    try {
      const authority = await Authority.create();
      const pair = lab.pods("pod");
      const base = pair.server.ip.slice(0, pair.server.ip.lastIndexOf("."));
      const addresses = Array.from({ length: options.addresses }, (_, i) => `${base}.${110 + i}`);
      for (const ip of addresses) run(["ip", "-n", pair.server.namespace, "addr", "add", `${ip}/24`, "dev", "eth0"]);
      for (const pod of [pair.client, pair.server]) lab.redirect(pod);
      const only = (name: string): Server => ({ name, opaque: false, clients: [CLIENT_ID] });
      const state: State = {
        serviceAddress: pair.service,
        podAddress: pair.server.ip,
        services: options.services ?? SERVICES,
        instances: [],
        serverIdentity: SERVER_ID,
        certificateLifetimeMs: options.certificateLifetimeMs,
        servers: {
          [PORTS.http]: only("web"),
          [PORTS.guarded]: only("guarded"),
          [PORTS.upload]: only("upload"),
          [PORTS.grpc]: only("grpc"),
          [PORTS.tcp]: { ...only("tcp"), opaque: true },
          ...Object.fromEntries(
            Object.entries(options.meshedServers ?? {}).map(([port, server]) => [port, { ...server, clients: [CLIENT_ID] }]),
          ),
          4191: { name: "admin", opaque: false, clients: [], everyone: true },
          4190: { name: "tap", opaque: false, clients: [TAP_ID] },
        },
      };
      const rootFile = join(lab.directory, "root.json");
      await Bun.write(rootFile, JSON.stringify({ pem: authority.pem, key: await authority.exportKey() }));
      const podOf: Record<Side, Pod> = { a: pair.client, b: pair.server };
      const controlPlanes = new Map<Side, Talker>();
      for (const side of SIDES) controlPlanes.set(side, await startControlPlane(lab, podOf[side], rootFile, state));
      const ports = Object.keys(state.servers).filter((port) => Number(port) !== 4190);
      const pids = { a: 0, b: 0 };
      for (const [side, identity, ips] of [
        ["a", CLIENT_ID, pair.client.ip],
        ["b", SERVER_ID, [pair.server.ip, ...addresses].join(",")],
      ] as const) {
        const env = {
          ...(await environment(lab, authority, side, identity, podOf[side], POD_PORTS)),
          LINKERD2_PROXY_INBOUND_IPS: ips,
          LINKERD2_PROXY_INBOUND_PORTS: ports.join(","),
          LINKERD2_PROXY_TAP_SVC_NAME: TAP_ID,
          // Two cores with much to do: an application may be slow to take a connection.
          LINKERD2_PROXY_INBOUND_CONNECT_TIMEOUT: "3s",
          LINKERD2_PROXY_OUTBOUND_CONNECT_TIMEOUT: "3s",
          LINKERD2_PROXY_OUTBOUND_DISPATCH_TIMEOUT: "10s",
          LINKERD2_PROXY_INBOUND_DISPATCH_TIMEOUT: "10s",
          ...options.env,
        };
        pids[side] = lab.startProxy(podOf[side], proxyCommand(lab), { env, log: `proxy-${side}.log` });
      }
      const app = lab.talk(pair.server, lab.otherCore, [process.execPath, join(root, "soak", "app.ts")]);
      const mesh = new Mesh({ lab, authority, pair, addresses, pids, controlPlanes, rootFile, app, state });
      for (const side of SIDES) await mesh.#ready(side);
      return mesh;
    } catch (error) {
      await lab.close();
      throw error;
    }
  }

  get state(): State {
    return this.#state;
  }

  podOf(side: Side): Pod {
    return side === "a" ? this.pair.client : this.pair.server;
  }

  /** Tells both control planes. */
  update(change: Partial<State>): void {
    this.#state = { ...this.#state, ...change };
    for (const child of this.#controlPlanes.values()) tell(child, JSON.stringify(this.#state));
  }

  /** An instance listens at a free address, then it becomes an endpoint. Returns false when no address is free. */
  async join(): Promise<boolean> {
    for (const line of this.#appLines.drain()) this.#left(line);
    const ip = this.free.shift();
    if (ip === undefined) return false;
    tell(this.#app, `join ${ip}`);
    await this.#appLines.until(`joined ${ip}`, (line) => this.#left(line));
    this.update({ instances: [...this.#state.instances, ip] });
    return true;
  }

  /** The oldest instance is no endpoint any more, and goes; its address is free when it has finished. */
  leave(): void {
    const ip = this.#state.instances[0];
    this.update({ instances: this.#state.instances.filter((other) => other !== ip) });
    tell(this.#app, `leave ${ip}`);
  }

  /** Kills a control plane; `startControlPlane` brings it back. What changes meanwhile its proxy does not hear. */
  async stopControlPlane(side: Side): Promise<void> {
    const child = this.#controlPlanes.get(side);
    this.#controlPlanes.delete(side);
    child?.kill("SIGKILL");
    await child?.exited;
  }

  async startControlPlane(side: Side): Promise<void> {
    this.#controlPlanes.set(side, await startControlPlane(this.lab, this.podOf(side), this.#rootFile, this.#state));
  }

  /** Runs a program in a pod to its end. */
  async output(pod: Pod, argv: readonly string[], uid = 0): Promise<string> {
    const child = Bun.spawn(this.lab.command(pod, this.lab.otherCore, argv, uid), { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
    const [out, err, status] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]);
    if (status !== 0) throw new Error(`${argv.join(" ")}: exit code ${status}\n${err}${out}`);
    return out;
  }

  /** Starts a program of this checkout in a pod, to be talked to. */
  program(pod: Pod, file: string, args: readonly string[], uid = 0): { child: Talker; lines: Lines } {
    const child = this.lab.talk(pod, this.lab.otherCore, [process.execPath, join(root, file), ...args], uid);
    return { child, lines: new Lines(child.stdout) };
  }

  /** Taps a proxy's requests with this prefix of the path; resolves when it listens. */
  async tap(side: Side, prefix: string): Promise<{ child: Talker; lines: Lines }> {
    const { certificate, key } = await this.authority.issue(TAP_ID);
    const identity: ConnectionsTls = { certificate, key, ca: this.authority.pem, serverName: side === "a" ? CLIENT_ID : SERVER_ID };
    const file = join(this.lab.directory, `tap-${side}.json`);
    await Bun.write(file, JSON.stringify(identity));
    const tap = this.program(this.pair.client, join("soak", "tap.ts"), [file, this.podOf(side).ip, prefix], PROXY_UID);
    await tap.lines.until('"observing"');
    return tap;
  }

  async metricsText(side: Side): Promise<string> {
    return this.output(this.podOf(side), ["curl", "-sS", "--max-time", "5", "http://127.0.0.1:4191/metrics"]);
  }

  async metrics(side: Side): Promise<Sample[]> {
    return samplesOf(await this.metricsText(side));
  }

  async log(side: Side): Promise<string> {
    return this.lab.log(`proxy-${side}.log`);
  }

  async close(): Promise<void> {
    await this.lab.close();
  }

  #left(line: string): void {
    const [, ip, ms] = /^left (\S+) (\S+)$/.exec(line) ?? [];
    if (ip === undefined) return;
    this.free.push(ip);
    this.lastRequestsMs.push(Number(ms));
  }

  async #ready(side: Side): Promise<void> {
    const deadline = performance.now() + 30_000;
    while (performance.now() < deadline) {
      const said = await this.output(this.podOf(side), ["curl", "-sS", "--max-time", "2", "http://127.0.0.1:4191/ready"]).catch(() => "");
      if (said === "ready\n") return;
      await Bun.sleep(50);
    }
    throw new Error(`proxy ${side} is not ready:\n${(await this.log(side)).slice(-4000)}`);
  }
}

async function startControlPlane(lab: Lab, pod: Pod, rootFile: string, state: State): Promise<Talker> {
  const child = lab.talk(pod, lab.otherCore, [process.execPath, join(root, "soak", "control-plane.ts"), String(CONTROL_PORT), rootFile]);
  tell(child, JSON.stringify(state));
  await new Lines(child.stdout).until("listening");
  return child;
}

export function tell(child: Talker, line: string): void {
  child.stdin.write(`${line}\n`);
  void child.stdin.flush();
}
