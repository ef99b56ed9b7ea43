// The mesh as its users have it, end to end: embedded cluster, `fairlead install`, real kubectl, helm and curl. What runs where:
//
//   emojivoto   the sample; first without the mesh, then with it
//   guarded     echo behind Servers; `right` and `wrong` are meshed clients with accounts of those names
//   locked      default policies: one echo for each
//   outside     a client without the mesh
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { bridgeName } from "../cluster/network/index.ts";
import { captureIn } from "./capture-process.ts";
import { adminPolicy, authorization, documents, ECHO_IMAGE, echoService, namespace, server, workload } from "./manifests.ts";
import { CONTROL_PLANE, isMeshed, mesh, pods, SAMPLE, votingServer } from "./mesh.ts";
import { clearTextAt, type Stream, streams } from "./streams.ts";
import { type Answer, parseAnswer, startCluster, Talk, type TestCluster, whyNoCluster } from "./testing.ts";
import { until } from "./world.ts";

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

/** A program of `programs/` in a client's pod. */
function talk<Event extends object>(client: Client, name: string, ...args: string[]): Talk<Event> {
  const { argv, env } = cluster.world.command(execIn(client, [...program(name), ...args]));
  return new Talk(argv, env);
}

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
    const once = await kubectl(
      "-n",
      "outside",
      "run",
      "once",
      "--rm",
      "-i",
      "--restart=Never",
      "--image=local/curl",
      "--",
      "-s",
      "-i",
      "--max-time",
      "10",
      echo,
    );
    expect(once).toStartWith("HTTP/1.1 403 Forbidden\r\n");
  }, 60_000);

  type TcpEvent = { heard?: string; closed?: boolean };

  test("TCP, server first: the right account talks, others are closed without a byte", async () => {
    const allowed = talk<TcpEvent>(right, "tcp-client.ts", "echo.guarded", "9000", "ping");
    const others = [wrong, outsider].map((client) => talk<TcpEvent>(client, "tcp-client.ts", "echo.guarded", "9000", "ping"));
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
});
