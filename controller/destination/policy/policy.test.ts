// Inbound policies (spec control-plane §5, §13 P1–P15) on the pure index, the messages, and the webhook's rules.
import { describe, expect, test } from "bun:test";
import type { ConnectError } from "@connectrpc/connect";
import type { KubeObject, Pod } from "#kube";
import { createLogger } from "../../runtime/index.ts";
import { admitPolicy } from "./admission.ts";
import { serverMessage } from "./messages.ts";
import { type InboundServer, PolicyIndex } from "./policy-index.ts";
import { maxClients, parseServerAuthorization } from "./resources.ts";
import { parsePortSpec } from "./service.ts";

const clusterNetworks = ["10.0.0.0/8", "192.168.0.0/16"];

function world(
  defaultPolicy:
    | "all-unauthenticated"
    | "all-authenticated"
    | "cluster-unauthenticated"
    | "cluster-authenticated"
    | "deny" = "all-unauthenticated",
) {
  const lines: string[] = [];
  const index = new PolicyIndex({
    config: { controlNamespace: "linkerd", identityDomain: "cluster.local", defaultPolicy, clusterNetworks },
    log: createLogger({ write: (line) => void lines.push(line) }),
    schedule: (flush) => flush(),
  });
  const known = new Map<string, KubeObject>();
  const change = <T extends KubeObject>(
    object: T,
    deliver: (change: { type: "added"; object: T } | { type: "modified"; object: T; previous: T } | { type: "deleted"; object: T }) => void,
    type: "put" | "delete" = "put",
  ) => {
    const key = `${object.kind}/${object.metadata.namespace}/${object.metadata.name}`;
    const previous = known.get(key) as T | undefined;
    if (type === "delete") deliver({ type: "deleted", object });
    else if (previous) deliver({ type: "modified", object, previous });
    else deliver({ type: "added", object });
    known.set(key, object);
  };
  return {
    index,
    lines,
    pod(
      name: string,
      {
        annotations = {},
        labels = { app: name },
        ports = [{ name: "http", containerPort: 8080 }],
        containers,
        meshed = true,
        namespace = "app",
      }: {
        annotations?: Record<string, string>;
        labels?: Record<string, string>;
        ports?: { name?: string; containerPort: number; protocol?: string }[];
        containers?: NonNullable<Pod["spec"]>["containers"];
        meshed?: boolean;
        namespace?: string;
      } = {},
      type?: "delete",
    ) {
      change<Pod>(
        {
          kind: "Pod",
          metadata: {
            name,
            namespace,
            annotations,
            labels: { ...labels, ...(meshed ? { "linkerd.io/control-plane-ns": "linkerd" } : {}) },
          },
          spec: { containers: containers ?? [{ name: "app", ports }] },
        },
        (one) => index.podChanged(one),
        type,
      );
    },
    server(
      name: string,
      spec: Record<string, unknown>,
      type?: "delete",
      createdAt = "2021-01-01T00:00:00Z",
      labels: Record<string, string> = { server: name },
    ) {
      change(
        { kind: "Server", metadata: { name, namespace: "app", creationTimestamp: createdAt, labels }, spec } as KubeObject,
        (one) => index.serverChanged(one),
        type,
      );
    },
    authorization(name: string, spec: Record<string, unknown>, type?: "delete") {
      change(
        { kind: "ServerAuthorization", metadata: { name, namespace: "app" }, spec } as KubeObject,
        (one) => index.authorizationChanged(one),
        type,
      );
    },
    at(pod: string, port = 8080, namespace = "app"): InboundServer | undefined {
      const cell = index.watch({ namespace, pod, port });
      const { value } = cell;
      cell.release();
      return value;
    },
  };
}

const everywhere = [
  { net: "0.0.0.0/0", except: [] },
  { net: "::/0", except: [] },
];
const inCluster = clusterNetworks.map((net) => ({ net, except: [] }));
const anyIdentity = { kind: "identities", names: [], suffixes: [[]] } as const;

describe("default policies", () => {
  test("P1: a pod that is not known, then is, then is gone", () => {
    const { index, pod } = world();
    const cell = index.watch({ namespace: "app", pod: "web", port: 8080 });
    expect(cell.value).toBeUndefined();
    pod("web");
    expect(cell.value?.name).toBe("default:all-unauthenticated");
    pod("web", {}, "delete");
    expect(cell.value).toBeUndefined();
    cell.release();
    expect(index.size).toBe(0);
  });
  const rows: [Parameters<typeof world>[0], InboundServer["authorizations"]][] = [
    ["all-unauthenticated", [{ name: "default:all-unauthenticated", networks: everywhere, authentication: { kind: "unauthenticated" } }]],
    ["all-authenticated", [{ name: "default:all-authenticated", networks: everywhere, authentication: anyIdentity }]],
    [
      "cluster-unauthenticated",
      [{ name: "default:cluster-unauthenticated", networks: inCluster, authentication: { kind: "unauthenticated" } }],
    ],
    ["cluster-authenticated", [{ name: "default:cluster-authenticated", networks: inCluster, authentication: anyIdentity }]],
    ["deny", []],
  ];
  test.each(rows)("P2: cluster default %s", (policy, authorizations) => {
    const { pod, at } = world(policy);
    pod("web");
    expect(at("web")).toEqual({ name: `default:${policy}`, protocol: "unknown", authorizations });
  });
  test("P3, P4: the pod's annotation; a bogus one is ignored and told", () => {
    const { pod, at, lines } = world();
    pod("web", { annotations: { "config.linkerd.io/default-inbound-policy": "deny" } });
    expect(at("web")?.name).toBe("default:deny");
    pod("web", { annotations: { "config.linkerd.io/default-inbound-policy": "denny" } });
    expect(at("web")?.name).toBe("default:all-unauthenticated");
    expect(lines.join("")).toContain('pod=app/web mistake="config.linkerd.io/default-inbound-policy: \\"denny\\" is not a default policy"');
  });
  test("P14: identity required on a port; deny stays deny", () => {
    const { pod, at } = world();
    const annotations = { "config.linkerd.io/proxy-require-identity-inbound-ports": "8080" };
    pod("web", { annotations });
    expect(at("web")?.name).toBe("default:all-authenticated");
    expect(at("web", 9090)?.name).toBe("default:all-unauthenticated");
    pod("web", { annotations: { ...annotations, "config.linkerd.io/default-inbound-policy": "deny" } });
    expect(at("web")?.name).toBe("default:deny");
  });
  test("Q18: opaque ports of the annotation, also by name", () => {
    const { pod, at } = world();
    pod("web", { annotations: { "config.linkerd.io/opaque-ports": "http,oops,9000-9001" } });
    expect([at("web")?.protocol, at("web", 9001)?.protocol, at("web", 9002)?.protocol]).toEqual(["opaque", "opaque", "unknown"]);
  });
  test("a pod outside the mesh is not known", () => {
    const { pod, at } = world();
    pod("web", { meshed: false });
    expect(at("web")).toBeUndefined();
  });
});

describe("Servers and authorizations", () => {
  test("P5: by name, over all containers; TCP only", () => {
    const { pod, at, server } = world();
    pod("web", {
      containers: [
        { name: "a", ports: [{ name: "http", containerPort: 8080 }] },
        {
          name: "b",
          ports: [
            { name: "http", containerPort: 9090 },
            { name: "dns", containerPort: 53, protocol: "UDP" },
          ],
        },
      ],
    });
    server("web", { podSelector: { matchLabels: { app: "web" } }, port: "http", proxyProtocol: "gRPC" });
    expect([at("web", 8080)?.name, at("web", 9090)?.name, at("web", 8081)?.name]).toEqual(["web", "web", "default:all-unauthenticated"]);
    expect(at("web")?.protocol).toBe("gRPC");
  });
  test("P6, P9: without authorizations nobody may; deleted, the default returns", () => {
    const { pod, at, server } = world();
    pod("web");
    server("web", { podSelector: {}, port: 8080 });
    expect(at("web")).toEqual({ name: "web", protocol: "unknown", authorizations: [] });
    server("web", {}, "delete");
    expect(at("web")?.name).toBe("default:all-unauthenticated");
  });
  test("P7, P8: by selector, a service account of the own namespace, the cluster's networks", () => {
    const { pod, at, server, authorization } = world();
    pod("web");
    server("web", { podSelector: {}, port: 8080 });
    authorization("web", {
      server: { selector: { matchLabels: { server: "web" } } },
      client: { meshTLS: { serviceAccounts: [{ name: "web" }, { name: "api", namespace: "other" }] } },
    });
    expect(at("web")?.authorizations).toEqual([
      {
        name: "web",
        networks: inCluster,
        authentication: {
          kind: "identities",
          names: ["web.app.serviceaccount.identity.linkerd.cluster.local", "api.other.serviceaccount.identity.linkerd.cluster.local"],
          suffixes: [],
        },
      },
    ]);
  });
  test("identities: exact, any, a suffix; networks with exceptions", () => {
    const { pod, at, server, authorization } = world();
    pod("web");
    server("web", { podSelector: {}, port: 8080 });
    authorization("a", {
      server: { name: "web" },
      client: {
        networks: [{ cidr: "10.0.0.0/8", except: ["10.1.0.0/16"] }, { cidr: "192.168.1.1" }],
        meshTLS: { identities: ["*", "*.app.serviceaccount.identity.linkerd.cluster.local", "x.y"] },
      },
    });
    expect(at("web")?.authorizations[0]).toEqual({
      name: "a",
      networks: [
        { net: "10.0.0.0/8", except: ["10.1.0.0/16"] },
        { net: "192.168.1.1", except: [] },
      ],
      authentication: {
        kind: "identities",
        names: ["x.y"],
        suffixes: [[], ["app", "serviceaccount", "identity", "linkerd", "cluster", "local"]],
      },
    });
  });
  test("Q1: NotIn takes pods whose label is not in the list", () => {
    const { pod, at, server } = world();
    pod("web");
    pod("api");
    server("not-web", { podSelector: { matchExpressions: [{ key: "app", operator: "NotIn", values: ["web"] }] }, port: 8080 });
    expect([at("web")?.name, at("api")?.name]).toEqual(["default:all-unauthenticated", "not-web"]);
  });
  test("other namespaces are not touched", () => {
    const { pod, at, server } = world();
    pod("web", { namespace: "other" });
    server("web", { podSelector: {}, port: 8080 });
    expect(at("web", 8080, "other")?.name).toBe("default:all-unauthenticated");
  });
  test("of two that select a port the older counts, and it is told", () => {
    const { pod, at, server, lines } = world();
    pod("web");
    server("young", { podSelector: {}, port: 8080 }, undefined, "2022-01-01T00:00:00Z");
    server("old", { podSelector: {}, port: 8080 }, undefined, "2021-01-01T00:00:00Z");
    expect(at("web")?.name).toBe("old");
    expect(lines.join("")).toContain('servers="old,young"');
  });
  test("Q21: a bad object counts as absent, is named with its field, and harms no other", () => {
    const { pod, at, server, authorization, lines } = world();
    pod("web");
    server("web", { podSelector: {}, port: 8080 });
    authorization("good", { server: { name: "web" }, client: { unauthenticated: true } });
    authorization("bad", { server: { name: "web" }, client: { unauthenticated: true } });
    expect(at("web")?.authorizations.map((one) => one.name)).toEqual(["bad", "good"]);
    authorization("bad", { server: { name: "web" }, client: { meshTLS: {} } });
    server("worse", { podSelector: { matchExpressions: [{ key: "app", operator: "Like" }] }, port: 8080 });
    expect(at("web")?.authorizations.map((one) => one.name)).toEqual(["good"]);
    expect(lines.join("")).toContain('object=app/bad mistake="spec.client.meshTLS: names no client');
    expect(lines.join("")).toContain('object=app/worse mistake="spec.podSelector.matchExpressions[0].operator');
  });
  test("a change that changes nothing is not told; one that does is told once", () => {
    const { index, pod, server, authorization } = world();
    pod("web");
    server("web", { podSelector: {}, port: 8080 });
    const cell = index.watch({ namespace: "app", pod: "web", port: 8080 });
    let calls = 0;
    cell.onChange(() => calls++);
    pod("web", { annotations: { note: "x" } });
    pod("other");
    authorization("elsewhere", { server: { name: "other" }, client: { unauthenticated: true } });
    expect(calls).toBe(0);
    authorization("here", { server: { name: "web" }, client: { unauthenticated: true } });
    expect(calls).toBe(1);
    cell.release();
  });
});

describe("messages", () => {
  const message = (server: Partial<InboundServer>) => serverMessage({ name: "web", protocol: "unknown", authorizations: [], ...server });
  test("protocols", () => {
    expect(message({}).protocol?.kind).toMatchObject({ case: "detect", value: { timeout: { seconds: 10n } } });
    for (const [protocol, name] of [
      ["HTTP/1", "http1"],
      ["HTTP/2", "http2"],
      ["gRPC", "grpc"],
      ["opaque", "opaque"],
      ["TLS", "tls"],
    ] as const)
      expect(message({ protocol }).protocol?.kind.case).toBe(name);
  });
  test("networks of both families and every kind of client", () => {
    const { authorizations } = message({
      authorizations: [
        {
          name: "a",
          networks: [
            { net: "10.0.0.0/8", except: ["10.1.0.0/16"] },
            { net: "fd00::/8", except: [] },
          ],
          authentication: { kind: "tls" },
        },
        { name: "b", networks: everywhere, authentication: { kind: "identities", names: ["x.y"], suffixes: [[], ["a", "b"]] } },
        { name: "c", networks: everywhere, authentication: { kind: "unauthenticated" } },
      ],
    });
    expect(authorizations[0]?.networks[0]).toMatchObject({
      net: { ip: { ip: { case: "ipv4", value: 0x0a000000 } }, prefixLen: 8 },
      except: [{ prefixLen: 16 }],
    });
    expect(authorizations[0]?.networks[1]?.net?.ip?.ip).toMatchObject({ case: "ipv6", value: { first: 0xfd00n << 48n, last: 0n } });
    expect(authorizations[0]?.authentication?.permit).toMatchObject({ case: "meshTLS", value: { clients: { case: "unauthenticated" } } });
    expect(authorizations[1]?.authentication?.permit).toMatchObject({
      case: "meshTLS",
      value: {
        clients: { case: "identities", value: { identities: [{ name: "x.y" }], suffixes: [{ parts: [] }, { parts: ["a", "b"] }] } },
      },
    });
    expect(authorizations[2]?.authentication?.permit.case).toBe("unauthenticated");
    expect(authorizations[2]?.labels).toEqual({ name: "c" });
  });
});

describe("P15: what names no port", () => {
  test.each([
    ["app", 80, "Invalid workload: app"],
    [":web", 80, "Invalid workload: :web"],
    ["app:", 80, "Invalid workload: app:"],
    ["app:web", 0, "Invalid port: 0"],
    ["app:web", 70_000, "Invalid port: 70000"],
    [`${"a".repeat(1024)}`, 80, `Invalid workload: ${"a".repeat(1024)}`],
    [`${"a".repeat(1025)}`, 80, "Invalid workload: longer than 1024 characters"],
  ])("%s %d", (workload, port, message) => {
    let error: ConnectError | undefined;
    try {
      parsePortSpec({ workload, port });
    } catch (thrown) {
      error = thrown as ConnectError;
    }
    expect(error?.rawMessage).toBe(message);
    expect(error?.code).toBe(3);
  });
  test("both forms of a workload", () => {
    expect(parsePortSpec({ workload: "app:web", port: 1 })).toEqual({ namespace: "app", pod: "web", port: 1 });
    expect(parsePortSpec({ workload: '{"ns":"app","pod":"web"}', port: 65535 })).toEqual({ namespace: "app", pod: "web", port: 65535 });
  });
});

describe("admission", () => {
  const existing = [
    { metadata: { name: "web", namespace: "app" }, spec: { podSelector: { matchLabels: { app: "web" } }, port: 8080 } },
  ] as unknown as KubeObject[];
  const ask = (kind: string, spec: Record<string, unknown>, name = "new") =>
    admitPolicy(
      { uid: "1", kind: { group: "policy.linkerd.io", version: "v1beta1", kind }, namespace: "app", object: { metadata: { name }, spec } },
      async () => existing,
    );
  const saz = (client: Record<string, unknown>) => ({ server: { name: "web" }, client });
  const network = (cidr: string, ...except: string[]) =>
    saz({ unauthenticated: true, networks: [{ cidr, ...(except.length > 0 ? { except } : {}) }] });
  const rows: [string, string, Record<string, unknown>, string | null][] = [
    [
      "P10 same selector and port",
      "Server",
      { podSelector: { matchLabels: { app: "web" } }, port: 8080 },
      "identical server spec already exists",
    ],
    ["P11 empty selector", "Server", { podSelector: {}, port: 8080 }, "overlap with those of Server app/web"],
    ["another port", "Server", { podSelector: {}, port: 8081 }, null],
    ["another selector", "Server", { podSelector: { matchLabels: { app: "api" } }, port: 8080 }, null],
    ["port out of range", "Server", { podSelector: {}, port: 70_000 }, "spec.port: 70000"],
    ["unknown protocol", "Server", { podSelector: {}, port: 1, proxyProtocol: "HTTP3" }, 'spec.proxyProtocol: "HTTP3"'],
    [
      "bad selector",
      "Server",
      { podSelector: { matchExpressions: [{ key: "a", operator: "In" }] }, port: 1 },
      "spec.podSelector.matchExpressions[0].values",
    ],
    ["P12 except covers cidr", "ServerAuthorization", network("10.0.0.0/16", "10.0.0.0/8"), "spec.client.networks[0].except[0]"],
    ["P12 except outside cidr", "ServerAuthorization", network("10.0.0.0/16", "192.168.0.0/24"), "is not inside cidr"],
    ["P12 bare IP", "ServerAuthorization", network("10.0.0.1"), null],
    ["P12 bad prefix", "ServerAuthorization", network("10.0.0.0/40"), 'spec.client.networks[0].cidr: "10.0.0.0/40" is not a network'],
    ["IPv6", "ServerAuthorization", network("fd00::/8", "fd01::/16"), null],
    [
      "P13 both",
      "ServerAuthorization",
      saz({ unauthenticated: true, meshTLS: { identities: ["*"] } }),
      "spec.client: unauthenticated and meshTLS exclude each other",
    ],
    [
      "TLS without identity, with identities",
      "ServerAuthorization",
      saz({ meshTLS: { unauthenticatedTLS: true, identities: ["*"] } }),
      "unauthenticatedTLS excludes",
    ],
    ["TLS without identity", "ServerAuthorization", saz({ meshTLS: { unauthenticatedTLS: true } }), null],
    ["Q21 no client", "ServerAuthorization", saz({}), "spec.client: names no client"],
    ["no server", "ServerAuthorization", { client: { unauthenticated: true } }, "spec.server: required"],
    [
      "two servers",
      "ServerAuthorization",
      { server: { name: "a", selector: {} }, client: { unauthenticated: true } },
      "exactly one of name and selector",
    ],
    ["bad identity", "ServerAuthorization", saz({ meshTLS: { identities: ["a.*.b"] } }), "spec.client.meshTLS.identities[0]"],
    ["another kind", "Pod", {}, "unsupported resource type: policy.linkerd.io.v1beta1.Pod"],
  ];
  test.each(rows)("%s", async (_, kind, spec, message) => {
    const answer = await ask(kind, spec);
    if (message === null) expect(answer).toEqual({ allowed: true });
    else {
      expect(answer.allowed).toBe(false);
      expect(answer.message).toContain(message);
    }
  });
  test("an update is not compared with itself", async () => {
    expect(await ask("Server", { podSelector: { matchLabels: { app: "web" } }, port: 8080 }, "web")).toEqual({ allowed: true });
  });
  test("the bound of clients", () => {
    const at = (count: number) =>
      parseServerAuthorization({
        metadata: { name: "a", namespace: "app" },
        spec: saz({ meshTLS: { identities: Array.from({ length: count }, (_, i) => `a${i}.b`) } }),
      } as KubeObject).mistakes;
    expect(at(maxClients)).toBeUndefined();
    expect(at(maxClients + 1)).toEqual([`spec.client.meshTLS.identities: more than ${maxClients} entries`]);
  });
});
