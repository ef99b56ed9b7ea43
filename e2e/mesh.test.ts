// The mesh as its users have it, end to end: embedded cluster, `fairlead install`, real kubectl, helm and curl. What runs where:
//
//   emojivoto   the sample; first without the mesh, then with it
//   guarded     echo behind Servers; `right` and `wrong` are meshed clients with accounts of those names
//   locked      default policies: one echo for each; the namespace says deny
//   outside     a client without the mesh
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { bridgeName } from "../cluster/network/index.ts";
import { readRecord } from "../cluster/supervisor/record.ts";
import { captureIn } from "./capture-process.ts";
import { adminPolicy, authorization, documents, ECHO_IMAGE, echoService, namespace, server, workload } from "./manifests.ts";
import { CONTROL_PLANE, isMeshed, mesh, pods, SAMPLE, votingServer } from "./mesh.ts";
import { clearTextAt, type Stream, streams } from "./streams.ts";
import { type Answer, mainProcess, parseAnswer, startCluster, Talk, type TestCluster, whyNoCluster } from "./testing.ts";
import { run, until } from "./world.ts";

const program = (name: string) => [process.execPath, join(import.meta.dir, "programs", name)];
const reason = whyNoCluster(["curl", "bash"]);
if (reason) console.log(`e2e/mesh.test.ts is skipped: ${reason}`);

/** Who asks: a namespace and a Deployment in it. */
type Client = readonly [namespace: string, name: string];
const right: Client = ["guarded", "right"];
const wrong: Client = ["guarded", "wrong"];
const outsider: Client = ["outside", "outsider"];
const echo = "http://echo.guarded.svc.cluster.local/who";

let cluster: TestCluster;
const kubectl = (...args: string[]) => cluster.world.kubectl(args);
const apply = (...items: Parameters<typeof documents>) => cluster.world.apply(documents(...items));

const execIn = ([ns, name]: Client, argv: readonly string[]) => ["-n", ns, "exec", "-i", `deploy/${name}`, "-c", name, "--", ...argv];

async function curl(client: Client, url: string, ...args: string[]): Promise<Answer> {
  return parseAnswer(await kubectl(...execIn(client, ["curl", "-s", "-i", "--max-time", "10", ...args, url])));
}

/** A program in a client's pod. */
function talk<Event extends object>(client: Client, command: readonly string[]): Talk<Event> {
  const { argv, env } = cluster.world.command(execIn(client, command));
  return new Talk(argv, env);
}

const tcpClient = (client: Client) => talk<TcpEvent>(client, [...program("tcp-client.ts"), "echo.guarded", "9000", "ping"]);
type TcpEvent = { heard?: string; closed?: boolean };

async function podIp(ns: string, app: string): Promise<string> {
  const [pod] = (await pods(cluster.world, ns)).filter(({ metadata }) => metadata.name.startsWith(`${app}-`));
  if (!pod?.status.podIP) throw new Error(`no pod of ${ns}/${app} has an address`);
  return pod.status.podIP;
}

describe.skipIf(reason !== null)("the mesh", () => {
  beforeAll(async () => {
    cluster = await startCluster({ images: { [ECHO_IMAGE]: program("echo.ts") } });
    const { world, podCidr, serviceCidr } = cluster;
    // The machine itself is outside these networks.
    const networks = `clusterNetworks=${podCidr}\\,${serviceCidr}`;
    await world.apply(await world.fairlead(["install", "--set", networks]));
    await world.rolledOut("linkerd", CONTROL_PLANE);
    await apply(
      namespace("guarded", { "linkerd.io/inject": "enabled", "config.linkerd.io/opaque-ports": "9000" }),
      namespace("outside"),
      workload({ namespace: "guarded", name: "echo", image: ECHO_IMAGE }),
      echoService("guarded", "echo"),
      workload({ namespace: "guarded", name: "right" }),
      workload({ namespace: "guarded", name: "wrong" }),
      workload({ namespace: "outside", name: "outsider" }),
      namespace("locked", { "linkerd.io/inject": "enabled", "config.linkerd.io/default-inbound-policy": "deny" }),
      adminPolicy("locked"),
      workload({ namespace: "locked", name: "inherits", image: ECHO_IMAGE }),
      ...["all-authenticated", "cluster-unauthenticated"].map((policy) =>
        workload({
          namespace: "locked",
          name: policy,
          image: ECHO_IMAGE,
          annotations: { "config.linkerd.io/default-inbound-policy": policy },
        }),
      ),
    );
  }, 90_000);

  afterAll(async () => {
    await cluster?.stop();
  }, 60_000);

  const say = ({ bytes }: Stream) => Buffer.from(bytes).toString("latin1");

  /** What crosses the node's bridge between the sample's pods while `during` runs and until both calls were seen. */
  async function overTheBridge(during: () => Promise<void>): Promise<{ toWeb: Stream[]; toVoting: Stream[]; fromVoting: Stream[] }> {
    const capture = await captureIn(cluster.nodeNamespace, bridgeName);
    try {
      await during();
      await cluster.world.rolledOut("emojivoto", SAMPLE);
      const web = await podIp("emojivoto", "web");
      const voting = await podIp("emojivoto", "voting");
      const before = await votes();
      await until("votes", 30_000, async () => ((await votes()) > before + 1 ? true : undefined));
      const bot = await podIp("emojivoto", "vote-bot");
      const all = streams(await capture.stop());
      const between = (from: string, to: string) =>
        all.filter((stream) => stream.from === from && stream.to === to && stream.bytes.length > 0);
      return { toWeb: between(bot, web), toVoting: between(web, voting), fromVoting: between(voting, web) };
    } catch (error) {
      await capture.stop();
      throw error;
    }
  }

  /** Votes counted by voting's one pod, asked over loopback. */
  async function votes(): Promise<number> {
    const page = await kubectl(
      "-n",
      "emojivoto",
      "exec",
      "deploy/voting",
      "-c",
      "voting-svc",
      "--",
      "curl",
      "-s",
      "http://127.0.0.1:8801/metrics",
    );
    return [...page.matchAll(/^emojivoto_votes_total\{.*\} (\d+)$/gm)].reduce((sum, [, count]) => sum + Number(count), 0);
  }

  test("without the mesh, the bridge carries clear text", async () => {
    const { toWeb, toVoting } = await overTheBridge(async () => void (await cluster.world.applyFile("examples/emojivoto/emojivoto.yaml")));
    expect(toWeb.some((stream) => say(stream).includes("GET /api/vote?choice="))).toBe(true);
    expect(toVoting.length).toBeGreaterThan(0);
    for (const stream of toVoting) expect(say(stream)).toStartWith("PRI * HTTP/2.0\r\n");
  }, 60_000);

  test("with it, TLS and nothing else, from the first byte of every connection", async () => {
    const seen = await overTheBridge(() => mesh(cluster.world, "emojivoto", SAMPLE));
    expect((await pods(cluster.world, "emojivoto")).every(isMeshed)).toBe(true);
    for (const [name, direction] of Object.entries(seen)) {
      expect([name, direction.length]).not.toEqual([name, 0]);
      for (const stream of direction) {
        expect({ ...stream, bytes: say(stream).slice(0, 40), clearTextAt: clearTextAt(stream.bytes) }).toMatchObject({
          hasGap: false,
          clearTextAt: null,
        });
        expect(say(stream).search(/HTTP\/[12]|\/api\/|VotingService/)).toBe(-1);
      }
    }
  }, 60_000);

  test("a Server nobody may use: meshed clients learn its name, others only the status", async () => {
    await cluster.world.rolledOut("guarded", ["echo", "right", "wrong"]);
    await cluster.world.rolledOut("outside", ["outsider"]);
    expect((await curl(outsider, echo)).status).toBe(200);
    await apply(
      server({ namespace: "guarded", name: "echo-http", app: "echo", port: "http", protocol: "HTTP/1" }),
      server({ namespace: "guarded", name: "echo-raw", app: "echo", port: "raw", protocol: "opaque" }),
    );
    const denied = await until("403", 10_000, async () => {
      const answer = await curl(right, echo);
      return answer.status === 403 ? answer : undefined;
    });
    expect(denied).toMatchObject({
      status: 403,
      body: "",
      headers: { "content-length": "0", "l5d-proxy-error": "unauthorized connection on server echo-http" },
    });
  }, 60_000);

  test("HTTP: the right account passes and is named to the application; others get 403", async () => {
    await apply(
      authorization({ namespace: "guarded", server: "echo-http", account: "right" }),
      authorization({ namespace: "guarded", server: "echo-raw", account: "right" }),
    );
    const passed = await until("200", 10_000, async () => {
      const answer = await curl(right, echo);
      return answer.status === 200 ? answer : undefined;
    });
    expect(JSON.parse(passed.body)).toMatchObject({
      path: "/who",
      headers: { "l5d-client-id": "right.guarded.serviceaccount.identity.linkerd.cluster.local" },
    });
    expect(await curl(wrong, echo)).toMatchObject({
      status: 403,
      body: "",
      headers: { "l5d-proxy-error": "unauthorized connection on server echo-http" },
    });
    const bare = await curl(outsider, echo);
    expect([bare.status, bare.body, bare.headers["l5d-proxy-error"]]).toEqual([403, "", undefined]);
    // The same by an image that is a command of this machine.
    await kubectl("-n", "outside", "run", "once", "--restart=Never", "--image=local/curl", "--", "-s", "-i", "--max-time", "10", echo);
    await kubectl("-n", "outside", "wait", "pod/once", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=20s");
    const once = await kubectl("-n", "outside", "logs", "once");
    expect(once).toStartWith("HTTP/1.1 403 Forbidden\r\n");
  }, 60_000);

  test("TCP, server first: the right account talks, others are closed without a byte", async () => {
    const allowed = tcpClient(right);
    const others = [wrong, outsider].map((client) => tcpClient(client));
    try {
      await allowed.next("greeting and echo", () => allowed.events.map(({ heard }) => heard).join("") === "welcome\nping\n");
      for (const other of others) {
        await other.next("close", ({ closed }) => closed === true);
        expect(other.events).toEqual([{ closed: true }]);
      }
      expect(allowed.events.some(({ closed }) => closed)).toBe(false);
    } finally {
      await Promise.all([allowed, ...others].map((one) => one.stop()));
    }
  }, 60_000);

  test("gRPC: PERMISSION_DENIED for the wrong account, an answer for the right one", async () => {
    const ask = (client: Client) =>
      kubectl(...execIn(client, [...program("grpc-client.ts"), "http://voting-svc.emojivoto:8080"])).then(
        (text) => JSON.parse(text) as { code: string; message: string },
      );
    await cluster.world.apply(votingServer);
    await apply(authorization({ namespace: "emojivoto", server: "voting-grpc", account: "guarded/right" }));
    const denied = await until("PERMISSION_DENIED", 10_000, async () => {
      const outcome = await ask(wrong);
      return outcome.code === "ok" ? undefined : outcome;
    });
    expect(denied).toMatchObject({ code: "PermissionDenied", message: "unauthorized connection on server voting-grpc" });
    expect(await ask(right)).toMatchObject({ code: "ok" });
    await kubectl("-n", "emojivoto", "delete", "server/voting-grpc", "saz/voting-grpc");
  }, 60_000);

  test("default policies: a pod's annotation goes before its namespace's", async () => {
    await cluster.world.rolledOut("locked", ["inherits", "all-authenticated", "cluster-unauthenticated"]);
    const address = async (name: string) => `http://${await podIp("locked", name)}:8080/`;
    const refused = async (name: string) => (await curl(right, await address(name))).headers["l5d-proxy-error"];
    /** Statuses for a meshed client, one without the mesh, and this machine, which is outside the cluster's networks. */
    const statuses = async (name: string) => {
      const url = await address(name);
      const [meshed, bare, machine] = await Promise.all([curl(right, url), curl(outsider, url), fetch(url)]);
      return [meshed.status, bare.status, machine.status];
    };
    expect(await statuses("inherits")).toEqual([403, 403, 403]);
    expect(await refused("inherits")).toBe("unauthorized connection on server default:deny");
    expect(await statuses("all-authenticated")).toEqual([200, 403, 403]);
    expect(await statuses("cluster-unauthenticated")).toEqual([200, 200, 403]);
  }, 60_000);

  type StatusEvent = { status: number; at: number };

  test("a change of an authorization is in force within a second, without a restart", async () => {
    const before = await pods(cluster.world, "guarded");
    const client = talk<StatusEvent>(right, [...program("http-client.ts"), echo]);
    const grant = authorization({ namespace: "guarded", server: "echo-http", account: "right" });
    const delays: { granted: number[]; revoked: number[] } = { granted: [], revoked: [] };
    /** Milliseconds from kubectl's end to the first answer with another status. */
    const delay = async (status: number, change: () => Promise<unknown>) => {
      const since = client.events.length;
      await change();
      const changed = Date.now();
      return (await client.next(`status ${status}`, (event) => event.status === status, { since })).at - changed;
    };
    try {
      await client.next("200", ({ status }) => status === 200);
      for (let round = 0; round < 3; round++) {
        delays.revoked.push(await delay(403, () => kubectl("-n", "guarded", "delete", "saz/echo-http")));
        delays.granted.push(await delay(200, () => apply(grant)));
      }
    } finally {
      await client.stop();
    }
    // Other programs may keep this machine busy: one of three tells what the mesh itself needs.
    for (const times of Object.values(delays)) expect(Math.min(...times)).toBeLessThan(1000);
    const counts = (all: typeof before) =>
      all.map(({ metadata, status }) => [metadata.uid, ...(status.containerStatuses ?? []).map(({ restartCount }) => restartCount)]).sort();
    expect(counts(await pods(cluster.world, "guarded"))).toEqual(counts(before));
  }, 60_000);

  // One of a meshed client to a port that it knows to be opaque is judged once, when it opens (spec proxy §3.4): this one has no mesh.
  test("a live TCP connection is cut when its authorization goes", async () => {
    await apply(authorization({ namespace: "guarded", server: "echo-raw" }));
    const client = await until("a connection", 10_000, async () => {
      const one = tcpClient(outsider);
      const first = await one.next("greeting or close", () => true);
      if (!first.closed) return one;
      await one.stop();
      return undefined;
    });
    try {
      await client.next("echo", () => client.events.map(({ heard }) => heard).join("") === "welcome\nping\n");
      await kubectl("-n", "guarded", "delete", "saz/echo-raw");
      await client.next("close", ({ closed }) => closed === true);
    } finally {
      await client.stop();
    }
  }, 60_000);

  describe("bad input is refused or passed over with a message that names object and field", () => {
    const refusals: [what: string, object: string, message: string | RegExp][] = [
      [
        "a Server with an unknown operator",
        "Server/v1beta1 {podSelector: {matchExpressions: [{key: app, operator: Near, values: [x]}]}, port: http}",
        'The Server "bad" is invalid: spec.podSelector.matchExpressions[0].operator: Unsupported value: "Near"',
      ],
      [
        "a Server with a label that is none",
        'Server/v1beta1 {podSelector: {matchLabels: {"bad key!": x}}, port: http}',
        'denied the request: Server guarded/bad: spec.podSelector.matchLabels: "bad key!" is not a label key',
      ],
      [
        "a Server with a port that is none",
        "Server/v1beta1 {podSelector: {matchLabels: {a: b}}, port: 99999}",
        "denied the request: Server guarded/bad: spec.port: 99999 is neither a port (1 to 65535) nor the name of one",
      ],
      [
        "a ServerAuthorization that names no client",
        "ServerAuthorization/v1beta1 {server: {name: echo-http}, client: {}}",
        "denied the request: ServerAuthorization guarded/bad: spec.client: names no client",
      ],
      [
        "a ServerAuthorization without a client",
        "ServerAuthorization/v1beta1 {server: {name: echo-http}}",
        'The ServerAuthorization "bad" is invalid: spec.client: Required value',
      ],
      [
        "a ServerAuthorization that names no server",
        "ServerAuthorization/v1beta1 {server: {}, client: {unauthenticated: true}}",
        /The ServerAuthorization "bad" is invalid:\s+\* spec\.server: /,
      ],
      [
        "a network that is none",
        "ServerAuthorization/v1beta1 {server: {name: echo-http}, client: {unauthenticated: true, networks: [{cidr: 10.0.0.0/99}]}}",
        'denied the request: ServerAuthorization guarded/bad: spec.client.networks[0].cidr: "10.0.0.0/99" is not a network',
      ],
    ];
    test.each(refusals)("%s", async (_, object, message) => {
      const [kindAndVersion = "", spec] = object.split(/ (.*)/);
      const [kind, version] = kindAndVersion.split("/");
      const manifest = `apiVersion: policy.linkerd.io/${version}\nkind: ${kind}\nmetadata: {namespace: guarded, name: bad}\nspec: ${spec}\n`;
      const { status, stderr } = await cluster.world.tryKubectl(["apply", "-f", "-"], manifest);
      expect(status).toBe(1);
      expect(stderr).toMatch(message);
    });

    test("annotations of a Deployment and of a Namespace", async () => {
      const bad = { "config.linkerd.io/proxy-cpu-request": "many", "config.linkerd.io/opaque-ports": "a b" };
      await apply(
        namespace("careless", { "linkerd.io/inject": "enabled", "config.linkerd.io/default-inbound-policy": "nobody" }),
        workload({ namespace: "careless", name: "sloppy", annotations: bad }),
      );
      await cluster.world.rolledOut("careless", ["sloppy"]);
      const [pod] = await pods(cluster.world, "careless");
      expect(pod && isMeshed(pod)).toBe(true);
      const log = await kubectl("-n", "linkerd", "logs", "deploy/linkerd-proxy-injector", "-c", "proxy-injector");
      const about = log.split("\n").filter((line) => line.includes(`object="Pod careless/${pod?.metadata.name}"`));
      const mistakes = about.map((line) => /mistake="annotation (\S+?):/.exec(line)?.[1]).filter((name) => name !== undefined);
      expect(mistakes.sort()).toEqual([...Object.keys(bad), "config.linkerd.io/default-inbound-policy"].sort());
    }, 60_000);

    test("a ServiceProfile whose path is no regular expression: only its route is passed over", async () => {
      const profile = (regex: string, name: string) => ({ name, condition: { pathRegex: regex } });
      await apply({
        apiVersion: "linkerd.io/v1alpha2",
        kind: "ServiceProfile",
        metadata: { namespace: "guarded", name: "echo.guarded.svc.cluster.local" },
        spec: { routes: [profile("/a[", "broken"), profile("/who", "whole")] },
      });
      const log = await until("a message", 15_000, async () => {
        expect((await curl(right, echo)).status).toBe(200);
        const text = await kubectl("-n", "guarded", "logs", "deploy/right", "-c", "linkerd-proxy");
        return text.includes("path regex") ? text : undefined;
      });
      expect(log).toMatch(/path regex "\/a\[": .*/);
      await until("the other route", 10_000, async () => {
        await curl(right, echo);
        const metrics = await cluster.world.fairlead(["diagnostics", "proxy-metrics", "-n", "guarded", "deploy/right"]);
        return /^route_response_total\{[^}]*rt_route="whole"/m.test(metrics) || undefined;
      });
    }, 60_000);

    test("a kubeconfig", async () => {
      const broken = join(cluster.folder, "broken-kubeconfig");
      await Bun.write(broken, "apiVersion: v1\nkind: Config\ncurrent-context: none\nclusters: []\nusers: []\ncontexts: []\n");
      const { status, stdout, stderr } = await cluster.world.tryFairlead(["check", "--kubeconfig", broken]);
      expect(status).toBe(1);
      expect(stdout + stderr).toMatch(/none/);
      await Bun.write(broken, "{");
      const malformed = await cluster.world.tryFairlead(["check", "--kubeconfig", broken]);
      expect(malformed.status).toBe(1);
      expect(malformed.stdout + malformed.stderr).toContain(broken);
    });

    test("everything else goes on working", async () => {
      expect((await curl(right, echo)).status).toBe(200);
      expect((await curl(wrong, echo)).status).toBe(403);
    });
  });

  type Counts = { sent: number; ok: number; failed: number; failures: Record<string, number> };

  /** What the sample's load client has counted, in the last whole second. */
  async function counts(): Promise<Counts> {
    const line = (await kubectl("-n", "emojivoto", "logs", "deploy/load", "-c", "load", "--tail=1")).trim();
    return line.startsWith("{") ? (JSON.parse(line) as Counts) : { sent: 0, ok: 0, failed: 0, failures: {} };
  }

  /** Waits for `more` further answers; gives the counts then. */
  async function answered(more: number): Promise<Counts> {
    const { ok } = await counts();
    return until(`${more} more answers`, 30_000, async () => {
      const now = await counts();
      return now.ok >= ok + more ? now : undefined;
    });
  }

  describe("under load", () => {
    beforeAll(async () => {
      await cluster.world.applyFile("examples/emojivoto/load.yaml");
      await cluster.world.rolledOut("emojivoto", ["load"]);
      await answered(50);
    }, 60_000);

    /** Every object that nothing but its user or its owner changes: kind, namespace, name, uid. */
    async function objects(): Promise<string[]> {
      const kinds = "ns,deploy,rs,po,svc,cm,secret,sa,crd,server,saz,sp,clusterrole,clusterrolebinding,role,rolebinding";
      const text = await kubectl(
        "get",
        kinds,
        "-A",
        "-o",
        'jsonpath={range .items[*]}{.kind} {.metadata.namespace}/{.metadata.name} {.metadata.uid}{"\\n"}{end}',
      );
      return text.trim().split("\n").sort();
    }

    test("kill -9 of the API server: no object is lost, traffic flows", async () => {
      const before = await objects();
      const { failed } = await counts();
      const killed = readRecord(cluster.stateDir)?.components["apiserver"]?.process?.pid as number;
      process.kill(killed, "SIGKILL");
      expect(await until("the API server", 30_000, objects)).toEqual(before);
      expect(readRecord(cluster.stateDir)?.components["apiserver"]?.process?.pid).not.toBe(killed);
      expect((await answered(50)).failed).toBe(failed);
    }, 60_000);

    test("each control-plane pod is deleted in turn: no request fails, new pods are meshed and certified", async () => {
      const { failed } = await counts();
      for (const name of CONTROL_PLANE) {
        const [pod] = (await pods(cluster.world, "linkerd")).filter(({ metadata }) => metadata.name.startsWith(`${name}-`));
        await kubectl("-n", "linkerd", "delete", "pod", pod?.metadata.name ?? "", "--wait=false");
        await until(`another pod of ${name}`, 30_000, async () => {
          const [other] = (await pods(cluster.world, "linkerd")).filter(({ metadata }) => metadata.name.startsWith(`${name}-`));
          return (
            (other && other.metadata.uid !== pod?.metadata.uid && other.status.containerStatuses?.every(({ ready }) => ready)) || undefined
          );
        });
      }
      await kubectl("-n", "emojivoto", "rollout", "restart", "deploy/emoji");
      await cluster.world.rolledOut("emojivoto", ["emoji"]);
      expect((await pods(cluster.world, "emojivoto")).every(isMeshed)).toBe(true);
      // The pod before it may still be ending, its admin port closed.
      const name = "emoji.emojivoto.serviceaccount.identity.linkerd.cluster.local";
      await until("a certificate of emoji", 30_000, async () => {
        const said = await cluster.world.fairlead(["identity", "-n", "emojivoto", "-l", "app=emoji-svc"]);
        if (!said.includes(name)) throw new Error(said);
        return true;
      });
      const now = await answered(50);
      expect([now.failed - failed, now.failures]).toEqual([0, now.failures]);
    }, 90_000);

    test("a pod that ends finishes what it has begun, also where that needs new calls", async () => {
      const [pod] = await pods(cluster.world, "locked", "app=cluster-unauthenticated");
      const to = encodeURIComponent("http://web-svc.emojivoto/api/list");
      const client = talk<{ begun?: boolean; status?: number | string }>(right, [
        "curl",
        "-sN",
        `http://${pod?.status.podIP}:8080/relay?to=${to}`,
      ]);
      try {
        await client.next("the request's arrival", ({ begun }) => begun === true);
        await kubectl("-n", "locked", "delete", "pod", pod?.metadata.name ?? "", "--wait=false");
        expect(await client.next("an answer", ({ status }) => status !== undefined)).toEqual({ status: 200 });
      } finally {
        await client.stop();
      }
    }, 60_000);

    test("kill -9 of a proxy: it comes back, and so does traffic", async () => {
      const [web] = await pods(cluster.world, "emojivoto", "app=web-svc");
      const { uid = "", name = "" } = web?.metadata ?? {};
      process.kill(mainProcess(cluster.stateDir, uid, "linkerd-proxy"), "SIGKILL");
      await until("a restart", 30_000, async () => {
        const [pod] = await pods(cluster.world, "emojivoto", "app=web-svc");
        expect(pod?.metadata.uid).toBe(uid);
        return (
          pod?.status.containerStatuses?.some((one) => one.name === "linkerd-proxy" && one.restartCount === 1 && one.ready) || undefined
        );
      });
      expect(
        await kubectl(
          "-n",
          "emojivoto",
          "get",
          "pod",
          name,
          "-o",
          "jsonpath={.status.containerStatuses[?(@.name=='linkerd-proxy')].lastState.terminated.exitCode}",
        ),
      ).toBe("137");
      await until("answers and no more failures", 30_000, async () => {
        const { failed } = await counts();
        return (await answered(100)).failed === failed || undefined;
      });
    }, 90_000);
  });

  describe("kubectl and helm", () => {
    /** The words of each line. */
    const rows = (text: string) =>
      text
        .trim()
        .split("\n")
        .map((line) => line.split(/ {2,}/));

    test("get shows workloads and the mesh's own kinds by their short names, describe tells of the injection", async () => {
      const found = await kubectl("get", "deploy,po,svc,sp,server,saz", "-A");
      for (const word of [
        /^emojivoto +deployment\.apps\/web +1\/1 +1 +1 /m,
        /^emojivoto +pod\/web-\S+ +2\/2 +Running /m,
        /^linkerd +service\/linkerd-dst +ClusterIP /m,
        /^guarded +serviceprofile\.linkerd\.io\/echo\.guarded\.svc\.cluster\.local /m,
        /^guarded +server\.policy\.linkerd\.io\/echo-http +http +HTTP\/1$/m,
        /^guarded +serverauthorization\.policy\.linkerd\.io\/echo-http +echo-http$/m,
      ])
        expect(found).toMatch(word);
      expect(rows(await kubectl("-n", "guarded", "get", "srv,saz"))[0]).toEqual(["NAME", "PORT", "PROTOCOL"]);
      const pod = await kubectl("-n", "emojivoto", "describe", "pod", "-l", "app=web-svc");
      expect(pod).toMatch(/linkerd-proxy:\n +Container ID:/);
      expect(pod).toMatch(/Events:[\s\S]*Started container linkerd-proxy/);
      expect(await kubectl("-n", "emojivoto", "describe", "deploy/web")).toMatch(/Injected.*Linkerd sidecar proxy injected/);
      expect(await kubectl("-n", "guarded", "describe", "saz/echo-http")).toMatch(/Service Accounts:\n +Name: +right/);
    }, 30_000);

    test("logs, exec and port-forward reach the containers of a meshed pod", async () => {
      expect(await kubectl("-n", "emojivoto", "logs", "deploy/web", "-c", "linkerd-proxy")).toContain("certified identity");
      expect(await kubectl("-n", "emojivoto", "logs", "-l", "app=voting-svc", "--all-containers", "--prefix", "--tail=1")).toContain(
        "/voting-svc]",
      );
      const failed = await cluster.world.tryKubectl([
        "-n",
        "emojivoto",
        "exec",
        "deploy/web",
        "-c",
        "web-svc",
        "--",
        "sh",
        "-c",
        "echo said; exit 3",
      ]);
      expect([failed.status, failed.stdout]).toEqual([3, "said\n"]);
      const forward = await cluster.world.portForward("emojivoto", "svc/web-svc", 80);
      try {
        expect((await fetch(`${forward.url}/api/list`)).status).toBe(200);
      } finally {
        await forward.close();
      }
    }, 30_000);

    test("apply --server-side tells of conflicts and forces them; a list of objects applies", async () => {
      const labelled = (value: string) => documents({ ...namespace("outside"), metadata: { name: "outside", labels: { tier: value } } });
      const serverSide = (value: string, ...args: string[]) =>
        cluster.world.tryKubectl(["apply", "--server-side", ...args, "-f", "-"], labelled(value));
      expect((await serverSide("one", "--field-manager=first")).stdout).toBe("namespace/outside serverside-applied\n");
      const conflict = await serverSide("two", "--field-manager=second");
      expect([conflict.status, conflict.stderr]).toEqual([1, expect.stringContaining('conflict with "first": .metadata.labels.tier')]);
      expect((await serverSide("two", "--field-manager=second", "--force-conflicts")).status).toBe(0);
      const all = await kubectl("-n", "guarded", "get", "server,saz", "-o", "yaml");
      expect(await cluster.world.apply(all)).toContain("server.policy.linkerd.io/echo-http");
    }, 30_000);

    test("rollout restart and wait; no request fails", async () => {
      const { failed } = await counts();
      await kubectl("-n", "emojivoto", "rollout", "restart", "deploy/web");
      await cluster.world.rolledOut("emojivoto", ["web"]);
      await kubectl("-n", "emojivoto", "wait", "--for=condition=Available", "deploy/web", "--timeout=30s");
      expect(rows(await kubectl("-n", "emojivoto", "rollout", "history", "deploy/web")).length).toBeGreaterThan(2);
      const now = await answered(50);
      expect([now.failed - failed, now.failures]).toEqual([0, now.failures]);
    }, 60_000);

    test("delete ns takes everything in it", async () => {
      await kubectl("delete", "ns", "careless", "locked", "--timeout=30s");
      expect(
        await kubectl("get", "deploy,po,sa,server,saz", "-A", "-o", "name").then((text) => text.match(/careless|sloppy|inherits/)),
      ).toBeNull();
      expect((await cluster.world.tryKubectl(["get", "ns", "careless"])).stderr).toContain('namespaces "careless" not found');
    }, 60_000);

    test("helm replaces what the CLI installed: install, upgrade, history, uninstall; the meshed go on meanwhile", async () => {
      const { world, folder } = cluster;
      const decoded = async (jsonpath: string) =>
        Buffer.from(
          await kubectl("-n", "linkerd", "get", "secret/linkerd-identity-issuer", "-o", `jsonpath={${jsonpath}}`),
          "base64",
        ).toString();
      // The same anchor and issuer: the pods that run trust it.
      await Bun.write(join(folder, "issuer.crt"), await decoded(".data['crt\\.pem']"));
      await Bun.write(join(folder, "issuer.key"), await decoded(".data['key\\.pem']"));
      await Bun.write(
        join(folder, "ca.crt"),
        await kubectl("-n", "linkerd", "get", "cm/linkerd-identity-trust-roots", "-o", "jsonpath={.data['ca-bundle\\.crt']}"),
      );
      expect((await world.tryFairlead(["uninstall"])).stderr).toMatch(/uninject the following resources[^*]*\* /);
      const { failed } = await counts();
      await world.kubectl(["delete", "-f", "-", "--timeout=60s"], await world.fairlead(["uninstall", "--force"]));
      const helm = async (...args: string[]) => {
        const ran = await run([cluster.helm, ...args], { env: world.command([]).env });
        if (ran.status !== 0) throw new Error(`helm ${args.join(" ")}: ${ran.stderr}`);
        return ran.stdout;
      };
      const chart = join(import.meta.dir, "..", "charts", "fairlead-control-plane");
      const files = [
        `identityTrustAnchorsPEM=${join(folder, "ca.crt")}`,
        `identity.issuer.tls.crtPEM=${join(folder, "issuer.crt")}`,
        `identity.issuer.tls.keyPEM=${join(folder, "issuer.key")}`,
      ];
      const values = [
        ...files.flatMap((file) => ["--set-file", file]),
        "--set",
        `clusterNetworks=${cluster.podCidr}\\,${cluster.serviceCidr}`,
      ];
      expect(await helm("install", "fairlead", chart, "--wait", "--timeout=60s", ...values)).toContain("STATUS: deployed");
      expect(
        await helm("upgrade", "fairlead", chart, "--wait", "--timeout=60s", "--reuse-values", "--set", "controllerLogLevel=debug"),
      ).toContain("REVISION: 2");
      expect(await kubectl("-n", "linkerd", "get", "deploy/linkerd-identity", "-o", "jsonpath={..args}")).toContain("-log-level=debug");
      expect(rows(await helm("history", "fairlead")).length).toBe(3);
      expect((await answered(50)).failed).toBe(failed);
      expect(await helm("uninstall", "fairlead", "--wait")).toContain('release "fairlead" uninstalled');
      expect(await kubectl("get", "deploy", "-A", "-o", "name")).not.toContain("linkerd-");
    }, 120_000);
  });
});
