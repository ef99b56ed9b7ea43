// Checks of the data plane, each failing in turn on a real API server (spec cli §4.4).
import { afterAll, afterEach, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { Resources } from "#kube";
import { VERSION } from "#version";
import { makeCertificate } from "../testing/certificates.ts";
import { CheckBench, type Row } from "../testing/checks.ts";
import { installControlPlane, runDeployment, setPodStatus, startWorld } from "../testing/world.ts";

// Processes are started: a busy machine takes its time.
setDefaultTimeout(30_000);

const app = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: app}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "web:1", ports: [{name: http, containerPort: 8080}, {name: db, containerPort: 5432}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: app, annotations: {config.linkerd.io/opaque-ports: "5432"}}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: http}, {name: db, port: 5432}]}
`;

let bench: CheckBench;
beforeAll(async () => {
  bench = new CheckBench(await startWorld());
  const { world } = bench;
  await installControlPlane(world);
  await world.kubectl(["create", "namespace", "app"]);
  await world.kubectl(["create", "serviceaccount", "default", "-n", "app"]);
  await world.kubectl(["apply", "-f", "-"], (await world.cli(["inject", "--manual", "-"], { stdin: app })).stdout);
  await runDeployment(world, "app", "web");
});
afterEach(() => bench.restore());
afterAll(() => bench.world.close());

test("all is well", async () => {
  expect((await bench.run({ selection: "proxy", expectedVersion: VERSION })).filter(({ result }) => result !== "success")).toEqual([]);
});

const rows: Row[] = [
  {
    what: "a pod with other anchors",
    given: async (bench) => {
      const { certPem } = await makeCertificate();
      await bench.add(
        { ...Resources.pods, namespace: "app" },
        {
          apiVersion: "v1",
          kind: "Pod",
          metadata: { name: "old", namespace: "app", labels: { "linkerd.io/control-plane-ns": "linkerd" } },
          spec: {
            nodeName: "node",
            containers: [
              { name: "linkerd-proxy", image: `p:${VERSION}`, env: [{ name: "LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS", value: certPem }] },
            ],
          },
        },
      );
      await setPodStatus(bench.world, "app", "old");
    },
    result: "warning",
    description: "data plane proxies certificate match CA",
    anchor: "l5d-identity-data-plane-proxies-certs-match-ca",
    error: "Some pods do not have the current trust bundle and must be restarted:\n\t* app/old",
  },
  {
    what: "no such namespace",
    options: { dataPlaneNamespace: "none" },
    description: "data plane namespace exists",
    anchor: "l5d-data-plane-exists",
    isFatal: true,
    error: 'The "none" namespace does not exist',
  },
  {
    what: "nothing meshed",
    options: { dataPlaneNamespace: "default" },
    description: "data plane proxies are ready",
    anchor: "l5d-data-plane-ready",
    isFatal: true,
    error: 'no "linkerd-proxy" containers found',
  },
  {
    what: "a proxy that is not ready",
    given: (bench) => bench.setPod("app", "web-5d8-x2k", { unready: ["linkerd-proxy"] }),
    description: "data plane proxies are ready",
    anchor: "l5d-data-plane-ready",
    isFatal: true,
    error: 'container "linkerd-proxy" in pod "web-5d8-x2k" is not ready',
  },
  {
    what: "a pod that does not start",
    given: (bench) => bench.setPod("app", "web-5d8-x2k", { phase: "Pending" }),
    description: "data plane proxies are ready",
    anchor: "l5d-data-plane-ready",
    isFatal: true,
    error: 'pod "web-5d8-x2k" status is Pending',
  },
  {
    what: "a CLI of another version",
    options: { cliVersion: "stable-2.11.9", dataPlaneNamespace: "app" },
    result: "warning",
    description: "data plane and cli versions match",
    anchor: "l5d-data-plane-cli-version",
    error: `web-5d8-x2k running ${VERSION} but cli running stable-2.11.9`,
  },
  {
    what: "old proxies",
    options: { expectedVersion: "stable-9.9.9", dataPlaneNamespace: "app" },
    result: "warning",
    description: "data plane is up-to-date",
    anchor: "l5d-data-plane-version",
    error: `some proxies are not running the current version:\n\t* web-5d8-x2k (${VERSION})`,
  },
  {
    what: "labels on a pod",
    given: (bench) =>
      bench.mark({ ...Resources.pods, namespace: "app", name: "web-5d8-x2k" }, "labels", {
        "linkerd.io/inject": "enabled",
        "config.linkerd.io/proxy-uid": "1",
        "config.alpha.linkerd.io/x": "1",
      }),
    result: "warning",
    description: "data plane pod labels are configured correctly",
    anchor: "l5d-data-plane-pod-labels",
    error:
      "Some labels on data plane pods should be annotations:\n\t* app/web-5d8-x2k\n\t\tconfig.alpha.linkerd.io/x\n\t\tconfig.linkerd.io/proxy-uid\n\t\tlinkerd.io/inject",
  },
  {
    what: "labels on a Service",
    given: (bench) =>
      bench.mark({ ...Resources.services, namespace: "app", name: "web" }, "labels", { "config.linkerd.io/opaque-ports": "1" }),
    result: "warning",
    description: "data plane service labels are configured correctly",
    anchor: "l5d-data-plane-services-labels",
    error: "Some labels on data plane services should be annotations:\n\t* app/web\n\t\tconfig.linkerd.io/opaque-ports",
  },
  {
    what: "annotations on a Service",
    given: (bench) =>
      bench.mark({ ...Resources.services, namespace: "app", name: "web" }, "annotations", { "mirror.linkerd.io/exported": "true" }),
    result: "warning",
    description: "data plane service annotations are configured correctly",
    anchor: "l5d-data-plane-services-annotations",
    error: "Some annotations on data plane services should be labels:\n\t* app/web\n\t\tmirror.linkerd.io/exported",
  },
  {
    what: "a port opaque in the Service alone",
    given: (bench) =>
      bench.mark({ ...Resources.pods, namespace: "app", name: "web-5d8-x2k" }, "annotations", { "config.linkerd.io/opaque-ports": "" }),
    result: "warning",
    description: "opaque ports are properly annotated",
    anchor: "linkerd-opaque-ports-definition",
    error:
      "misconfigured opaque ports:\n\t* service web expects target port 5432 to be opaque; add it to pod web-5d8-x2k config.linkerd.io/opaque-ports annotation",
  },
  {
    what: "a port opaque in the pod alone",
    given: (bench) =>
      bench.mark({ ...Resources.pods, namespace: "app", name: "web-5d8-x2k" }, "annotations", {
        "config.linkerd.io/opaque-ports": "http,5432",
      }),
    result: "warning",
    description: "opaque ports are properly annotated",
    anchor: "linkerd-opaque-ports-definition",
    error:
      "misconfigured opaque ports:\n\t* service web targets the opaque port 8080 through 80; add 80 to its config.linkerd.io/opaque-ports annotation",
  },
  {
    what: "a port that is none",
    given: (bench) =>
      bench.mark({ ...Resources.services, namespace: "app", name: "web" }, "annotations", {
        "config.linkerd.io/opaque-ports": "5432,mysql",
      }),
    result: "warning",
    description: "opaque ports are properly annotated",
    anchor: "linkerd-opaque-ports-definition",
    error: 'misconfigured opaque ports:\n\t* service web: config.linkerd.io/opaque-ports: "mysql" is no port',
  },
];

test.each(rows.map((row) => [row.what, row] as const))("%s", (_, row) => bench.expectFailure("proxy", row));

test("pods that ended, leave or have no proxy are not asked", async () => {
  const { world } = bench;
  const pod = (name: string, container: string) => ({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "app", labels: { "linkerd.io/control-plane-ns": "linkerd" } },
    spec: { nodeName: "node", containers: [{ name: container, image: `p:${VERSION}` }] },
  });
  const ended = [
    ["done", { phase: "Succeeded" }],
    ["evicted", { phase: "Failed", reason: "Evicted" }],
    ["shut", { phase: "Failed", reason: "NodeShutdown" }],
  ] as const;
  for (const [name, status] of ended) {
    await bench.add({ ...Resources.pods, namespace: "app" }, pod(name, "linkerd-proxy"));
    await setPodStatus(world, "app", name, { ...status, unready: ["linkerd-proxy"] });
  }
  await bench.add({ ...Resources.pods, namespace: "app" }, pod("bare", "web"));
  expect((await bench.run({ selection: "proxy" })).filter(({ result }) => result !== "success")).toEqual([]);
  await bench.add({ ...Resources.pods, namespace: "app" }, pod("failed", "linkerd-proxy"));
  await setPodStatus(world, "app", "failed", { phase: "Failed" });
  expect((await bench.run({ selection: "proxy" })).at(-1)?.error).toBe('pod "failed" status is Failed');
});

test("a headless Service and one without selector are not asked about opaque ports", async () => {
  const service = (name: string, spec: object) => ({
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: "app", annotations: { "config.linkerd.io/opaque-ports": "80" } },
    spec,
  });
  await bench.add(
    { ...Resources.services, namespace: "app" },
    service("headless", { clusterIP: "None", selector: { app: "web" }, ports: [{ port: 80, targetPort: "http" }] }),
  );
  await bench.add({ ...Resources.services, namespace: "app" }, service("outside", { ports: [{ port: 80, targetPort: 8080 }] }));
  expect((await bench.run({ selection: "proxy" })).filter(({ result }) => result !== "success")).toEqual([]);
});
