// Checks before an installation, each failing in turn on a real API server (spec cli §4.4).
import { afterAll, afterEach, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { Resources } from "#kube";
import { CheckBench, HINTS, inDays, type Row } from "../testing/checks.ts";
import { startWorld } from "../testing/world.ts";

// Processes are started: a busy machine takes its time.
setDefaultTimeout(30_000);

let bench: CheckBench;
beforeAll(async () => {
  bench = new CheckBench(await startWorld());
  // As a server with an aggregation layer writes it.
  await bench.world.client.patch(clientCa, { data: { "requestheader-client-ca-file": "PEM" } });
});
afterEach(() => bench.restore());
afterAll(() => bench.world.close());

const clientCa = { ...Resources.configMaps, namespace: "kube-system", name: "extension-apiserver-authentication" };
const node = { ...Resources.nodes, name: "node" };

test("an empty cluster takes an installation", async () => {
  expect((await bench.run({ selection: "pre" })).filter(({ result }) => result !== "success")).toEqual([]);
});

const rows: Row[] = [
  {
    what: "who may nothing",
    options: (bench) => ({ connect: () => bench.as("eve") }),
    description: "can create ServiceAccounts",
    anchor: "pre-k8s",
    error: /^not authorized to create serviceaccounts/,
  },
  {
    what: "who may create nothing cluster-wide",
    options: (bench) => ({ connect: () => bench.as("eve") }),
    description: "can create non-namespaced resources",
    anchor: "pre-k8s-cluster-k8s",
    error:
      /^cannot create\n\t\* Namespace\/linkerd: namespaces is forbidden: User "eve" cannot create resource "namespaces"[\s\S]*\n\t\* ClusterRole\/linkerd-linkerd-destination: /,
  },
  {
    what: "no client CA",
    given: (bench) =>
      bench.change(clientCa, (object) => {
        object["data"] = {};
      }),
    description: "can read extension-apiserver-authentication configmap",
    anchor: "pre-k8s",
    error: "--requestheader-client-ca-file is not set in ConfigMap kube-system/extension-apiserver-authentication",
  },
  {
    what: "a clock that is off",
    given: (bench) =>
      bench.setStatus(node, { conditions: [{ type: "Ready", status: "True", lastHeartbeatTime: new Date().toISOString() }] }),
    options: inDays(1),
    result: "warning",
    description: "no clock skew detected",
    anchor: "pre-k8s-clock-skew",
    error: "clock skew detected for node(s): node",
  },
];

test.each(rows.map((row) => [row.what, row] as const))("%s", (_, row) => bench.expectFailure("pre", row));

test("with --linkerd-cni-enabled the plugin must be there", async () => {
  expect((await bench.run({ selection: "pre", cniEnabled: true })).at(-1)).toMatchObject({
    category: "linkerd-cni-plugin",
    error: "missing ConfigMaps: linkerd-cni-config",
  });
});

test("what exists already could be created; its namespace is in the way", async () => {
  await bench.world.kubectl(["apply", "-f", "-"], (await bench.world.cli(["install", "config"])).stdout);
  const problems = (await bench.run({ selection: "pre" })).filter(({ result }) => result !== "success");
  expect(problems).toMatchObject([
    {
      description: "control plane namespace does not already exist",
      hint: `${HINTS}pre-ns`,
      error: 'The "linkerd" namespace already exists',
    },
  ]);
});
