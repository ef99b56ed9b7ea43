// The whole embedded cluster as its user has it: `fairlead local`, the real kubectl, pods, services, crashes, and nothing left behind.
// Needs root and the node's tools, as the cluster does itself.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { localCommand } from "../cli/commands/local.ts";
import { layout } from "./config.ts";
import { clusterNames, isSameProcess, mountsBelow, namespacesOf, type ProcessIdentity, tryRun } from "./network/index.ts";
import type { ClusterStatus } from "./supervisor/lifecycle.ts";
import { clusterProcesses, readRecord } from "./supervisor/record.ts";
import { tools } from "./tools.ts";

// A name and networks of its own, so that it runs beside another cluster and beside itself.
const slot = process.pid % 64;
// 10.128 to 10.191: none of them a default.
const name = `fl-test-${process.pid}`;
const networks = {
  "pod-cidr": `10.${128 + slot}.1.0/24`,
  "service-cidr": `10.${128 + slot}.2.0/24`,
  "link-cidr": `10.${128 + slot}.3.0/30`,
};
const root = mkdtempSync(join(tmpdir(), "fl-"));
const stateDir = join(root, "state");
const kubeconfig = layout(stateDir).kubeconfig;
let kubectlPath = "";
let chainsBefore: string[] = [];

/** Answers with its pod's name; serves on for a moment after SIGTERM, as long as clients may still be sent to it. */
const program = `
Bun.serve({ port: 8080, hostname: "0.0.0.0", fetch: (request) => new Response(process.env.POD_NAME + " " + new URL(request.url).pathname) });
process.on("SIGTERM", () => setTimeout(() => process.exit(0), 1000));
`;

const manifest = `
apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
spec:
  replicas: 2
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      terminationGracePeriodSeconds: 2
      containers:
        - name: web
          image: test/web:1
          env: [{ name: POD_NAME, valueFrom: { fieldRef: { fieldPath: metadata.name } } }]
          ports: [{ name: http, containerPort: 8080 }]
          readinessProbe: { httpGet: { port: http }, periodSeconds: 1 }
---
apiVersion: v1
kind: Service
metadata: { name: web }
spec: { selector: { app: web }, ports: [{ port: 80, targetPort: http }] }
`;

async function local(...args: string[]): Promise<{ status: number; stdout: string; stderr: string }> {
  let stdout = "";
  let stderr = "";
  const io = {
    env: { HOME: root, FAIRLEAD_LOCAL_DIR: stateDir },
    stdout: (text: string) => void (stdout += text),
    stderr: (text: string) => void (stderr += text),
    stdin: async () => "",
    isTty: false,
  };
  try {
    await localCommand(io).exitOverride().parseAsync(args, { from: "user" });
    return { status: 0, stdout, stderr };
  } catch (error) {
    return { status: 1, stdout, stderr: `${stderr}${(error as Error).message}` };
  }
}

async function kubectl(args: string[], input?: string): Promise<string> {
  const child = Bun.spawn([kubectlPath, "--kubeconfig", kubeconfig, "--cache-dir", join(root, "cache"), ...args], {
    stdin: input === undefined ? "ignore" : Buffer.from(input),
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr, status] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]);
  if (status !== 0) throw new Error(`kubectl ${args.join(" ")}: exit status ${status}: ${stderr}`);
  return stdout;
}

const podNames = async () =>
  (await kubectl(["get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].metadata.name}"])).split(" ").sort();
const statusOf = async () => JSON.parse((await local("status", "-o", "json")).stdout) as ClusterStatus;

/** Chains of the machine's own rules: the cluster's are in a namespace of its own. */
async function chains(): Promise<string[]> {
  const { stdout } = await tryRun(["iptables-save"]);
  return stdout
    .split("\n")
    .filter((line) => /^[*:]/.test(line))
    .map((line) => line.split(" ")[0] as string)
    .sort();
}

async function expectNothingLeft(): Promise<void> {
  expect(clusterProcesses(stateDir)).toEqual([]);
  expect(namespacesOf(name)).toEqual([]);
  expect(existsSync(join("/sys/class/net", clusterNames(name).hostLink))).toBe(false);
  expect(mountsBelow(root)).toEqual([]);
  expect(await chains()).toEqual(chainsBefore);
  const { stdout } = await tryRun(["ip", "-4", "route", "show"]);
  expect(stdout).not.toContain(networks["service-cidr"]);
  // Every process whose command line or working place names this cluster's folder.
  const strays = readdirSync("/proc").filter((entry) => {
    try {
      return /^\d+$/.test(entry) && Number(entry) !== process.pid && readFileSync(`/proc/${entry}/cmdline`, "utf8").includes(root);
    } catch {
      return false;
    }
  });
  expect(strays).toEqual([]);
}

beforeAll(async () => {
  kubectlPath = (await tools()).kubectl;
  writeFileSync(join(root, "web.ts"), program);
  chainsBefore = await chains();
}, 30_000);

afterAll(async () => {
  await local("reset", "--name", name);
  rmSync(root, { recursive: true, force: true });
}, 30_000);

test("starts: the API answers, the node is ready, kubectl sees it", async () => {
  const flags = Object.entries(networks).flatMap(([flag, value]) => [`--${flag}`, value]);
  const { status, stdout, stderr } = await local(
    "start",
    "--name",
    name,
    "--image",
    `test/web=${process.execPath} ${join(root, "web.ts")}`,
    ...flags,
  );
  expect({ status, stderr: stderr.replace(/waiting for .*\n/g, "") }).toEqual({ status: 0, stderr: "" });
  expect(stdout).toStartWith(`cluster "${name}" is ready`);
  expect((await statusOf()).state).toBe("running");
  expect(await kubectl(["get", "nodes", "-o", "jsonpath={.items[*].metadata.name}"])).toBe(name);
  expect((await local("start")).stdout).toStartWith(`cluster "${name}" is already running`);
  const other = await local("start", "--pod-cidr", "10.1.0.0/24");
  expect([other.status, other.stderr]).toEqual([
    1,
    `podCidr: the cluster in ${stateDir} was made with ${networks["pod-cidr"]}; run "fairlead local reset" before starting it with 10.1.0.0/24`,
  ]);
}, 60_000);

test("two pods and a service: the cluster IP and the name answer from inside and outside", async () => {
  await kubectl(["apply", "-f", "-"], manifest);
  await kubectl(["rollout", "status", "deployment/web", "--timeout=30s"]);
  await kubectl(["wait", "--for=condition=Available", "deployment/web", "--timeout=5s"]);
  const ip = await kubectl(["get", "service", "web", "-o", "jsonpath={.spec.clusterIP}"]);
  for (const host of [ip, "web", "web.default.svc.cluster.local"]) {
    const answer = await kubectl([
      "exec",
      "deploy/web",
      "--",
      process.execPath,
      "-e",
      `console.log(await (await fetch("http://${host}/inside")).text())`,
    ]);
    expect(answer).toMatch(/^web-\S+ \/inside\n$/);
  }
  expect(await (await fetch(`http://${ip}/outside`)).text()).toMatch(/^web-\S+ \/outside$/);
  const endpoints = await kubectl(["get", "endpoints", "web", "-o", "jsonpath={.subsets[*].addresses[*].targetRef.name}"]);
  expect(endpoints.split(" ").sort()).toEqual(await podNames());
}, 60_000);

test("a rolling restart replaces every pod and fails no request", async () => {
  const before = await podNames();
  const ip = await kubectl(["get", "service", "web", "-o", "jsonpath={.spec.clusterIP}"]);
  const failures: string[] = [];
  let answers = 0;
  let isOver = false;
  const load = (async () => {
    while (!isOver) {
      // A connection of its own each time: a kept one would go on to the old pod.
      await fetch(`http://${ip}/`, { headers: { connection: "close" }, keepalive: false, signal: AbortSignal.timeout(5_000) }).then(
        async (response) => {
          await response.text();
          answers++;
        },
        (error: Error) => failures.push(error.message),
      );
    }
  })();
  await kubectl(["rollout", "restart", "deployment/web"]);
  await kubectl(["rollout", "status", "deployment/web", "--timeout=30s"]);
  isOver = true;
  await load;
  expect(failures).toEqual([]);
  expect(answers).toBeGreaterThan(10);
  await kubectl(["wait", "--for=delete", ...before.map((pod) => `pod/${pod}`), "--timeout=30s"]);
  expect((await podNames()).filter((pod) => before.includes(pod))).toEqual([]);
  expect(await kubectl(["rollout", "history", "deployment/web"])).toMatch(/^1 .*\n2 /m);
}, 60_000);

test("kill -9 of the API server, the controllers and the node agent loses nothing", async () => {
  const before = { pods: await podNames(), status: await statusOf() };
  const pids = ["apiserver", "controllers", "node"].map((component) => before.status.components[component]?.pid as number);
  for (const pid of pids) process.kill(pid, "SIGKILL");
  for (;;) {
    const components = Object.values(readRecord(stateDir)?.components ?? {});
    if (components.every((component) => component.process && !pids.includes(component.process.pid))) break;
    await Bun.sleep(10);
  }
  await local("start");
  expect(await podNames()).toEqual(before.pods);
  await kubectl(["scale", "deployment/web", "--replicas=3"]);
  await kubectl(["rollout", "status", "deployment/web", "--timeout=30s"]);
  expect(await podNames()).toHaveLength(3);
}, 60_000);

test("a namespace goes with everything in it", async () => {
  await kubectl(["create", "namespace", "short-lived"]);
  await kubectl(["-n", "short-lived", "create", "configmap", "c", "--from-literal=a=b"]);
  await kubectl(["-n", "short-lived", "apply", "-f", "-"], manifest);
  await kubectl(["delete", "namespace", "short-lived", "--timeout=30s"]);
  expect(await kubectl(["get", "pods,configmaps,deployments", "-n", "short-lived", "-o", "name"])).toBe("");
}, 60_000);

test("stop leaves nothing, also after kill -9 of the supervisor; start brings every pod back; reset deletes the rest", async () => {
  const supervisor = readRecord(stateDir)?.supervisor as ProcessIdentity;
  process.kill(supervisor.pid, "SIGKILL");
  // The kernel takes a moment to bury a process that was killed.
  while (existsSync(`/proc/${supervisor}/exe`)) await Bun.sleep(5);
  while (isSameProcess(supervisor)) await Bun.sleep(1);
  expect((await statusOf()).state).toBe("degraded");
  expect((await local("stop")).stdout).toBe(`cluster "${name}" is stopped\n`);
  await expectNothingLeft();
  expect((await local("stop")).stdout).toBe(`cluster "${name}" is not running\n`);
  expect((await statusOf()).state).toBe("stopped");

  expect((await local("start")).status).toBe(0);
  await kubectl(["rollout", "status", "deployment/web", "--timeout=30s"]);
  const ip = await kubectl(["get", "service", "web", "-o", "jsonpath={.spec.clusterIP}"]);
  // Until the node has looked at a pod of before, it may still be told of as it was.
  for (;;) {
    const answered = await fetch(`http://${ip}/again`, { signal: AbortSignal.timeout(5_000) }).then(
      (response) => response.ok,
      () => false,
    );
    if (answered) break;
    await Bun.sleep(50);
  }

  expect((await local("reset")).stdout).toBe(`cluster "${name}" is deleted\n`);
  await expectNothingLeft();
  expect(existsSync(stateDir)).toBe(false);
}, 60_000);
