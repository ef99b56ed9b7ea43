// Discovery (spec control-plane §3, §13 D1–D24) on the pure index, and once over gRPC.
import { describe, expect, test } from "bun:test";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { Destination, type DestinationProfile, type Update } from "#api/destination_pb";
import { parsePortList } from "#inject";
import type { Change, EndpointSlice, Endpoints, KubeObject, Pod, Service } from "#kube";
import { createLogger, createMetrics, maxRequestBytes, serveGrpc } from "../../runtime/index.ts";
import { Discovery } from "./discovery.ts";
import { diff, type Snapshot } from "./endpoints.ts";
import { updateMessage } from "./messages.ts";
import { createDiscoveryMetrics } from "./metrics.ts";
import { parseContext, parseTarget, TargetError } from "./names.ts";
import { destinationRoutes } from "./service.ts";
import type { ServiceProfile, TrafficSplit, WorldChange } from "./world.ts";

type PodOptions = {
  ns?: string;
  ip?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  meshed?: string | false;
  ports?: { name?: string; containerPort: number; hostPort?: number }[];
  sa?: string;
  owner?: { kind: string; name: string };
  hostIP?: string;
  deleting?: boolean;
  phase?: string;
  uid?: string;
};

function world({ slices = false }: { slices?: boolean } = {}) {
  const lines: string[] = [];
  const discovery = new Discovery({
    log: createLogger({ write: (line) => void lines.push(line) }),
    schedule: (flush) => flush(),
    config: {
      controlNamespace: "linkerd",
      clusterDomain: "cluster.local",
      trustDomain: "cluster.local",
      enableH2Upgrade: true,
      enableEndpointSlices: slices,
      defaultOpaquePorts: parsePortList("25,3306").ports,
    },
  });
  const known = new Map<string, KubeObject>();
  const put = <T extends KubeObject>(kind: WorldChange["kind"], object: T, gone = false) => {
    const key = `${kind}/${object.metadata.namespace}/${object.metadata.name}`;
    const previous = known.get(key) as T | undefined;
    const change: Change<T> = gone
      ? { type: "deleted", object }
      : previous
        ? { type: "modified", object, previous }
        : { type: "added", object };
    if (gone) known.delete(key);
    else known.set(key, object);
    discovery.apply({ kind, change } as unknown as WorldChange);
  };
  const makePod = (
    name: string,
    {
      ns = "app",
      ip = "10.1.0.1",
      labels = {},
      annotations = {},
      meshed = "linkerd",
      ports = [{ containerPort: 8080 }],
      sa = "web",
      owner,
      hostIP,
      deleting,
      phase = "Running",
      uid = name,
    }: PodOptions = {},
  ): Pod => ({
    metadata: {
      name,
      namespace: ns,
      uid,
      labels: { ...labels, ...(meshed ? { "linkerd.io/control-plane-ns": meshed } : {}) },
      annotations: { ...(meshed ? { "linkerd.io/identity-mode": "default" } : {}), ...annotations },
      ...(owner ? { ownerReferences: [{ apiVersion: "apps/v1", uid: "u", ...owner }] } : {}),
      ...(deleting ? { deletionTimestamp: "2021-01-01T00:00:00Z" } : {}),
    },
    spec: {
      serviceAccountName: sa,
      containers: [
        { name: "app", ports },
        ...(meshed ? [{ name: "linkerd-proxy", env: [{ name: "LINKERD2_PROXY_INBOUND_LISTEN_ADDR", value: "0.0.0.0:4143" }] }] : []),
      ],
    },
    status: { phase, podIP: ip, ...(hostIP ? { hostIP } : {}) },
  });
  return {
    discovery,
    lines,
    put,
    pod: (name: string, options: PodOptions = {}, gone = false) => put<Pod>("pod", makePod(name, options), gone),
    service: (
      name: string,
      spec: Service["spec"] = { clusterIP: "10.96.0.1", ports: [{ name: "http", port: 8080 }] },
      more: { annotations?: Record<string, string>; gone?: boolean } = {},
    ) =>
      put<Service>("service", { metadata: { name, namespace: "app", annotations: more.annotations ?? {} }, spec: spec ?? {} }, more.gone),
    endpoints: (
      name: string,
      addresses: { ip: string; pod?: string; hostname?: string }[],
      {
        ports = [{ name: "http", port: 8080 }],
        labels = {},
        annotations = {},
        gone = false,
      }: {
        ports?: { name?: string; port: number }[];
        labels?: Record<string, string>;
        annotations?: Record<string, string>;
        gone?: boolean;
      } = {},
    ) =>
      put<Endpoints>(
        "endpoints",
        {
          metadata: { name, namespace: "app", labels, annotations },
          subsets:
            addresses.length === 0
              ? []
              : [
                  {
                    addresses: addresses.map(({ ip, pod, hostname }) => ({
                      ip,
                      ...(hostname ? { hostname } : {}),
                      ...(pod ? { targetRef: { kind: "Pod", name: pod, namespace: "app" } } : {}),
                    })),
                    ports,
                  },
                ],
        },
        gone,
      ),
    slice: (name: string, service: string, endpoints: NonNullable<EndpointSlice["endpoints"]>, gone = false) =>
      put<EndpointSlice>(
        "slice",
        {
          metadata: { name, namespace: "app", labels: { "kubernetes.io/service-name": service } },
          addressType: "IPv4",
          endpoints,
          ports: [{ name: "http", port: 8080 }],
        },
        gone,
      ),
    profile: (ns: string, spec: unknown, gone = false) =>
      put<ServiceProfile>("profile", { metadata: { name: "svc.app.svc.cluster.local", namespace: ns }, spec } as ServiceProfile, gone),
    split: (service: string, backends: { service?: string; weight?: number | string }[], gone = false) =>
      put<TrafficSplit>("split", { metadata: { name: "split", namespace: "app" }, spec: { service, backends } }, gone),
    get(path: string, nodeName = "") {
      const target = parseTarget(path, "cluster.local");
      if (target.kind === "ip") throw new Error("ip");
      const cell = discovery.endpoints({
        name: target.name,
        namespace: target.namespace,
        port: target.port,
        hostname: target.hostname,
        nodeName,
      });
      let sent: Snapshot | undefined;
      return {
        cell,
        /** Messages since the last call. */
        next(): Update["update"][] {
          const { value } = cell;
          const updates = sent === value ? [] : diff(sent, value).map((delta) => updateMessage(delta, value.labels).update);
          sent = value;
          return updates;
        },
        release: () => cell.release(),
      };
    },
    profileOf: (path: string, token = "") => discovery.profile(parseTarget(path, "cluster.local"), parseContext(token)),
  };
}

type Added = Extract<Update["update"], { case: "add" }>["value"];
const added = (updates: Update["update"][]): Added => {
  const found = updates.find((update) => update.case === "add");
  if (!found) throw new Error(`no add among ${updates.map((update) => update.case).join(",")}`);
  return found.value as Added;
};
const ips = (updates: Update["update"][]) =>
  added(updates).addrs.map(
    ({ addr }) => `${[24, 16, 8, 0].map((bits) => ((addr?.ip?.ip.value as number) >>> bits) & 255).join(".")}:${addr?.port}`,
  );
const profile = (cell: { value: ReturnType<ReturnType<typeof world>["profileOf"]>["value"] }): DestinationProfile => {
  if (cell.value.kind !== "profile") throw new Error(cell.value.message);
  return cell.value.profile;
};
const overrides = (found: DestinationProfile) => found.dstOverrides.map(({ authority, weight }) => [authority, weight]);

const at = "svc.app.svc.cluster.local:8080";

describe("Get", () => {
  test("D1, D2: meshed and unmeshed pods", () => {
    const { pod, service, endpoints, get } = world();
    pod("a", { ip: "10.1.0.1", labels: { "pod-template-hash": "abc" }, owner: { kind: "StatefulSet", name: "web" } });
    pod("b", { ip: "10.1.0.2", meshed: false });
    service("svc");
    endpoints("svc", [
      { ip: "10.1.0.1", pod: "a" },
      { ip: "10.1.0.2", pod: "b" },
    ]);
    const updates = get(at).next();
    expect(updates).toHaveLength(1);
    const { addrs, metricLabels } = added(updates);
    expect(metricLabels).toEqual({ service: "svc", namespace: "app" });
    expect(addrs[0]).toMatchObject({
      weight: 10000,
      protocolHint: { protocol: { case: "h2" } },
      tlsIdentity: { strategy: { value: { name: "web.app.serviceaccount.identity.linkerd.cluster.local" } } },
      metricLabels: { pod: "a", statefulset: "web", serviceaccount: "web", control_plane_ns: "linkerd", pod_template_hash: "abc" },
    });
    expect(addrs[1]?.tlsIdentity).toBeUndefined();
    expect(addrs[1]?.protocolHint?.protocol.case).toBeUndefined();
    expect(addrs[1]?.protocolHint).toBeDefined();
    expect(addrs[1]?.metricLabels).toEqual({ pod: "b", serviceaccount: "web" });
  });
  test("D3, D4: nothing, empty, then endpoints, then gone", () => {
    const { pod, service, endpoints, get } = world();
    const stream = get(at);
    expect(stream.next()).toMatchObject([{ case: "noEndpoints", value: { exists: false } }]);
    service("svc");
    expect(stream.next()).toMatchObject([{ case: "noEndpoints", value: { exists: true } }]);
    pod("a");
    endpoints("svc", [{ ip: "10.1.0.1", pod: "a" }]);
    expect(ips(stream.next())).toEqual(["10.1.0.1:8080"]);
    endpoints("svc", []);
    expect(stream.next()).toMatchObject([{ case: "noEndpoints", value: { exists: true } }]);
    endpoints("svc", [], { gone: true });
    service("svc", {}, { gone: true });
    expect(stream.next()).toMatchObject([{ case: "noEndpoints", value: { exists: false } }]);
  });
  test("one comes, one goes: add, then remove", () => {
    const { pod, service, endpoints, get } = world();
    for (const n of [1, 2, 3]) pod(`p${n}`, { ip: `10.1.0.${n}` });
    service("svc");
    endpoints("svc", [
      { ip: "10.1.0.1", pod: "p1" },
      { ip: "10.1.0.2", pod: "p2" },
    ]);
    const stream = get(at);
    stream.next();
    endpoints("svc", [
      { ip: "10.1.0.2", pod: "p2" },
      { ip: "10.1.0.3", pod: "p3" },
    ]);
    const updates = stream.next();
    expect(updates.map((update) => update.case)).toEqual(["add", "remove"]);
    expect(ips(updates)).toEqual(["10.1.0.3:8080"]);
    endpoints(
      "svc",
      [
        { ip: "10.1.0.2", pod: "p2" },
        { ip: "10.1.0.3", pod: "p3" },
      ],
      { annotations: { note: "same" } },
    );
    expect(stream.next()).toEqual([]);
  });
  test("a pod that is known later than its endpoints", () => {
    const { pod, service, endpoints, get } = world();
    service("svc");
    endpoints("svc", [{ ip: "10.1.0.1", pod: "late" }]);
    const stream = get(at);
    expect(stream.next()).toMatchObject([{ case: "noEndpoints", value: { exists: true } }]);
    pod("late");
    expect(ips(stream.next())).toEqual(["10.1.0.1:8080"]);
  });
  test("D5, D6: what is no service's name", () => {
    expect(parseTarget("10.0.0.1:80", "cluster.local")).toEqual({ kind: "ip", ip: "10.0.0.1", port: 80 });
    for (const path of [
      "linkerd.io",
      "svc.app.svc.other.domain",
      "svc.app.svc.cluster.local.",
      "app.svc.cluster.local",
      "a.b.svc.app.svc.cluster.local",
      "svc.app.svc.cluster.local:0",
      "svc.app.svc.cluster.local:70000",
      "[::1]:80",
      "svc.app.svc.Cluster.local",
      ".app.svc.cluster.local",
    ])
      expect(() => parseTarget(path, "cluster.local")).toThrow(TargetError);
    expect(parseTarget("svc.app.svc.cluster.local", "cluster.local")).toMatchObject({
      name: "svc",
      namespace: "app",
      hostname: null,
      port: 80,
    });
    expect(parseTarget("web-0.svc.app.svc.cluster.local:81", "cluster.local")).toMatchObject({
      name: "svc",
      namespace: "app",
      hostname: "web-0",
      port: 81,
    });
  });
  test("D8: service port 80 to 8080; an undeclared port as it is; a changed port is followed", () => {
    const { pod, service, endpoints, get } = world();
    pod("a");
    service("svc", { ports: [{ name: "http", port: 80, targetPort: 8080 }] });
    endpoints("svc", [{ ip: "10.1.0.1", pod: "a" }]);
    const stream = get("svc.app.svc.cluster.local:80");
    expect(ips(stream.next())).toEqual(["10.1.0.1:8080"]);
    expect(ips(get("svc.app.svc.cluster.local:9999").next())).toEqual(["10.1.0.1:9999"]);
    service("svc", { ports: [{ name: "web", port: 80, targetPort: 8081 }] });
    expect(stream.next()).toMatchObject([{ case: "noEndpoints", value: { exists: true } }]);
    endpoints("svc", [{ ip: "10.1.0.1", pod: "a" }], { ports: [{ name: "web", port: 8081 }] });
    expect(ips(stream.next())).toEqual(["10.1.0.1:8081"]);
  });
  test("D9: a skipped port gets neither hint nor identity", () => {
    const { pod, service, endpoints, get } = world();
    pod("a", { annotations: { "config.linkerd.io/skip-inbound-ports": "8080" } });
    service("svc");
    endpoints("svc", [{ ip: "10.1.0.1", pod: "a" }]);
    const [address] = added(get(at).next()).addrs;
    expect(address?.tlsIdentity).toBeUndefined();
    expect(address?.protocolHint?.protocol.case).toBeUndefined();
  });
  test("D10, D11: opaque by annotation, by a Server while it exists, in its namespace only (Q2)", () => {
    const { pod, service, endpoints, get, put } = world();
    pod("a", { annotations: { "config.linkerd.io/opaque-ports": "8080" } });
    pod("b", { ip: "10.1.0.2", labels: { app: "b" } });
    service("svc");
    endpoints("svc", [
      { ip: "10.1.0.1", pod: "a" },
      { ip: "10.1.0.2", pod: "b" },
    ]);
    const stream = get(at);
    const opaque = (updates: Update["update"][]) =>
      added(updates).addrs.map((address) => address.protocolHint?.opaqueTransport?.inboundPort ?? null);
    expect(opaque(stream.next())).toEqual([4143, null]);
    const server = (namespace: string) =>
      ({
        metadata: { name: "s", namespace },
        spec: { podSelector: { matchLabels: { app: "b" } }, port: 8080, proxyProtocol: "opaque" },
      }) as unknown as KubeObject;
    put("server", server("other"));
    expect(stream.next()).toEqual([]);
    put("server", server("app"));
    expect(opaque(stream.next())).toEqual([4143]);
    put("server", server("app"), true);
    expect(opaque(stream.next())).toEqual([null]);
  });
  test("D12: one pod of a service by its hostname", () => {
    const { pod, service, endpoints, get } = world();
    pod("web-0", { ip: "10.1.0.1" });
    pod("web-1", { ip: "10.1.0.2" });
    service("svc", { clusterIP: "None", ports: [] });
    endpoints(
      "svc",
      [
        { ip: "10.1.0.1", pod: "web-0", hostname: "web-0" },
        { ip: "10.1.0.2", pod: "web-1", hostname: "web-1" },
      ],
      { ports: [] },
    );
    expect(ips(get("web-1.svc.app.svc.cluster.local:80").next())).toEqual(["10.1.0.2:80"]);
  });
  test("D13: a pod of another control plane", () => {
    const { pod, service, endpoints, get } = world();
    pod("a", { meshed: "linkerd-two" });
    service("svc");
    endpoints("svc", [{ ip: "10.1.0.1", pod: "a" }]);
    const [address] = added(get(at).next()).addrs;
    expect(address?.protocolHint?.protocol.case).toBe("h2");
    expect(address?.tlsIdentity).toBeUndefined();
  });
  test("D14: a mirrored service's gateway", () => {
    const { service, endpoints, get } = world();
    service("svc", { ports: [{ name: "http", port: 80 }] });
    endpoints("svc", [{ ip: "192.0.2.1" }], {
      ports: [{ name: "http", port: 4143 }],
      labels: { "mirror.linkerd.io/cluster-name": "east" },
      annotations: {
        "mirror.linkerd.io/remote-gateway-identity": "gw.mc.serviceaccount.identity.linkerd.cluster.local",
        "mirror.linkerd.io/remote-svc-fq-name": "svc.app.svc.east.local",
      },
    });
    const { addrs, metricLabels } = added(get("svc.app.svc.cluster.local:80").next());
    expect(metricLabels).toEqual({
      service: "svc",
      namespace: "app",
      target_cluster: "east",
      target_service: "svc",
      target_service_namespace: "app",
    });
    expect(addrs[0]).toMatchObject({
      authorityOverride: { authorityOverride: "svc.app.svc.east.local:80" },
      protocolHint: { protocol: { case: "h2" } },
      tlsIdentity: { strategy: { value: { name: "gw.mc.serviceaccount.identity.linkerd.cluster.local" } } },
      metricLabels: {},
    });
  });
  test("the owner of the owner, once it is known", () => {
    const { pod, service, endpoints, get, put } = world();
    pod("a", { owner: { kind: "ReplicaSet", name: "web-1" } });
    service("svc");
    endpoints("svc", [{ ip: "10.1.0.1", pod: "a" }]);
    const stream = get(at);
    expect(added(stream.next()).addrs[0]?.metricLabels["replicaset"]).toBe("web-1");
    put("replicaset", {
      metadata: {
        name: "web-1",
        namespace: "app",
        ownerReferences: [{ apiVersion: "apps/v1", kind: "Deployment", name: "web", uid: "1" }],
      },
    });
    expect(added(stream.next()).addrs[0]?.metricLabels["deployment"]).toBe("web");
  });
  test("slices: unready left out, one of two deleted (Q4), hostname must match (Q33)", () => {
    const { pod, service, slice, get } = world({ slices: true });
    for (const n of [1, 2, 3]) pod(`p${n}`, { ip: `10.1.0.${n}` });
    const to = (n: number) => ({ addresses: [`10.1.0.${n}`], targetRef: { kind: "Pod", name: `p${n}`, namespace: "app" } });
    service("svc");
    slice("s1", "svc", [to(1), { ...to(2), conditions: { ready: false } }]);
    slice("s2", "svc", [{ ...to(3), hostname: "web-0" }]);
    const stream = get(at);
    expect(ips(stream.next()).sort()).toEqual(["10.1.0.1:8080", "10.1.0.3:8080"]);
    expect(ips(get("web-0.svc.app.svc.cluster.local:8080").next())).toEqual(["10.1.0.3:8080"]);
    slice("s2", "svc", [], true);
    expect(stream.next().map((update) => update.case)).toEqual(["remove"]);
  });
  test("topology: the nearest, or all", () => {
    const { pod, service, slice, get, put } = world({ slices: true });
    for (const n of [1, 2]) pod(`p${n}`, { ip: `10.1.0.${n}` });
    put("node", { metadata: { name: "n1", labels: { "topology.kubernetes.io/zone": "a" } } });
    service("svc", { ports: [{ name: "http", port: 8080 }], topologyKeys: ["topology.kubernetes.io/zone"] });
    slice(
      "s1",
      "svc",
      [1, 2].map((n) => ({
        addresses: [`10.1.0.${n}`],
        targetRef: { kind: "Pod", name: `p${n}`, namespace: "app" },
        zone: n === 1 ? "a" : "b",
      })),
    );
    expect(ips(get(at, "n1").next())).toEqual(["10.1.0.1:8080"]);
    expect(ips(get(at, "n2").next())).toHaveLength(2);
  });
  test("released, nothing is kept", () => {
    const { discovery, get } = world();
    const streams = [get(at), get(at)];
    expect(discovery.size).toBe(1);
    for (const stream of streams) stream.release();
    expect(discovery.size).toBe(0);
  });
});

describe("GetProfile", () => {
  test("D15, D19: by cluster IP", () => {
    const { service, profileOf } = world();
    service("svc");
    const cell = profileOf("10.96.0.1:8080");
    expect(profile(cell)).toMatchObject({
      fullyQualifiedName: "svc.app.svc.cluster.local",
      opaqueProtocol: false,
      retryBudget: { minRetriesPerSecond: 10, ttl: { seconds: 10n } },
    });
    expect(overrides(profile(cell))).toEqual([["svc.app.svc.cluster.local.:8080", 10000]]);
    service("twin");
    expect(cell.value).toMatchObject({
      kind: "refused",
      code: "FailedPrecondition",
      message: expect.stringContaining("app/svc, app/twin"),
    });
  });
  test("D16: by pod IP; a Server changes it; the pod on its way out stays, its successor takes over (Q34)", () => {
    const { pod, profileOf, put } = world();
    pod("a", { uid: "1" });
    const cell = profileOf("10.1.0.1:8080");
    expect(profile(cell)).toMatchObject({
      fullyQualifiedName: "",
      opaqueProtocol: false,
      endpoint: { addr: { port: 8080 }, metricLabels: { pod: "a", namespace: "app" } },
    });
    put("server", {
      metadata: { name: "s", namespace: "app" },
      spec: { podSelector: {}, port: 8080, proxyProtocol: "opaque" },
    } as unknown as KubeObject);
    expect(profile(cell)).toMatchObject({ opaqueProtocol: true, endpoint: { protocolHint: { opaqueTransport: { inboundPort: 4143 } } } });
    pod("a", { uid: "1", deleting: true });
    expect(profile(cell).endpoint?.metricLabels["pod"]).toBe("a");
    expect(profile(world().profileOf("10.1.0.1:8080")).endpoint).toBeUndefined();
    pod("b", { uid: "2", sa: "api" });
    expect(profile(cell).endpoint?.metricLabels).toMatchObject({ pod: "b", serviceaccount: "api" });
  });
  test("D17: by hostIP:hostPort", () => {
    const { pod, profileOf } = world();
    pod("a", { hostIP: "10.9.0.1", ports: [{ containerPort: 8080, hostPort: 80 }] });
    expect(profile(profileOf("10.9.0.1:80")).endpoint?.metricLabels["pod"]).toBe("a");
    expect(profile(profileOf("10.9.0.1:81")).endpoint).toBeUndefined();
  });
  test("two live pods of one IP; ended ones do not count", () => {
    const { pod, profileOf } = world();
    pod("a");
    pod("b", { phase: "Succeeded" });
    expect(profileOf("10.1.0.1:80").value.kind).toBe("profile");
    pod("b");
    expect(profileOf("10.1.0.1:80").value).toMatchObject({ kind: "refused", code: "FailedPrecondition" });
  });
  test("D18: an unknown IP", () => {
    const { profileOf } = world();
    expect(profile(profileOf("192.0.2.1:3306"))).toMatchObject({ opaqueProtocol: true, fullyQualifiedName: "", dstOverrides: [] });
    expect(profile(profileOf("192.0.2.1:80")).opaqueProtocol).toBe(false);
  });
  test("D20, D21: the client's profile, then the service's, then none", () => {
    const route = (name: string) => ({ routes: [{ name, condition: { method: "GET" } }] });
    for (const token of ['{"ns":"c", "nodeName":"n"}\n', "ns:c"]) {
      const { service, profile: put, profileOf } = world();
      service("svc");
      put("c", route("client"));
      put("app", route("server"));
      const cell = profileOf(at, token);
      const names = () => profile(cell).routes.map((one) => one.metricsLabels["route"]);
      expect(names()).toEqual(["client"]);
      put("c", {}, true);
      expect(names()).toEqual(["server"]);
      put("app", {}, true);
      expect(names()).toEqual([]);
    }
  });
  test("D22: a split; overrides of a profile stand above it; the apex may change (Q6)", () => {
    const { service, split, profile: put, profileOf } = world();
    service("svc");
    const cell = profileOf(at);
    split("svc", [
      { service: "a", weight: "900m" },
      { service: "b", weight: "100m" },
    ]);
    expect(overrides(profile(cell))).toEqual([
      ["a.app.svc.cluster.local.:8080", 9000],
      ["b.app.svc.cluster.local.:8080", 1000],
    ]);
    put("app", {
      dstOverrides: [
        { authority: "c.app.svc.cluster.local", weight: 1 },
        { authority: "d.app.svc.cluster.local:81", weight: "500m" },
      ],
    });
    expect(overrides(profile(cell))).toEqual([
      ["c.app.svc.cluster.local:8080", 10000],
      ["d.app.svc.cluster.local:81", 5000],
    ]);
    put("app", {}, true);
    split("another", [{ service: "a", weight: 900 }]);
    expect(overrides(profile(cell))).toEqual([["svc.app.svc.cluster.local.:8080", 10000]]);
  });
  test("D23: opaque ports of a service: its annotation, else the defaults, also when it is not known (Q7)", () => {
    const { service, profileOf } = world();
    const path = "svc.app.svc.cluster.local:3306";
    const cell = profileOf(path);
    expect(profile(cell).opaqueProtocol).toBe(true);
    service("svc", { ports: [{ name: "mysql", port: 3306 }] }, { annotations: { "config.linkerd.io/opaque-ports": "" } });
    expect(profile(cell).opaqueProtocol).toBe(false);
    service("svc", { ports: [{ name: "mysql", port: 3306 }] }, { annotations: { "config.linkerd.io/opaque-ports": "mysql" } });
    expect(profile(cell).opaqueProtocol).toBe(true);
  });
  test("D24: routes with conditions, classes, timeouts", () => {
    const { service, profile: put, profileOf } = world();
    service("svc");
    put("app", {
      routes: [
        {
          name: "a",
          timeout: "300ms",
          isRetryable: true,
          condition: { method: "get", pathRegex: "/a" },
          responseClasses: [
            { condition: { status: { min: 500, max: 599 } }, isFailure: true },
            { condition: { not: { status: { max: 404 } } } },
          ],
        },
        { name: "b", timeout: "0s", condition: { any: [{ pathRegex: "/b" }, { not: { method: "BREW" } }] } },
      ],
      retryBudget: { retryRatio: 0.5, minRetriesPerSecond: 3, ttl: "1m30s" },
    });
    const { routes, retryBudget } = profile(profileOf(at));
    expect(routes[0]).toMatchObject({
      isRetryable: true,
      timeout: { nanos: 300_000_000 },
      metricsLabels: { route: "a" },
      condition: {
        match: {
          case: "all",
          value: {
            matches: [
              { match: { case: "method", value: { type: { case: "registered", value: 0 } } } },
              { match: { case: "path", value: { regex: "/a" } } },
            ],
          },
        },
      },
    });
    expect(routes[0]?.responseClasses).toMatchObject([
      { isFailure: true, condition: { match: { case: "status", value: { min: 500, max: 599 } } } },
      { isFailure: false, condition: { match: { case: "not", value: { match: { case: "status", value: { min: 404, max: 404 } } } } } },
    ]);
    expect(routes[1]?.timeout).toBeUndefined();
    expect(routes[1]?.condition).toMatchObject({
      match: {
        case: "any",
        value: {
          matches: [{}, { match: { case: "not", value: { match: { value: { type: { case: "unregistered", value: "BREW" } } } } } }],
        },
      },
    });
    expect(retryBudget).toMatchObject({ retryRatio: 0.5, minRetriesPerSecond: 3, ttl: { seconds: 90n } });
  });
  test("a profile that cannot be served is named with its field; what was served stands; others are not harmed", () => {
    const { service, profile: put, profileOf, lines } = world();
    service("svc");
    put("app", { routes: [{ name: "a", condition: { method: "GET" } }] });
    const cell = profileOf(at);
    put("app", { routes: [{ name: "b", condition: {} }] });
    expect(profile(cell).routes.map((one) => one.metricsLabels["route"])).toEqual(["a"]);
    expect(lines.join("")).toContain(
      'object="ServiceProfile app/svc.app.svc.cluster.local" mistake="spec.routes[0].condition: a match must have a field set"',
    );
    expect(profile(profileOf("other.app.svc.cluster.local:80")).fullyQualifiedName).toBe("other.app.svc.cluster.local");
  });
  test("Q8: ExternalName, an unknown hostname, no endpoints", () => {
    const { service, endpoints, pod, profileOf } = world();
    service("ext", { type: "ExternalName", externalName: "example.org" });
    expect(profileOf("ext.app.svc.cluster.local:80").value).toMatchObject({ kind: "refused", code: "InvalidArgument" });
    expect(profileOf("web-0.svc.app.svc.cluster.local:80").value).toMatchObject({
      kind: "refused",
      code: "NotFound",
      message: "no endpoints of app/svc",
    });
    pod("web-0", { ip: "10.1.0.7" });
    endpoints("svc", [{ ip: "10.1.0.7", pod: "web-0", hostname: "web-0" }]);
    expect(profile(profileOf("web-0.svc.app.svc.cluster.local:80")).endpoint?.metricLabels).toMatchObject({
      pod: "web-0",
      namespace: "app",
    });
    expect(profileOf("web-1.svc.app.svc.cluster.local:80").value).toMatchObject({
      code: "NotFound",
      message: 'no pod with hostname "web-1" in the endpoints of app/svc',
    });
  });
});

describe("context tokens", () => {
  test.each([
    ['{"ns":"c", "nodeName":"n"}\n', { namespace: "c", nodeName: "n" }],
    ["ns:c", { namespace: "c", nodeName: "" }],
    ["", { namespace: "", nodeName: "" }],
    ["nonsense", { namespace: "", nodeName: "" }],
    ['{"ns":1}', { namespace: "", nodeName: "" }],
    ["null", { namespace: "", nodeName: "" }],
  ])("%p", (token, expected) => {
    expect(parseContext(token)).toEqual(expected);
  });
});

test("over gRPC: two hundred streams of one service, each told once of a change, freed when they go; the server's end is theirs", async () => {
  const { discovery, pod, service, endpoints } = world();
  const metrics = createMetrics();
  const server = await serveGrpc({
    host: "127.0.0.1",
    port: 0,
    metrics,
    routes: destinationRoutes({ discovery, metrics: createDiscoveryMetrics(metrics.registry), log: createLogger({ write: () => {} }) }),
  });
  const client = createClient(Destination, createGrpcTransport({ baseUrl: `http://127.0.0.1:${server.port}` }));
  try {
    pod("a");
    pod("b", { ip: "10.1.0.2" });
    service("svc");
    endpoints("svc", [{ ip: "10.1.0.1", pod: "a" }]);
    const aborts = Array.from({ length: 200 }, () => new AbortController());
    const streams = aborts.map((abort) => client.get({ path: at }, { signal: abort.signal })[Symbol.asyncIterator]());
    const first = await Promise.all(streams.map((stream) => stream.next()));
    expect(first.every(({ value }) => (value as Update).update.case === "add")).toBe(true);
    expect(await metrics.registry.getSingleMetricAsString("endpoints_subscribers")).toContain('hostname=""} 200');
    endpoints("svc", [
      { ip: "10.1.0.1", pod: "a" },
      { ip: "10.1.0.2", pod: "b" },
    ]);
    const second = await Promise.all(streams.map((stream) => stream.next()));
    expect(second.every(({ value }) => ips([(value as Update).update]).join() === "10.1.0.2:8080")).toBe(true);
    for (const abort of aborts.slice(0, 199)) abort.abort();
    await Promise.all(streams.slice(0, 199).map((stream) => stream.next().catch(() => undefined)));
    const refusal = await client
      .get({ path: "10.0.0.1:80" })
      [Symbol.asyncIterator]()
      .next()
      .catch((error: unknown) => ConnectError.from(error));
    expect(refusal).toMatchObject({ code: Code.InvalidArgument, rawMessage: "IP queries not supported by Get API: host=10.0.0.1" });
    const ended = (streams[199] as (typeof streams)[number]).next();
    await server.close();
    expect((await ended).done).toBe(true);
    expect(discovery.size).toBe(0);
    expect(await metrics.registry.getSingleMetricAsString("grpc_server_handled_total")).toContain('grpc_code="InvalidArgument"} 1');
  } finally {
    await server.close();
  }
});

test("over gRPC: a request at the bound of a message and just past it", async () => {
  const { discovery } = world();
  const metrics = createMetrics();
  const server = await serveGrpc({
    host: "127.0.0.1",
    port: 0,
    routes: destinationRoutes({ discovery, metrics: createDiscoveryMetrics(metrics.registry), log: createLogger({ write: () => {} }) }),
  });
  const client = createClient(Destination, createGrpcTransport({ baseUrl: `http://127.0.0.1:${server.port}` }));
  // One byte of tag and three of length go with the path.
  const send = (bytes: number) =>
    client
      .getProfile({ path: "x".repeat(bytes - 4) })
      [Symbol.asyncIterator]()
      .next()
      .catch((error: unknown) => ConnectError.from(error).rawMessage);
  try {
    expect(await send(maxRequestBytes)).toBe("invalid authority: longer than 512 characters");
    expect(await send(maxRequestBytes + 1)).toBe(
      `message size ${maxRequestBytes + 1} is larger than configured readMaxBytes ${maxRequestBytes}`,
    );
  } finally {
    await server.close();
  }
});
