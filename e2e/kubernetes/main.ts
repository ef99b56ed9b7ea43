// npm run e2e:kubernetes: the product on a real Kubernetes: install, mesh, mTLS, one verdict, uninstall.
//   --kubeconfig F   (default: KUBECONFIG)
//   --load COMMAND   loads an image archive into the node's runtime; {} stands for the archive's path
//   --log F          keeps the report (default: e2e/kubernetes/results/latest.txt)
import { appendFileSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { main as makeImages } from "../../images/main.ts";
import {
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

const root = join(import.meta.dir, "..", "..");
const SERVERS = ["emoji", "voting", "web"];
const WATCH_MS = 5000;

const { values } = parseArgs({
  options: { kubeconfig: { type: "string" }, load: { type: "string" }, log: { type: "string" }, keep: { type: "boolean", default: false } },
});
const kubeconfig = values.kubeconfig ?? process.env["KUBECONFIG"];
if (!kubeconfig) throw new Error("no cluster: give --kubeconfig FILE or set KUBECONFIG");
const log = values.log ?? join(root, "e2e", "kubernetes", "results", "latest.txt");
mkdirSync(dirname(log), { recursive: true });
writeFileSync(log, "");
const say = (text: string) => {
  process.stdout.write(`${text}\n`);
  appendFileSync(log, `${text}\n`);
};

const kubectl = Bun.which("kubectl");
if (!kubectl) throw new Error("kubectl is not on PATH");
await makeImages();
const world = new World({ kubeconfig, kubectl, fairlead: join(root, "dist", "fairlead") });

let passed = 0;
let failed = 0;
/** One step; later steps run even when it fails, unless they need what it gives. */
async function step<T>(name: string, work: () => Promise<T>, show: (value: T) => string = () => ""): Promise<T | undefined> {
  const start = performance.now();
  try {
    const value = await work();
    passed++;
    const detail = show(value);
    say(`√ ${name} (${((performance.now() - start) / 1000).toFixed(1)} s)${detail ? `\n${detail}` : ""}`);
    return value;
  } catch (error) {
    failed++;
    say(`× ${name}: ${(error as Error).message}`);
    return undefined;
  }
}

const version = await world.json<{ serverVersion?: { gitVersion: string } }>(["version"]);
say(`Kubernetes ${version.serverVersion?.gitVersion}`);
if (values.load) {
  for (const archive of ["fairlead", "emojivoto"]) {
    await step(`load dist/images/${archive}.tar`, async () => {
      const line = (values.load as string).replaceAll("{}", join(root, "dist", "images", `${archive}.tar`));
      const ran = await run(["sh", "-c", line]);
      if (ran.status !== 0) throw new Error(ran.stderr || ran.stdout);
    });
  }
}
await step("check --pre", () => world.fairlead(["check", "--pre"]), indent);
await step("fairlead install | kubectl apply -f -", () => install(world));
await step("check", () => world.fairlead(["check", "--wait", "60s"]), indent);
await step("the sample runs without the mesh", async () => {
  await world.applyFile("examples/emojivoto/emojivoto.yaml");
  await world.rolledOut(SAMPLE_NAMESPACE, SAMPLE);
});
await step("meshed by one annotation and a rollout", async () => {
  await mesh(world, SAMPLE_NAMESPACE, SAMPLE);
  const bare = (await pods(world, SAMPLE_NAMESPACE)).filter((pod) => !isMeshed(pod));
  if (bare.length > 0) throw new Error(`pods without a proxy: ${bare.map((pod) => pod.metadata.name).join(", ")}`);
});
await step(
  "mTLS on every edge",
  () =>
    until("mTLS on every edge", 60_000, async () => {
      const found = (await edgesDuring(world, SAMPLE_NAMESPACE, SERVERS, WATCH_MS)).filter((edge) => edge.successes + edge.failures > 0);
      const clear = found.find((edge) => edge.secured !== "mTLS");
      if (clear) throw new Error(`${clear.client} → ${clear.server}: ${clear.secured}`);
      return SERVERS.every((server) => found.some((edge) => edge.server === server)) ? found : undefined;
    }),
  (found) => indent(edgeTable(found, WATCH_MS / 1000)),
);
await step("policy: refused by a Server without authorization, allowed again by a ServerAuthorization", async () => {
  const web = await world.portForward(SAMPLE_NAMESPACE, "deploy/web", 8080);
  const vote = async (): Promise<Vote> => {
    const response = await fetch(`${web.url}/api/vote?choice=%3Atada%3A`, { signal: AbortSignal.timeout(5000) });
    return { status: response.status, body: await response.text() };
  };
  try {
    await waitForVerdict("a vote", vote, ({ status }) => status === 200);
    await world.apply(votingServer);
    await waitForVerdict("a refusal that names the Server", vote, ({ status, body }) => status === 500 && body.includes("voting-grpc"));
    await world.apply(votingAuthorization);
    await waitForVerdict("a vote", vote, ({ status }) => status === 200);
  } finally {
    await web.close();
  }
});
await step("authz", () => world.fairlead(["authz", "-n", SAMPLE_NAMESPACE, "deploy/voting"]), indent);
await step("check --proxy", () => world.fairlead(["check", "--proxy", "--wait", "30s"]), indent);
if (!values.keep) {
  await step("uninstall", async () => {
    await world.kubectl(["delete", "namespace", SAMPLE_NAMESPACE, "--timeout=120s"]);
    await world.kubectl(["delete", "-f", "-", "--timeout=120s"], await world.fairlead(["uninstall"]));
    const left = await world.kubectl([
      "get",
      "clusterrole,clusterrolebinding,crd,mutatingwebhookconfiguration,validatingwebhookconfiguration,ns",
      "-l",
      "linkerd.io/control-plane-ns",
      "-o",
      "name",
    ]);
    if (left.trim() !== "") throw new Error(`left behind: ${left}`);
  });
}
say(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);

function indent(text: string): string {
  return text.trimEnd().replace(/^(?=.)/gm, "    ");
}
