// Supervised processes, their record, kubeconfig files, and what is told before a start.
import { afterEach, beforeEach, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse } from "yaml";
import { isSameProcess, type ProcessIdentity, startTimeOf } from "../network/processes.ts";
import { Component, maxLogBytes } from "./component.ts";
import { contextName, mergeInto, mergeKubeconfig, renderKubeconfig, userKubeconfig } from "./kubeconfig.ts";
import { missingOnMachine, resetCluster, stopCluster } from "./lifecycle.ts";
import { clusterProcesses, gone, livingSupervisor, readRecord, signalAll, stateDirVariable, writeRecord } from "./record.ts";

let dir = "";
const started: Component[] = [];
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "fl-sup-"));
});
afterEach(async () => {
  await Promise.all(started.splice(0).map((component) => component.stop()));
  rmSync(dir, { recursive: true, force: true });
});

/** A component, and a way to wait for a state of it. */
function component(argv: string[], options: Partial<ConstructorParameters<typeof Component>[0]> = {}) {
  const waiting = new Set<() => void>();
  const made = new Component({
    name: "c",
    argv,
    env: { PATH: "/usr/bin:/bin", [stateDirVariable]: dir },
    logFile: join(dir, "c.log"),
    log: () => {},
    onChange: () => waiting.forEach((check) => void check()),
    backoffMs: { first: 1, most: 4, reset: 60_000 },
    ...options,
  });
  started.push(made);
  const when = (condition: () => boolean) =>
    new Promise<void>((resolve) => {
      const check = () => {
        if (!condition()) return;
        waiting.delete(check);
        resolve();
      };
      waiting.add(check);
      check();
    });
  return { made, when };
}

test("a killed process is started again; a stopped one is not", async () => {
  const { made, when } = component(["sleep", "1000"]);
  made.start();
  const first = made.identity as ProcessIdentity;
  expect(isSameProcess(first)).toBe(true);
  process.kill(first.pid, "SIGKILL");
  await when(() => made.restarts === 1 && made.identity !== undefined);
  const second = made.identity as ProcessIdentity;
  expect(second.pid).not.toBe(first.pid);
  await made.stop();
  expect(isSameProcess(second)).toBe(false);
  expect(made.state).toBe("stopped");
  expect(made.restarts).toBe(1);
});

test("a process that always fails is tried again and again, and a missing program too", async () => {
  const { made, when } = component(["false"]);
  made.start();
  await when(() => made.restarts >= 5);
  const missing = component([join(dir, "no-such-program")]);
  missing.made.start();
  expect(missing.made.state).toBe("waiting");
});

test("output goes to the file itself, which is cut beyond its bound", async () => {
  const { made, when } = component(["sh", "-c", "echo out; echo err >&2; exec sleep 1000"]);
  made.start();
  await when(() => made.identity !== undefined);
  while (!readFileSync(made.logFile, "utf8").includes("err")) await Bun.sleep(1);
  expect(readFileSync(made.logFile, "utf8")).toBe("out\nerr\n");
  made.boundLog(8);
  expect(statSync(made.logFile).size).toBe(8);
  made.boundLog(7);
  expect(statSync(made.logFile).size).toBe(0);
  expect(readFileSync(`${made.logFile}.1`, "utf8")).toBe("out\nerr\n");
  expect(maxLogBytes).toBe(8 * 1024 * 1024);
});

test("the record finds the living supervisor, and the environment finds processes that no record names", async () => {
  const { made } = component(["sleep", "1000"]);
  made.start();
  const identity = made.identity as ProcessIdentity;
  expect(readRecord(dir)).toBeUndefined();
  // Its environment is its own only once it has become the program.
  while (clusterProcesses(dir).length === 0) await Bun.sleep(1);
  expect(clusterProcesses(dir)).toEqual([identity]);
  writeRecord(dir, { supervisor: identity, components: {} });
  expect(livingSupervisor(dir)).toEqual(identity);
  writeRecord(dir, {
    supervisor: { ...identity, startTime: identity.startTime + 1 },
    components: { c: { state: "running", restarts: 0, process: identity } },
  });
  expect(livingSupervisor(dir)).toBeUndefined();
  expect(clusterProcesses(dir)).toEqual([identity]);
  signalAll([{ ...identity, startTime: identity.startTime + 1 }], "SIGKILL");
  expect(startTimeOf(identity.pid)).toBe(identity.startTime);
  expect(await gone([identity], 1)).toBe(false);
  writeFileSync(join(dir, "supervisor.json"), "{half");
  expect(readRecord(dir)).toBeUndefined();
});

test("what a machine lacks is told in full", () => {
  const all = { platform: "linux", uid: 0, capabilities: (1n << 40n) - 1n, tools: [] };
  expect(missingOnMachine(all)).toEqual([]);
  expect(missingOnMachine({ ...all, platform: "darwin" })).toEqual([
    "the embedded cluster needs Linux (network namespaces, iptables); this is darwin",
  ]);
  expect(
    missingOnMachine({
      ...all,
      uid: 1000,
      tools: [
        { binary: "ip", package: "iproute2" },
        { binary: "iptables", package: "iptables" },
        { binary: "iptables-restore", package: "iptables" },
      ],
    }),
  ).toEqual([
    "the embedded cluster needs root, for network namespaces and mounts: run it with sudo",
    "commands are missing: ip, iptables, iptables-restore; on Debian: apt-get install iproute2 iptables",
  ]);
  expect(missingOnMachine({ ...all, capabilities: 1n << 12n })).toEqual([
    "this root lacks CAP_SYS_ADMIN, which namespaces and mounts need: a container must run privileged",
  ]);
});

const parts = { name: "fairlead", server: "https://10.0.0.1:6443", ca: "CA", cert: "CERT", key: "KEY" };
const progress = { waiting: <T>(_: string, work: Promise<T>) => work };

test("the cluster's kubeconfig", () => {
  expect([contextName("fairlead"), contextName("two")]).toEqual(["fairlead", "fairlead-two"]);
  expect(parse(renderKubeconfig(parts))).toEqual({
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "fairlead", cluster: { server: parts.server, "certificate-authority-data": btoa("CA") } }],
    users: [{ name: "fairlead", user: { "client-certificate-data": btoa("CERT"), "client-key-data": btoa("KEY") } }],
    contexts: [{ name: "fairlead", context: { cluster: "fairlead", user: "fairlead" } }],
    "current-context": "fairlead",
  });
});

test("merging keeps other entries and comments, replaces its own, and is the same the second time", () => {
  const text =
    "# mine\napiVersion: v1\nkind: Config\nclusters:\n- name: work # the real one\n  cluster: {server: https://work}\n- name: fairlead\n  cluster: {server: old}\nusers: []\ncontexts: null\ncurrent-context: work\n";
  const once = mergeKubeconfig(text, parts, "f");
  expect(once).toContain("# mine");
  expect(once).toContain("# the real one");
  const merged = parse(once);
  expect(merged.clusters.map((one: { name: string; cluster: { server: string } }) => [one.name, one.cluster.server])).toEqual([
    ["work", "https://work"],
    ["fairlead", parts.server],
  ]);
  expect([merged.users.length, merged.contexts.length, merged["current-context"]]).toEqual([1, 1, "fairlead"]);
  expect(mergeKubeconfig(once, parts, "f")).toBe(once);
  expect(mergeKubeconfig("", parts, "f")).toBe(renderKubeconfig(parts));
});

test.each([
  ["clusters: {", /^f: /],
  ["- a", /^f: is not a kubeconfig/],
  ["kind: Pod", /^f: is not a kubeconfig: kind is "Pod"/],
  ["clusters: 7", /^f: clusters: must be a list/],
])("a file with %p is left alone", (text, message) => {
  expect(() => mergeKubeconfig(text, parts, "f")).toThrow(message);
});

test("merging into a file keeps its mode and its link, and makes a private one where there is none", () => {
  const real = join(dir, "real");
  writeFileSync(real, "kind: Config\n");
  chmodSync(real, 0o640);
  symlinkSync(real, join(dir, "link"));
  mergeInto(join(dir, "link"), parts);
  expect(parse(readFileSync(real, "utf8"))["current-context"]).toBe("fairlead");
  expect(statSync(real).mode & 0o777).toBe(0o640);
  mergeInto(join(dir, "new", "config"), parts);
  expect(statSync(join(dir, "new", "config")).mode & 0o777).toBe(0o600);
  expect(userKubeconfig({ KUBECONFIG: ":/a:/b", HOME: "/h" })).toBe("/a");
  expect(userKubeconfig({ HOME: "/h" })).toBe("/h/.kube/config");
});

test("stopping and deleting what was never started is well; a directory that is not a cluster's is not deleted", async () => {
  const where = { stateDir: join(dir, "none"), name: "fl-test-absent", progress };
  expect(await stopCluster(where)).toEqual({ wasRunning: false, problems: [] });
  expect(await resetCluster(where)).toEqual({ wasRunning: false, problems: [] });
  writeFileSync(join(dir, "precious"), "");
  await expect(resetCluster({ ...where, stateDir: dir })).rejects.toThrow("holds no config.yaml");
  expect(existsSync(join(dir, "precious"))).toBe(true);
});
