// Endpoints, EndpointSlices, service accounts, silent nodes, pod collection.
import { expect, test } from "bun:test";
import { type EndpointSlice, type Endpoints, type KubeObject, Resources } from "#kube";
import { maxEndpointsPerSlice, mirrorEndpoints, reconcileEndpointSlices } from "./endpoint-slices.ts";
import { maxAddresses, reconcileEndpoints } from "./endpoints.ts";
import { collectPods, maxTerminatedPods, nodeGraceMs, nodeQuarantineMs, watchNode } from "./pods.ts";
import { reconcileAccountSecrets, reconcileDefaultAccount, reconcileRootCa, reconcileTokenSecret } from "./service-accounts.ts";
import { Simulation } from "./testing/simulation.ts";
import type { ConfigMap, Lease, Namespace, Node, Pod, Secret, Service } from "./types.ts";
import { leases } from "./world.ts";

function service(sim: Simulation, spec: Partial<NonNullable<Service["spec"]>> = {}): Service {
  return sim.put<Service>(Resources.services, {
    metadata: { name: "web", namespace: "ns", labels: { tier: "front" } },
    spec: { clusterIP: "10.96.0.7", selector: { app: "web" }, ports: [{ name: "http", port: 80, targetPort: "http" }], ...spec },
  });
}

function pod(
  sim: Simulation,
  name: string,
  ip: string,
  {
    ready = true,
    ports = [{ name: "http", containerPort: 8080 }],
    ...rest
  }: { ready?: boolean; ports?: { name: string; containerPort: number }[]; deleted?: boolean; hostname?: string; phase?: string } = {},
): Pod {
  const made = sim.put<Pod>(Resources.pods, {
    metadata: {
      name,
      namespace: "ns",
      uid: `uid-of-${name}`,
      labels: { app: "web" },
      ...(rest.deleted ? { deletionTimestamp: "2026-01-01T00:00:00Z" } : {}),
    },
    spec: { nodeName: "node", containers: [{ name: "c", ports }], ...(rest.hostname ? { hostname: rest.hostname, subdomain: "web" } : {}) },
  });
  sim.setStatus(made, {
    phase: rest.phase ?? "Running",
    ...(ip ? { podIP: ip } : {}),
    conditions: [{ type: "Ready", status: ready ? "True" : "False" }],
  });
  return made;
}

function sync(sim: Simulation): void {
  sim.perform(reconcileEndpoints(sim.world, "ns", "web"));
  sim.perform(reconcileEndpointSlices(sim.world, "ns", "web"));
}
const endpoints = (sim: Simulation) => sim.world.endpoints.get("web", "ns") as Endpoints;
const slices = (sim: Simulation): EndpointSlice[] => sim.world.endpointSlices.list("ns");
/** ip → "ready", "not ready", with what else is true. */
const states = (sim: Simulation) =>
  Object.fromEntries(
    slices(sim).flatMap((slice) =>
      (slice.endpoints ?? []).map(({ addresses, conditions }) => [
        addresses[0] as string,
        Object.entries(conditions ?? {})
          .filter(([, is]) => is)
          .map(([name]) => name)
          .join(" "),
      ]),
    ),
  );

test("ready, unready, terminating and ended pods", () => {
  const sim = new Simulation();
  service(sim);
  pod(sim, "a", "10.0.0.1");
  pod(sim, "b", "10.0.0.2", { ready: false });
  pod(sim, "c", "10.0.0.3", { deleted: true });
  pod(sim, "d", "10.0.0.4", { phase: "Succeeded" });
  pod(sim, "e", "");
  sync(sim);
  const ref = (name: string) => ({ kind: "Pod", namespace: "ns", name, uid: `uid-of-${name}` });
  expect(endpoints(sim).subsets).toEqual([
    {
      addresses: [{ ip: "10.0.0.1", nodeName: "node", targetRef: ref("a") }],
      notReadyAddresses: [{ ip: "10.0.0.2", nodeName: "node", targetRef: ref("b") }],
      ports: [{ name: "http", port: 8080, protocol: "TCP" }],
    },
  ]);
  expect(states(sim)).toEqual({ "10.0.0.1": "ready serving", "10.0.0.2": "", "10.0.0.3": "serving terminating" });
  expect(slices(sim)[0]).toMatchObject({
    addressType: "IPv4",
    ports: [{ name: "http", port: 8080, protocol: "TCP" }],
    metadata: {
      labels: {
        tier: "front",
        "kubernetes.io/service-name": "web",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
      },
    },
  });
  const before = [endpoints(sim).metadata.resourceVersion, slices(sim)[0]?.metadata.resourceVersion];
  sync(sim);
  expect([endpoints(sim).metadata.resourceVersion, slices(sim)[0]?.metadata.resourceVersion]).toEqual(before);
});

test("publishNotReadyAddresses makes them all ready", () => {
  const sim = new Simulation();
  service(sim, { publishNotReadyAddresses: true });
  pod(sim, "a", "10.0.0.1", { ready: false });
  pod(sim, "b", "10.0.0.2", { deleted: true, ready: false });
  sync(sim);
  expect(endpoints(sim).subsets?.[0]?.addresses?.map(({ ip }) => ip)).toEqual(["10.0.0.1", "10.0.0.2"]);
  expect(states(sim)).toEqual({ "10.0.0.1": "ready", "10.0.0.2": "ready terminating" });
});

test("a headless service: its mark, host names, and addresses without ports", () => {
  const sim = new Simulation();
  service(sim, { clusterIP: "None", ports: [] });
  pod(sim, "a", "10.0.0.1", { hostname: "first" });
  sync(sim);
  expect(endpoints(sim).metadata.labels).toMatchObject({ "service.kubernetes.io/headless": "" });
  expect(endpoints(sim).subsets?.[0]?.addresses?.[0]).toMatchObject({ ip: "10.0.0.1", hostname: "first" });
  expect(slices(sim)[0]?.endpoints?.[0]).toMatchObject({ hostname: "first" });
});

test("pods that give a named port different numbers go into different subsets and slices; one without it is left out of the port", () => {
  const sim = new Simulation();
  service(sim);
  pod(sim, "a", "10.0.0.1", { ports: [{ name: "http", containerPort: 8080 }] });
  pod(sim, "b", "10.0.0.2", { ports: [{ name: "http", containerPort: 9090 }] });
  pod(sim, "c", "10.0.0.3", { ports: [] });
  sync(sim);
  expect(endpoints(sim).subsets?.map((subset) => [subset.ports?.[0]?.port, subset.addresses?.map(({ ip }) => ip)])).toEqual([
    [8080, ["10.0.0.1"]],
    [9090, ["10.0.0.2"]],
  ]);
  expect(
    slices(sim)
      .map((slice) => slice.ports?.[0]?.port)
      .sort(),
  ).toEqual([8080, 9090, undefined]);
});

test("a service without pods has an empty Endpoints and one empty slice; with its service they go", () => {
  const sim = new Simulation();
  service(sim);
  sync(sim);
  expect(endpoints(sim).subsets).toBeUndefined();
  expect(slices(sim).map((slice) => slice.endpoints)).toEqual([[]]);
  sim.world.services.delete("web", "ns");
  sync(sim);
  expect(endpoints(sim)).toBeUndefined();
  expect(slices(sim)).toEqual([]);
});

test("Endpoints that a user keeps without a service stay", () => {
  const sim = new Simulation();
  sim.put<Endpoints>(Resources.endpoints, { metadata: { name: "web", namespace: "ns" } });
  sync(sim);
  expect(endpoints(sim)).toBeDefined();
});

test("slices hold 100 endpoints; pods stay where they are when others come and go", () => {
  const sim = new Simulation();
  service(sim);
  for (let i = 0; i < maxEndpointsPerSlice + 1; i++) pod(sim, `p${i}`, `10.0.${i >> 8}.${i & 255}`);
  sync(sim);
  expect(
    slices(sim)
      .map((slice) => slice.endpoints?.length)
      .sort(),
  ).toEqual([1, maxEndpointsPerSlice]);
  const place = () =>
    Object.fromEntries(
      slices(sim).flatMap((slice) => (slice.endpoints ?? []).map((one) => [one.targetRef?.name as string, slice.metadata.name as string])),
    );
  const before = place();
  sim.world.pods.delete("p3", "ns");
  pod(sim, "new", "10.1.0.1");
  sync(sim);
  const { p3: _, ...rest } = before;
  expect(place()).toMatchObject(rest);
  expect(
    slices(sim)
      .map((slice) => slice.endpoints?.length)
      .sort(),
  ).toEqual([1, maxEndpointsPerSlice]);
});

test("Endpoints hold 1,000 addresses, ready ones first, and say when there are more", () => {
  const sim = new Simulation();
  service(sim);
  for (let i = 0; i < maxAddresses; i++) pod(sim, `p${i}`, `10.0.${i >> 8}.${i & 255}`, { ready: i !== 0 });
  sync(sim);
  expect(endpoints(sim).metadata.annotations).toBeUndefined();
  pod(sim, "more", "10.9.0.1");
  sync(sim);
  expect(endpoints(sim).metadata.annotations).toEqual({ "endpoints.kubernetes.io/over-capacity": "truncated" });
  expect(endpoints(sim).subsets?.[0]?.addresses).toHaveLength(maxAddresses);
  expect(endpoints(sim).subsets?.[0]?.notReadyAddresses).toBeUndefined();
});

test("Endpoints of a service without selector are mirrored into a slice, unless they say no", () => {
  const sim = new Simulation();
  sim.put<Service>(Resources.services, { metadata: { name: "ext", namespace: "ns" }, spec: { ports: [{ port: 80 }] } });
  const kept = sim.put<Endpoints>(Resources.endpoints, {
    metadata: { name: "ext", namespace: "ns", labels: { a: "b" } },
    subsets: [
      { addresses: [{ ip: "10.1.1.1" }], notReadyAddresses: [{ ip: "10.1.1.2" }], ports: [{ name: "x", port: 81, protocol: "TCP" }] },
    ],
  });
  const mirror = () => sim.perform(mirrorEndpoints(sim.world, "ns", "ext"));
  mirror();
  mirror();
  expect(slices(sim)).toHaveLength(1);
  expect(slices(sim)[0]).toMatchObject({
    ports: [{ name: "x", port: 81 }],
    metadata: {
      labels: {
        a: "b",
        "kubernetes.io/service-name": "ext",
        "endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io",
      },
    },
  });
  expect(states(sim)).toEqual({ "10.1.1.1": "ready", "10.1.1.2": "" });
  sim.world.endpoints.set({ ...kept, metadata: { ...kept.metadata, labels: { "endpointslice.kubernetes.io/skip-mirror": "true" } } });
  mirror();
  expect(slices(sim)).toEqual([]);
});

const named = (resource: (typeof Resources)[keyof typeof Resources], sim: Simulation, name: string, more: object = {}) =>
  sim.put<KubeObject>(resource, { metadata: { name, namespace: "ns", ...more } });

test("each active namespace gets its account and the root certificate, put back when changed", () => {
  const sim = new Simulation();
  sim.put<Namespace>(Resources.namespaces, { metadata: { name: "ns" }, status: { phase: "Active" } });
  for (let i = 0; i < 2; i++) {
    sim.perform(reconcileDefaultAccount(sim.world, "ns"));
    sim.perform(reconcileRootCa(sim.world, "ns", "CA"));
  }
  expect(sim.world.serviceAccounts.get("default", "ns")).toBeDefined();
  const map = sim.world.rootCas.get("kube-root-ca.crt", "ns") as ConfigMap;
  expect(map.data).toEqual({ "ca.crt": "CA" });
  sim.world.rootCas.set({ ...map, data: { "ca.crt": "other", more: "x" } });
  sim.perform(reconcileRootCa(sim.world, "ns", "CA"));
  expect(sim.world.rootCas.get("kube-root-ca.crt", "ns")?.data).toEqual({ "ca.crt": "CA" });
});

test("a namespace on its way out gets nothing", () => {
  const sim = new Simulation();
  sim.put<Namespace>(Resources.namespaces, { metadata: { name: "ns", deletionTimestamp: "2026-01-01T00:00:00Z" } });
  expect(reconcileDefaultAccount(sim.world, "ns").actions).toEqual([]);
  expect(reconcileRootCa(sim.world, "ns", "CA").actions).toEqual([]);
});

test("a token secret is completed for its account, and goes with it", () => {
  const sim = new Simulation();
  const account = named(Resources.serviceAccounts, sim, "robot");
  sim.put<Secret>(Resources.secrets, {
    metadata: { name: "t", namespace: "ns", annotations: { "kubernetes.io/service-account.name": "robot" } },
    type: "kubernetes.io/service-account-token",
  });
  const wanted = reconcileTokenSecret(sim.world, "ns", "t", "CA");
  expect(wanted.token?.account.metadata.uid).toBe(account.metadata.uid as string);
  sim.perform(wanted.token?.complete("the-token") as never);
  expect(sim.world.tokenSecrets.get("t", "ns")).toMatchObject({
    metadata: { annotations: { "kubernetes.io/service-account.uid": account.metadata.uid } },
    data: { token: btoa("the-token"), "ca.crt": btoa("CA"), namespace: btoa("ns") },
  });
  expect(reconcileTokenSecret(sim.world, "ns", "t", "CA")).toEqual({ actions: [] });
  sim.world.serviceAccounts.delete("robot", "ns");
  sim.perform(reconcileAccountSecrets(sim.world, "ns", "robot"));
  expect(sim.deleted).toEqual(["secrets/t"]);
});

test("a token secret does not pass to a later account of the same name", () => {
  const sim = new Simulation();
  named(Resources.serviceAccounts, sim, "robot");
  sim.put<Secret>(Resources.secrets, {
    metadata: {
      name: "t",
      namespace: "ns",
      annotations: { "kubernetes.io/service-account.name": "robot", "kubernetes.io/service-account.uid": "earlier" },
    },
    data: { token: "x" },
  });
  sim.perform(reconcileTokenSecret(sim.world, "ns", "t", "CA"));
  expect(sim.deleted).toEqual(["secrets/t"]);
});

test("pods of a missing node go after the quarantine, unscheduled ones that are being deleted at once", () => {
  const sim = new Simulation();
  sim.put<Node>(Resources.nodes, { metadata: { name: "here" } });
  const missing = new Map<string, number>();
  for (const [name, nodeName] of [
    ["kept", "here"],
    ["lost", "gone"],
  ] as const)
    sim.put<Pod>(Resources.pods, { metadata: { name, namespace: "ns" }, spec: { nodeName } });
  sim.put<Pod>(Resources.pods, { metadata: { name: "nowhere", namespace: "ns", deletionTimestamp: "2026-01-01T00:00:00Z" }, spec: {} });
  sim.perform(collectPods(sim.world, missing));
  expect(sim.deleted).toEqual(["pods/nowhere"]);
  sim.now += nodeQuarantineMs - 1;
  sim.perform(collectPods(sim.world, missing));
  sim.now += 1;
  sim.perform(collectPods(sim.world, missing));
  expect(sim.deleted).toEqual(["pods/nowhere", "pods/lost"]);
});

test("a node whose lease is not renewed is unknown after the grace period, and is told of once", () => {
  const sim = new Simulation();
  sim.put<Node>(Resources.nodes, { metadata: { name: "here" }, status: { conditions: [{ type: "Ready", status: "True" }] } });
  expect(watchNode(sim.world, "here")).toEqual({ actions: [] });
  sim.put<Lease>(leases, {
    metadata: { name: "here", namespace: "kube-node-lease" },
    spec: { renewTime: new Date(sim.now).toISOString() },
  });
  sim.now += nodeGraceMs - 1;
  expect(watchNode(sim.world, "here")).toEqual({ actions: [], requeueAfterMs: 1 });
  sim.now += 1;
  for (let i = 0; i < 2; i++) sim.perform(watchNode(sim.world, "here"));
  expect(sim.world.nodes.get("here")?.status?.conditions).toMatchObject([
    { type: "Ready", status: "Unknown", reason: "NodeStatusUnknown" },
  ]);
  expect(sim.events).toEqual(["NodeNotReady: Node here status is now: NodeNotReady"]);
});

test("ended pods are kept up to the bound", () => {
  const sim = new Simulation();
  sim.put<Node>(Resources.nodes, { metadata: { name: "here" } });
  const end = (name: string) =>
    sim.put<Pod>(Resources.pods, { metadata: { name, namespace: "ns" }, spec: { nodeName: "here" }, status: { phase: "Failed" } });
  for (let i = 0; i < maxTerminatedPods; i++) end(`p${i}`);
  expect(collectPods(sim.world, new Map()).actions).toEqual([]);
  end("last");
  sim.perform(collectPods(sim.world, new Map()));
  expect(sim.deleted).toEqual(["pods/p0"]);
});
