// The node agent against the cluster's API server, both in this process: from an object to a process and back.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ClusterConfig, Informer, KubeClient, type KubeObject, Resources } from "#kube";
import { type ApiServer, createPki, startApiServer } from "../apiserver/index.ts";
import { cleanupNode, ensureNodeNetwork, namespacesOf } from "../network/index.ts";
import { NodeAgent } from "./agent.ts";
import { ImageTable } from "./images.ts";
import { startKubeletServer } from "./server/index.ts";
import { RawWebSocket, SpdyClient } from "./server/testing.ts";
import { canRunPods } from "./testing.ts";
import type { NodePod } from "./types.ts";

describe.skipIf(!canRunPods)("agent", () => {
  const cluster = `agent-${process.pid}`;
  const third = (process.pid * 13) % 256;
  const plan = { cluster, podCidr: `10.207.${third}.0/24`, serviceCidr: `10.208.${third}.0/24`, linkCidr: `10.209.${third}.0/30` };
  const directory = mkdtempSync(join(tmpdir(), "fairlead-agent-"));
  const socket = join(directory, "kubelet.sock");
  let api: ApiServer;
  let client: KubeClient;
  let agent: NodeAgent;
  let kubelet: { close(): Promise<void> };
  let pods: Informer<KubeObject>;
  const messages: string[] = [];

  const startAgent = async () => {
    agent = new NodeAgent({
      client,
      nodeName: "node",
      stateDir: join(directory, "node"),
      network: plan,
      images: () => new ImageTable({}),
      clusterDns: `10.208.${third}.10`,
      log: (_, message) => messages.push(message),
    });
    kubelet = startKubeletServer({ agent, path: socket, log: (_, message) => messages.push(message) });
    await agent.start();
  };
  const pod = (name: string) => pods.store.get(name, "default") as unknown as NodePod | undefined;
  const until = (what: string, condition: () => boolean) =>
    new Promise<void>((resolve, reject) => {
      const timer = setTimeout(
        () =>
          reject(
            new Error(
              `${what} did not come about: ${JSON.stringify(pods.store.list().map((one) => (one as unknown as NodePod).status))} ${messages.join("\n")}`,
            ),
          ),
        10_000,
      );
      const end = pods.onChange(() => check());
      const check = () => {
        if (!condition()) return;
        clearTimeout(timer);
        queueMicrotask(() => end());
        resolve();
      };
      check();
    });
  const create = (name: string, script: string, spec: object = {}, container: object = {}) =>
    client.create(
      { ...Resources.pods, namespace: "default" },
      {
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name, labels: { app: name } },
        spec: {
          restartPolicy: "Never",
          terminationGracePeriodSeconds: 1,
          automountServiceAccountToken: false,
          containers: [{ name: "main", image: "local/sh", args: ["-c", script], ...container }],
          ...spec,
        },
      },
    );
  const logs = (name: string, query = {}) => client.request<string>({ path: `/api/v1/namespaces/default/pods/${name}/log`, query });

  /** exec over WebSocket: output, and the status of the end. */
  const exec = async (
    name: string,
    command: string[],
    { input, protocol = "v5.channel.k8s.io", tty = false }: { input?: string; protocol?: string; tty?: boolean } = {},
  ) => {
    const query: [string, string][] = [
      ...command.map((word): [string, string] => ["command", word]),
      ["stdout", "true"],
      tty ? ["tty", "true"] : ["stderr", "true"],
      ...(input === undefined ? [] : ([["stdin", "true"]] as [string, string][])),
    ];
    const webSocket = await client.webSocket({ path: `/api/v1/namespaces/default/pods/${name}/exec`, query, protocols: [protocol] });
    webSocket.binaryType = "arraybuffer";
    const channels: Record<number, string> = {};
    return new Promise<{
      stdout: string;
      stderr: string;
      status: { status?: string; reason?: string; details?: { causes?: { message: string }[] } };
    }>((resolve, reject) => {
      webSocket.onopen = () => {
        if (input === undefined) return;
        webSocket.send(Buffer.concat([Buffer.from([0]), Buffer.from(input)]));
        webSocket.send(Buffer.from([255, 0]));
      };
      webSocket.onmessage = ({ data }) => {
        const bytes = Buffer.from(data as ArrayBuffer);
        channels[bytes[0]!] = (channels[bytes[0]!] ?? "") + bytes.subarray(1).toString("utf8");
      };
      webSocket.onerror = () => reject(new Error("the WebSocket failed"));
      webSocket.onclose = () => resolve({ stdout: channels[1] ?? "", stderr: channels[2] ?? "", status: JSON.parse(channels[3] ?? "{}") });
    });
  };

  beforeAll(async () => {
    const network = await ensureNodeNetwork(plan);
    const pki = await createPki(join(directory, "pki"), { serverNames: [network.hostAddress], nodeName: "node" });
    api = await startApiServer({
      bindAddress: network.hostAddress,
      securePort: 0,
      pki,
      staticTokens: [{ token: "t", user: { name: "admin", groups: ["system:masters"] } }],
      nodeAgent: `unix:${socket}`,
      serviceClusterIpRange: plan.serviceCidr,
      advertise: { address: network.hostAddress },
    });
    const config: ClusterConfig = {
      server: `https://${network.hostAddress}:${api.port}`,
      namespace: "default",
      context: "test",
      tls: { ca: pki.ca },
      credentials: async () => ({ authorization: "Bearer t" }),
    };
    client = new KubeClient({ config });
    // What the controllers of a whole cluster would have made.
    await client
      .create(
        { ...Resources.serviceAccounts, namespace: "default" },
        { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "default" } },
      )
      .catch(() => {});
    pods = new Informer({ client, resource: Resources.pods });
    await startAgent();
  });
  afterAll(async () => {
    await pods?.stop();
    await kubelet?.close();
    await agent?.stop();
    api?.close();
    const report = await cleanupNode({ cluster, stateDir: join(directory, "node") });
    rmSync(directory, { recursive: true, force: true });
    expect(report.problems).toEqual([]);
    expect(namespacesOf(cluster)).toEqual([]);
  });

  test("registers itself, with the DNS service", async () => {
    while (!(await client.find({ ...Resources.endpointSlices, namespace: "kube-system", name: "kube-dns-node" })))
      await new Promise((resolve) => setTimeout(resolve, 10));
    while (!(await client.find({ ...Resources.nodes, name: "node" }))?.["status"]) await new Promise((resolve) => setTimeout(resolve, 10));
    const node = await client.get<KubeObject & { status?: { conditions: { type: string; status: string }[]; addresses: object[] } }>({
      ...Resources.nodes,
      name: "node",
    });
    expect(node.status?.conditions.find(({ type }) => type === "Ready")?.status).toBe("True");
    expect(node.status?.addresses).toContainEqual({ type: "InternalIP", address: agent.network.nodeAddress });
  });

  test("binds, runs and reports a pod; its end is its status", async () => {
    await create("job", "echo done; exit 3");
    await until("the end", () => pod("job")?.status?.phase === "Failed");
    expect(pod("job")?.spec.nodeName).toBe("node");
    expect(pod("job")?.status?.containerStatuses?.[0]?.state.terminated).toMatchObject({ exitCode: 3, reason: "Error" });
    expect(await logs("job")).toBe("done\n");
    const reasons = async () => {
      const { items } = await client.list<KubeObject & { reason?: string; involvedObject?: { name?: string } }>({
        ...Resources.events,
        namespace: "default",
      });
      return items.filter(({ involvedObject }) => involvedObject?.name === "job").map(({ reason }) => reason);
    };
    // Events follow the status.
    while ((await reasons()).length < 4) await new Promise((resolve) => setTimeout(resolve, 10));
    expect(new Set(await reasons())).toEqual(new Set(["Scheduled", "Pulled", "Created", "Started"]));
  });

  test("a pod that no node suits waits and says why", async () => {
    await create("picky", "true", { nodeSelector: { disk: "gold" } });
    await until(
      "the reason",
      () => pod("picky")?.status?.conditions?.some((one) => one.type === "PodScheduled" && one.reason === "Unschedulable") === true,
    );
    await client.patch({ ...Resources.nodes, name: "node" }, { metadata: { labels: { disk: "gold" } } });
    await until("its run", () => pod("picky")?.status?.phase === "Succeeded");
  });

  test("names, cluster IPs, exec with exit codes, input and terminal, logs, deletion", async () => {
    await client.create(
      { ...Resources.services, namespace: "default" },
      { apiVersion: "v1", kind: "Service", metadata: { name: "web" }, spec: { clusterIP: `10.208.${third}.20`, ports: [{ port: 80 }] } },
    );
    await create("long", "echo out; echo err >&2; trap 'exit 0' TERM; while :; do sleep 0.1; done");
    await until("running", () => pod("long")?.status?.phase === "Running");
    expect(await exec("long", ["sh", "-c", "echo hello; echo oops >&2; exit 4"])).toMatchObject({
      stdout: "hello\n",
      stderr: "oops\n",
      status: { status: "Failure", reason: "NonZeroExitCode", details: { causes: [{ message: "4" }] } },
    });
    expect(await exec("long", ["cat"], { input: "through\n" })).toMatchObject({ stdout: "through\n", status: { status: "Success" } });
    expect((await exec("long", ["true"], { protocol: "v4.channel.k8s.io" })).status.status).toBe("Success");
    expect((await exec("long", ["sh", "-c", "[ -t 0 ] && echo terminal"], { tty: true })).stdout).toBe("terminal\r\n");
    // 3 MB each way arrive whole.
    const big = await exec("long", ["sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x"]);
    expect(big.stdout.length).toBe(3_000_000);
    expect((await exec("long", ["getent", "hosts", "web"])).stdout).toContain(`10.208.${third}.20`);
    expect(await logs("long", { tailLines: 1 })).toBe("err\n");
    await client.delete({ ...Resources.pods, namespace: "default", name: "long" });
    await until("its end", () => pod("long") === undefined);
    expect(namespacesOf(cluster).some((name) => name.includes(".long."))).toBe(false);
  });

  test("port forwarding as kubectl does it: SPDY inside a WebSocket", async () => {
    const server = `require("net").createServer({allowHalfOpen:true},(s)=>{let t="";s.on("data",(d)=>t+=d);s.on("end",()=>s.end("got "+t))}).listen(8080,"127.0.0.1")`;
    await create(
      "serve",
      `exec "${process.execPath}" -e '${server}'`,
      {},
      { readinessProbe: { exec: { command: ["sh", "-c", "grep -q :1F90 /proc/net/tcp"] } } },
    );
    await until("readiness", () => pod("serve")?.status?.containerStatuses?.[0]?.ready === true);
    const webSocket = await RawWebSocket.connect(socket, "/portForward/default/serve", "SPDY/3.1+portforward.k8s.io");
    const spdy = new SpdyClient();
    /** Text and end of the streams' data frames so far. */
    const streams = () => {
      const found: Record<number, { text: string; isOver: boolean }> = {};
      const seen = webSocket.received;
      for (let at = 0; at + 8 <= seen.length; ) {
        const length = seen.readUInt32BE(at + 4) & 0xffffff;
        if ((seen[at]! & 0x80) === 0) {
          const one = (found[seen.readUInt32BE(at)] ??= { text: "", isOver: false });
          one.text += seen.toString("utf8", at + 8, at + 8 + length);
          one.isOver ||= seen[at + 4] === 1;
        }
        at += 8 + length;
      }
      return found;
    };
    const forward = async (first: number, port: number) => {
      const headers = { port: String(port), requestid: String(first) };
      webSocket.send(await spdy.syn(first, { streamtype: "error", ...headers }, 1));
      webSocket.send(await spdy.syn(first + 2, { streamtype: "data", ...headers }));
      webSocket.send(SpdyClient.data(first + 2, "hello"));
      webSocket.send(SpdyClient.data(first + 2, "", true));
      while (!streams()[first]?.isOver || !streams()[first + 2]?.isOver) await webSocket.more();
      return [streams()[first]!.text, streams()[first + 2]!.text];
    };
    expect(await forward(1, 8080)).toEqual(["", "got hello"]);
    const [refusal, nothing] = await forward(5, 9);
    expect(refusal).toContain("dial tcp 127.0.0.1:9: connect: connection refused");
    expect(nothing).toBe("");
    expect(await forward(9, 8080)).toEqual(["", "got hello"]);
    webSocket.close();
    spdy.close();
  });

  test("following a log ends with the container", async () => {
    await create("talk", "echo one; sleep 0.3; echo two");
    await until("running", () => ["Running", "Succeeded"].includes(pod("talk")?.status?.phase ?? ""));
    expect(await logs("talk", { follow: true })).toBe("one\ntwo\n");
  });

  test("errors of the API name what is wrong", async () => {
    await create("none", "", {}, { image: "example.org/none" });
    await until("the reason", () => pod("none")?.status?.containerStatuses?.[0]?.state.waiting?.reason === "ErrImagePull");
    await expect(logs("none")).rejects.toThrow("is waiting to start: ErrImagePull");
    await expect(logs("job", { previous: true })).rejects.toThrow('previous terminated container "main" in pod "job" not found');
  });

  test("a restart of the agent disturbs no container; pods deleted meanwhile are ended", async () => {
    for (const name of ["stays", "goes"]) await create(name, "trap 'exit 0' TERM; while :; do sleep 0.1; done");
    await until("both", () => ["stays", "goes"].every((name) => pod(name)?.status?.phase === "Running"));
    const before = pod("stays")?.status?.containerStatuses?.[0]?.containerID;
    const port = async () =>
      (
        await client.get<KubeObject & { ports?: { port: number }[] }>({
          ...Resources.endpointSlices,
          namespace: "kube-system",
          name: "kube-dns-node",
        })
      ).ports?.[0]?.port;
    const dnsPort = await port();
    await kubelet.close();
    await agent.stop();
    await client.delete({ ...Resources.pods, namespace: "default", name: "goes" }, { gracePeriodSeconds: 0 });
    await until("its removal", () => pod("goes") === undefined);
    await startAgent();
    while (namespacesOf(cluster).some((name) => name.includes(".goes."))) await new Promise((resolve) => setTimeout(resolve, 10));
    expect((await exec("stays", ["getent", "hosts", "kubernetes.default"])).stdout).toContain(`10.208.${third}.1 `);
    expect(await port()).toBe(dnsPort);
    expect(pod("stays")?.status?.containerStatuses?.[0]).toMatchObject({ containerID: before, restartCount: 0 });
  });
});
