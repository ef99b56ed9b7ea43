// npm run demo: the mesh, once, on this machine: clear text, then mTLS by one annotation, policy, change under load. Every
// line that claims something was seen to hold; exit status 0 only when all did.
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Edge } from "../edges.ts";
import {
  adminPolicy,
  CONTROL_PLANE,
  edgesDuring,
  install,
  isMeshed,
  mesh,
  pods,
  SAMPLE,
  SAMPLE_NAMESPACE,
  type Vote,
  votingAuthorization,
  votingServer,
  waitForVerdict,
} from "../mesh.ts";
import { edgeTable } from "../table.ts";
import { run, until, World } from "../world.ts";
import { prepare } from "./prepare.ts";
import { Story } from "./story.ts";

const root = join(import.meta.dir, "..", "..");
const fairlead = join(root, "bin", "fairlead");
const NAMESPACE = SAMPLE_NAMESPACE;
const SERVERS = ["emoji", "voting", "web"];
/** How long edges are watched for one table. */
const WATCH_MS = 3000;
/** Addresses and port of the demo's cluster: it may run beside another. */
const OWN_NETWORK = ["--api-port=16443", "--link-cidr=10.250.64.0/30", "--pod-cidr=10.244.64.0/24", "--service-cidr=10.101.0.0/16"];
/** A vote that succeeds, unlike one for the doughnut. */
const VOTE = "/api/vote?choice=%3Atada%3A";

async function main(args: readonly string[]): Promise<number> {
  const keep = args.includes("--keep");
  const asJson = args.includes("--json");
  const unknown = args.find((arg) => arg !== "--keep" && arg !== "--json");
  if (unknown) {
    console.error(`demo: unknown argument ${unknown}; known: --keep (leave the cluster running), --json (print the observations)`);
    return 1;
  }
  const terminal = process.stdout.isTTY === true && !asJson;
  const story = new Story({ write: (text) => void process.stdout.write(text), terminal, quiet: asJson });
  const state = keep ? undefined : mkdtempSync(join(tmpdir(), "fairlead-demo-"));
  // A cluster of its own, beside the user's; one that stays is the user's.
  const cluster = state ? [`--name=demo`, `--state-dir=${state}`] : [];
  let failed: unknown;
  let started = false;
  const stop = async () => {
    if (!started || keep) return;
    started = false;
    await story.wait("stopping the cluster", run([fairlead, "local", "reset", ...cluster]));
    if (state) rmSync(state, { recursive: true, force: true });
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.once(signal, () => {
      void stop().finally(() => process.exit(1));
    });
  try {
    const { kubectl } = await prepare(story);
    started = true;
    await tell(story, { kubectl, cluster, network: state ? OWN_NETWORK : [] });
  } catch (error) {
    failed = error;
  }
  await stop();
  if (asJson) {
    const error = failed instanceof Error ? failed.message : failed === undefined ? undefined : String(failed);
    console.log(JSON.stringify({ success: failed === undefined, ...(error ? { error } : {}), observations: story.observations }, null, 2));
  } else if (failed !== undefined) {
    console.error(`\n× ${failed instanceof Error ? failed.message : failed}`);
  }
  if (failed === undefined && keep) story.print("\nThe cluster is left running; `bin/fairlead local stop` ends it.\n");
  return failed === undefined ? 0 : 1;
}

async function tell(
  story: Story,
  { kubectl, cluster, network }: { kubectl: string; cluster: readonly string[]; network: readonly string[] },
): Promise<void> {
  story.step("1  A cluster and the control plane");
  await story.see("the embedded cluster is up", async () => {
    const ran = await run([fairlead, "local", "start", ...cluster, ...network]);
    if (ran.status !== 0) throw new Error(ran.stderr || ran.stdout);
  });
  const kubeconfig = join(mkdtempSync(join(tmpdir(), "fairlead-demo-kubeconfig-")), "config");
  await Bun.write(kubeconfig, (await run([fairlead, "local", "kubeconfig", ...cluster])).stdout);
  const world = new World({ kubeconfig, kubectl });
  await story.see(
    "fairlead install | kubectl apply -f -: three deployments are ready",
    () => install(world),
    () => CONTROL_PLANE.join(", "),
  );
  await story.see(
    "the control plane is itself meshed",
    async () => {
      const running = await pods(world, "linkerd");
      const bare = running.filter((pod) => !isMeshed(pod));
      if (running.length === 0 || bare.length > 0)
        throw new Error(`pods without a proxy: ${bare.map((pod) => pod.metadata.name).join(", ") || "there are no pods"}`);
      return running.length;
    },
    (count) => `${count} pods, each with its proxy`,
  );

  story.step("2  The sample application, without the mesh");
  await story.see("kubectl apply: emoji, voting, web and a bot that votes", async () => {
    await world.applyFile("examples/emojivoto/emojivoto.yaml");
    await world.rolledOut(NAMESPACE, SAMPLE);
  });
  await story.see("no pod has a proxy", async () => {
    const meshed = (await pods(world, NAMESPACE)).filter(isMeshed);
    if (meshed.length > 0) throw new Error(`${meshed[0]?.metadata.name} has one`);
  });
  await story.see(
    "traffic flows in clear text",
    () => until("an answer of web", 15_000, () => directAnswer(world)),
    (status) => `GET /api/list at a pod's own address answers ${status}`,
  );

  story.step("3  Meshed by one annotation and a rollout");
  await story.see("kubectl annotate namespace emojivoto linkerd.io/inject=enabled, and a rollout", async () => {
    // What step 4 looks at: by default only the mesh may call, and probes may ask the proxies.
    await world.apply(adminPolicy);
    await world.kubectl(["annotate", "namespace", NAMESPACE, "config.linkerd.io/default-inbound-policy=all-authenticated"]);
    await mesh(world, NAMESPACE, SAMPLE);
    const bare = (await pods(world, NAMESPACE)).filter((pod) => !isMeshed(pod));
    if (bare.length > 0) throw new Error(`pods without a proxy: ${bare.map((pod) => pod.metadata.name).join(", ")}`);
  });
  const seen = await story.see("the same traffic is mTLS on every edge", () =>
    until("mTLS on every edge", 60_000, async () => {
      const found = (await edgesDuring(world, NAMESPACE, SERVERS, WATCH_MS)).filter((edge) => edge.successes + edge.failures > 0);
      const reached = new Set(found.map((edge) => edge.server));
      const clear = found.filter((edge) => edge.secured !== "mTLS");
      if (clear.length > 0) throw new Error(`${clear[0]?.client} → ${clear[0]?.server} is not secured: ${clear[0]?.secured}`);
      return SERVERS.every((server) => reached.has(server)) ? found : undefined;
    }),
  );
  story.show(edgeTable(seen as Edge[], WATCH_MS / 1000));

  story.step("4  Policy");
  await story.see("default policy all-authenticated: a client without an identity is refused", () =>
    until("403 for an unmeshed client", 15_000, async () => ((await directAnswer(world)) === 403 ? 403 : undefined)),
  );
  const before = await pods(world, NAMESPACE);
  const web = await world.portForward(NAMESPACE, "deploy/web", 8080);
  const vote = async (): Promise<Vote> => {
    const response = await fetch(`${web.url}${VOTE}`, { signal: AbortSignal.timeout(5000) });
    return { status: response.status, body: await response.text() };
  };
  try {
    await story.see("a vote is counted", () => waitForVerdict("a vote", vote, ({ status }) => status === 200));
    await world.apply(votingServer);
    await story.see(
      "Server voting-grpc, which nobody is authorized to use: votes are refused, naming the Server",
      () => waitForVerdict("a refusal that names the Server", vote, ({ status, body }) => status === 500 && body.includes("voting-grpc")),
      ({ body }) => body.trim(),
    );
    await world.apply(votingAuthorization);
    await story.see("ServerAuthorization for service account web: votes are counted again", () =>
      waitForVerdict("a vote", vote, ({ status }) => status === 200),
    );
  } finally {
    await web.close();
  }
  await story.see("without a restart", async () => {
    const now = await pods(world, NAMESPACE);
    for (const old of before) {
      const same = now.find((pod) => pod.metadata.uid === old.metadata.uid);
      if (!same) throw new Error(`pod ${old.metadata.name} was replaced`);
      const restarts = (pod: typeof old) => (pod.status.containerStatuses ?? []).reduce((sum, { restartCount }) => sum + restartCount, 0);
      if (restarts(same) !== restarts(old)) throw new Error(`a container of ${old.metadata.name} restarted`);
    }
  });

  story.step("5  Change under load");
  await story.see("three webs, and 50 requests/s from a meshed client", async () => {
    await world.kubectl(["-n", NAMESPACE, "scale", "deploy/web", "--replicas=3"]);
    await world.rolledOut(NAMESPACE, ["web"]);
    await world.applyFile("examples/emojivoto/load.yaml");
    await world.rolledOut(NAMESPACE, ["load"]);
    await until("answered requests", 20_000, async () => ((await loadCounts(world))?.ok ?? 0) > 50 || undefined);
  });
  const start = await loadCounts(world);
  await story.see("one web is killed, one is added", async () => {
    const [victim] = await pods(world, NAMESPACE, "app=web-svc");
    await Promise.all([
      world.kubectl(["-n", NAMESPACE, "delete", "pod", victim?.metadata.name ?? ""]),
      world.kubectl(["-n", NAMESPACE, "scale", "deploy/web", "--replicas=4"]),
    ]);
    await world.rolledOut(NAMESPACE, ["web"]);
  });
  await story.see(
    "no request failed",
    async () => {
      await Bun.sleep(1000);
      const counts = await loadCounts(world);
      if (!counts || !start) throw new Error("the load client prints no counts");
      if (counts.failed > 0) throw new Error(`${counts.failed} of ${counts.sent} failed: ${JSON.stringify(counts.failures)}`);
      return { answered: counts.ok - start.ok, failed: counts.failed };
    },
    ({ answered }) => `${answered} answered, 0 failed`,
  );

  story.step("6  Where to look next");
  story.show(`npm run demo -- --keep                      leaves all this running
bin/fairlead check                          is the mesh well?
bin/fairlead authz -n emojivoto deploy/voting
bin/fairlead identity -n emojivoto -l app=web-svc
bin/fairlead diagnostics endpoints web-svc.emojivoto.svc.cluster.local:80
README.md, ARCHITECTURE.md, docs/
`);
}

/** Status of web's answer to this machine, which is outside the mesh: straight to a pod's address. */
async function directAnswer(world: World): Promise<number | undefined> {
  const ip = (await pods(world, NAMESPACE, "app=web-svc"))[0]?.status.podIP;
  if (!ip) return undefined;
  return (await fetch(`http://${ip}:8080/api/list`, { signal: AbortSignal.timeout(5000) })).status;
}

type Counts = { sent: number; ok: number; failed: number; failures: Record<string, number> };

async function loadCounts(world: World): Promise<Counts | undefined> {
  const line = (await world.kubectl(["-n", NAMESPACE, "logs", "deploy/load", "-c", "load", "--tail=1"])).trim();
  return line.startsWith("{") ? (JSON.parse(line) as Counts) : undefined;
}

if (!existsSync(fairlead)) throw new Error("run the demo from a checkout: npm run demo");
process.exit(await main(process.argv.slice(2)));
