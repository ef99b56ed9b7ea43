// The network on the real system: pods, cluster IPs, refusals, the bridge's address, clean-up.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { EndpointSlice, Service } from "#kube";
import { cleanupNode } from "./cleanup.ts";
import { run, tryRun } from "./command.ts";
import { dialLoopback } from "./dial.ts";
import { bridgeName } from "./names.ts";
import { attachPod, detachPod, ensureNodeNetwork, type NodeNetwork, namespacesOf, type PodNetwork } from "./node-network.ts";
import { ServiceProxy } from "./service-proxy.ts";
import { missingTools } from "./tools.ts";

const canRun = process.getuid?.() === 0 && missingTools().length === 0;

describe.skipIf(!canRun)("network", () => {
  const cluster = `net-${process.pid}`;
  const third = (process.pid * 11) % 256;
  const plan = { cluster, podCidr: `10.204.${third}.0/24`, serviceCidr: `10.205.${third}.0/24`, linkCidr: `10.206.${third}.0/30` };
  const stateDir = mkdtempSync(join(tmpdir(), "fairlead-net-"));
  const identity = (name: string) => ({ namespace: "n", name, uid: `${name}-uid` });
  const clusterIP = `10.205.${third}.7`;
  let network: NodeNetwork;
  let pods: PodNetwork[];
  const servers: ChildProcess[] = [];
  let services: Service[] = [];
  let slices: EndpointSlice[] = [];
  let proxy: ServiceProxy;
  let applied: () => void = () => {};
  const errors: unknown[] = [];

  /** A server in a pod's namespace that says the pod's name and whom it talks to. */
  const serve = async (pod: PodNetwork, name: string) => {
    const script = `require("net").createServer((s)=>s.end("${name} "+s.remoteAddress)).listen(8080,"0.0.0.0",()=>console.log("up"))`;
    const child = spawn("nsenter", [`--net=${pod.path}`, process.execPath, "-e", script], { stdio: ["ignore", "pipe", "ignore"] });
    servers.push(child);
    await new Promise((resolve) => child.stdout!.once("data", resolve));
  };
  const ask = (host: string, port: number) =>
    new Promise<string>((resolve) => {
      const socket = connect({ host, port });
      let text = "";
      socket.on("data", (chunk) => {
        text += chunk;
      });
      socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? "error"));
      socket.on("close", () => resolve(text));
    });
  const askFrom = async (pod: PodNetwork, host: string, port: number) => {
    const script = `require("net").connect(${port},"${host}").on("data",(d)=>process.stdout.write(d)).on("error",(e)=>process.stdout.write(e.code))`;
    return (await tryRun(["nsenter", `--net=${pod.path}`, process.execPath, "-e", script])).stdout;
  };
  const change = async (ips: string[]) => {
    slices = [
      {
        metadata: { name: "web-1", namespace: "n", labels: { "kubernetes.io/service-name": "web" } },
        addressType: "IPv4",
        ports: [{ port: 8080 }],
        endpoints: ips.map((ip) => ({ addresses: [ip] })),
      },
    ];
    await new Promise<void>((resolve) => {
      applied = resolve;
      proxy.changed();
    });
  };

  beforeAll(async () => {
    network = await ensureNodeNetwork(plan);
    pods = [await attachPod(network, identity("one"), `10.204.${third}.2`), await attachPod(network, identity("two"), `10.204.${third}.3`)];
    services = [{ metadata: { name: "web", namespace: "n" }, spec: { clusterIP, ports: [{ port: 80, nodePort: 30_080 }] } }];
    proxy = new ServiceProxy({
      network,
      read: () => ({ services, slices }),
      onError: (error) => errors.push(error),
      onApplied: () => applied(),
      gatherMs: 1,
    });
    await Promise.all(pods.map((pod, index) => serve(pod, ["one", "two"][index]!)));
  });
  afterAll(async () => {
    await proxy?.close();
    for (const child of servers) child.kill("SIGKILL");
    await cleanupNode({ cluster, stateDir });
    rmSync(stateDir, { recursive: true, force: true });
  });

  test("pods reach each other, the machine reaches pods, each by its own address", async () => {
    expect(await ask(pods[0]!.ip, 8080)).toBe(`one ${network.hostAddress}`);
    expect(await askFrom(pods[0]!, pods[1]!.ip, 8080)).toBe(`two ${pods[0]!.ip}`);
  });

  test("cluster IP and node port: spread, hairpin, refusal, change", async () => {
    await change(pods.map(({ ip }) => ip));
    const seen = new Set<string>();
    for (let tries = 0; tries < 60 && seen.size < 2; tries++) seen.add((await ask(clusterIP, 80)).split(" ")[0]!);
    expect([...seen].sort()).toEqual(["one", "two"]);
    expect(await ask(network.nodeAddress, 30_080)).toMatch(/^(one|two) /);
    await change([pods[0]!.ip]);
    expect(await askFrom(pods[1]!, clusterIP, 80)).toBe(`one ${pods[1]!.ip}`);
    // To itself: seen to come from the gateway, else the answer would miss the translation.
    expect(await askFrom(pods[0]!, clusterIP, 80)).toBe(`one ${network.gateway}`);
    await change([]);
    expect(await ask(clusterIP, 80)).toBe("ECONNREFUSED");
    expect(await askFrom(pods[1]!, clusterIP, 80)).toBe("ECONNREFUSED");
    expect(await ask(`10.205.${third}.99`, 80)).toBe("ECONNREFUSED");
    expect(errors).toEqual([]);
  });

  test("rules that cannot be applied are told with their line, and tried again", async () => {
    const before = services;
    let isFailed = false;
    const failing = new ServiceProxy({
      network,
      read: () => ({
        services: isFailed
          ? before
          : ([
              {
                metadata: { name: "bad", namespace: "n" },
                spec: {
                  clusterIP,
                  ports: [{ port: 80 }],
                  sessionAffinity: "ClientIP",
                  sessionAffinityConfig: { clientIP: { timeoutSeconds: "x" } },
                },
              },
            ] as unknown as Service[]),
        slices: [
          {
            ...slices[0]!,
            metadata: { ...slices[0]!.metadata, labels: { "kubernetes.io/service-name": isFailed ? "web" : "bad" } },
            endpoints: [{ addresses: [pods[0]!.ip] }],
          },
        ],
      }),
      onError: (error) => {
        isFailed = true;
        errors.push(error);
      },
      onApplied: () => applied(),
      gatherMs: 1,
      retryMs: 1,
    });
    await new Promise<void>((resolve) => {
      applied = resolve;
      failing.changed();
    });
    await failing.close();
    expect(String(errors.pop())).toContain("iptables-restore");
    expect(await ask(clusterIP, 80)).toMatch(/^one /);
  });

  test("connections into a namespace's loopback", async () => {
    let seen = "";
    let isOver = false;
    const closed = Promise.withResolvers<void>();
    const over = Promise.withResolvers<void>();
    const socket = await dialLoopback(pods[1]!.path, 8080, {
      data: (bytes) => {
        seen += Buffer.from(bytes).toString();
      },
      end: () => over.resolve(),
      close: () => {
        isOver = true;
        closed.resolve();
      },
      drain: () => {},
    });
    await over.promise;
    // The other half is still open until we say so.
    expect(isOver).toBe(false);
    socket.end();
    await closed.promise;
    const text = seen;
    expect(text).toStartWith("two ");
    await expect(dialLoopback(pods[1]!.path, 9, { data() {}, end() {}, close() {}, drain() {} })).rejects.toThrow(
      "dial tcp 127.0.0.1:9: connect: connection refused",
    );
  });

  test("the bridge keeps its address while pods come and go", async () => {
    const link = async () => /link\/ether (\S+)/.exec(await run(["ip", "-n", `fl-${cluster}`, "link", "show", bridgeName]))?.[1];
    const before = await link();
    for (const name of ["a", "b", "c"]) await attachPod(network, identity(name), `10.204.${third}.9`);
    for (const name of ["a", "b", "c"]) await detachPod(network, identity(name));
    expect(await link()).toBe(before);
  });

  test("the machine's own rules and settings are left alone; a network it routes elsewhere is refused", async () => {
    await expect(ensureNodeNetwork({ ...plan, cluster: `${cluster}-x` })).rejects.toThrow("overlaps a route of this machine");
    expect((await tryRun(["iptables-save"])).stdout).not.toContain("FAIRLEAD");
    expect(namespacesOf(`${cluster}-x`)).toEqual([]);
  });

  test("clean-up removes processes, namespaces, links and routes, and may be repeated", async () => {
    const report = await cleanupNode({ cluster, stateDir });
    expect(report.problems).toEqual([]);
    expect(report.processes.length).toBeGreaterThanOrEqual(2);
    expect(namespacesOf(cluster)).toEqual([]);
    expect(await run(["ip", "route"])).not.toContain(plan.podCidr);
    expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(stateDir);
    expect(await cleanupNode({ cluster, stateDir })).toEqual({ processes: [], namespaces: [], mounts: [], problems: [] });
  });
});
