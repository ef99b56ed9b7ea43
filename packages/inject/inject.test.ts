// The injector's table of cases (spec control-plane §13, I1–I28), on the real chart.
import { describe, expect, test } from "bun:test";
import { applyPatch, type Operation } from "fast-json-patch";
import { controlPlaneChart, controlPlaneDefaults, overlay, type Values } from "#chart";
import {
  decide,
  InjectError,
  injectPatch,
  opaquePortsPatch,
  parsePortList,
  podTemplate,
  readableReason,
  uninject,
  type Workload,
} from "./index.ts";

const chart = controlPlaneChart();
const base = overlay(controlPlaneDefaults(), { identityTrustAnchorsPEM: "-----BEGIN CERTIFICATE-----\nYWJj\n-----END CERTIFICATE-----\n" });

type Container = {
  name: string;
  image?: string;
  args?: string[];
  env?: { name: string; value?: string }[];
  lifecycle?: Record<string, { exec: { command: string[] } }>;
  resources?: { limits?: Record<string, string> };
  securityContext?: { capabilities?: { add?: string[]; drop?: string[] }; runAsUser?: number };
  restartPolicy?: string;
  startupProbe?: unknown;
};
type Spec = { containers: Container[]; initContainers?: Container[]; volumes?: { name: string }[] };
type Result = Workload & { metadata: { annotations: Record<string, string>; labels: Record<string, string> }; spec: Spec };

function pod({
  annotations,
  containers,
  spec = {},
}: {
  annotations?: Record<string, string>;
  containers?: Record<string, unknown>[];
  spec?: Record<string, unknown>;
} = {}): Workload {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "web-0", ...(annotations ? { annotations } : {}) },
    spec: {
      containers: (containers ?? [{}]).map((container, index) => ({
        name: `app${index}`,
        image: "app:1",
        volumeMounts: [{ name: "token", mountPath: "/var/run/secrets/kubernetes.io/serviceaccount", readOnly: true }],
        ...container,
      })),
      ...spec,
    },
  };
}

function inject(
  object: Workload,
  { ns = {}, values = base, owner }: { ns?: Record<string, string>; values?: Values; owner?: { kind: string; name: string } } = {},
) {
  const template = podTemplate(object);
  if (!template) throw new Error("no template");
  const injection = injectPatch({
    chart,
    values,
    template,
    namespace: "app",
    namespaceAnnotations: ns,
    owner,
    createdBy: "linkerd/proxy-injector test",
  });
  const result = applyPatch(structuredClone(object), structuredClone(injection.operations) as Operation[]).newDocument as Result;
  const proxy = [...result.spec.containers, ...(result.spec.initContainers ?? [])].find((one) => one.name === "linkerd-proxy") as Container;
  const init = result.spec.initContainers?.find((one) => one.name === "linkerd-init");
  const env = (name: string) => proxy.env?.find((one) => one.name === name)?.value;
  const argument = (flag: string) => init?.args?.[(init.args?.indexOf(flag) ?? -2) + 1];
  return { ...injection, result, proxy, init, env, argument };
}

const decision = (object: Workload, ns: Record<string, string> = {}) =>
  decide({ template: podTemplate(object), namespaceAnnotations: ns, where: "webhook" });
const enabled = { "linkerd.io/inject": "enabled" };

describe("decision", () => {
  const rows: [string, Workload, Record<string, string>, ReturnType<typeof decision>][] = [
    ["I1 namespace enabled", pod(), enabled, { inject: true, reasons: [], annotationAt: "namespace" }],
    [
      "I2 pod disabled",
      pod({ annotations: { "linkerd.io/inject": "disabled" } }),
      enabled,
      { inject: false, reasons: ["injection_disable_annotation_present"], annotationAt: "workload" },
    ],
    ["I3 pod enabled", pod({ annotations: enabled }), {}, { inject: true, reasons: [], annotationAt: "workload" }],
    [
      "I4 namespace says yes",
      pod(),
      { "linkerd.io/inject": "yes" },
      { inject: false, reasons: ["invalid_inject_annotation_at_ns"], annotationAt: "" },
    ],
    [
      "pod says yes",
      pod({ annotations: { "linkerd.io/inject": "yes" } }),
      {},
      { inject: false, reasons: ["invalid_inject_annotation_at_workload"], annotationAt: "" },
    ],
    ["nothing said", pod(), {}, { inject: false, reasons: ["injection_enable_annotation_absent"], annotationAt: "" }],
    [
      "I7 host network",
      pod({ spec: { hostNetwork: true } }),
      enabled,
      { inject: false, reasons: ["host_network_enabled"], annotationAt: "namespace" },
    ],
    [
      "I8 istio sidecar",
      pod({ containers: [{ name: "istio-proxy" }] }),
      enabled,
      { inject: false, reasons: ["sidecar_already_exists"], annotationAt: "namespace" },
    ],
    [
      "I9 no token",
      pod({ containers: [{ volumeMounts: [] }] }),
      enabled,
      { inject: false, reasons: ["disabled_automount_service_account_token_account"], annotationAt: "namespace" },
    ],
    [
      "I10 UDP port",
      pod({ containers: [{ ports: [{ containerPort: 53, protocol: "UDP" }] }] }),
      enabled,
      { inject: true, reasons: [], annotationAt: "namespace" },
    ],
    [
      "I11 two reasons in order",
      pod({ spec: { hostNetwork: true, automountServiceAccountToken: false } }),
      enabled,
      { inject: false, reasons: ["host_network_enabled", "disabled_automount_service_account_token_account"], annotationAt: "namespace" },
    ],
    ["a Service", { kind: "Service", metadata: {} }, enabled, { inject: false, reasons: ["unsupported_resource"], annotationAt: "" }],
  ];
  test.each(rows)("%s", (_, object, ns, expected) => {
    expect(decision(object, ns)).toEqual(expected);
    for (const reason of expected.reasons) expect(readableReason[reason].length).toBeGreaterThan(0);
  });
});

describe("patch", () => {
  test("I1: init container last, proxy first, labels", () => {
    const { result } = inject(pod({ spec: { initContainers: [{ name: "own" }] } }), { owner: { kind: "deployment", name: "web" } });
    expect(result.spec.initContainers?.map((one) => one.name)).toEqual(["own", "linkerd-init"]);
    expect(result.spec.containers.map((one) => one.name)).toEqual(["linkerd-proxy", "app0"]);
    expect(result.metadata.labels).toEqual({
      "linkerd.io/control-plane-ns": "linkerd",
      "linkerd.io/workload-ns": "app",
      "linkerd.io/proxy-deployment": "web",
    });
    expect(result.metadata.annotations).toEqual({
      "linkerd.io/created-by": "linkerd/proxy-injector test",
      "linkerd.io/proxy-version": "stable-0.1.0",
      "linkerd.io/identity-mode": "default",
    });
    expect(result.spec.volumes?.map((one) => one.name)).toEqual(["linkerd-proxy-init-xtables-lock", "linkerd-identity-end-entity"]);
  });
  test("the proxy waits before the application starts", () => {
    const { proxy } = inject(pod());
    expect(proxy.lifecycle?.["postStart"]?.exec.command).toEqual(["/usr/local/bin/fairlead", "proxy-await", "--timeout=2m", "--port=4191"]);
    expect(proxy.args).toEqual(["proxy"]);
  });
  test("the environment: variables that others name come first; anchors whole", () => {
    const { proxy, env } = inject(
      pod({ containers: [{ ports: [{ containerPort: 8080 }, { containerPort: 9090 }] }, { ports: [{ containerPort: 8080 }] }] }),
    );
    const names = proxy.env?.map((one) => one.name) ?? [];
    expect(names.indexOf("_pod_sa")).toBeLessThan(names.indexOf("LINKERD2_PROXY_IDENTITY_LOCAL_NAME"));
    expect(env("LINKERD2_PROXY_INBOUND_PORTS")).toBe("8080,9090,8080");
    expect(env("LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS")).toBe("-----BEGIN CERTIFICATE-----\nYWJj\n-----END CERTIFICATE-----\n");
    expect(env("LINKERD2_PROXY_DESTINATION_CONTEXT")).toBe('{"ns":"$(_pod_ns)", "nodeName":"$(_pod_nodeName)"}\n');
    expect(env("LINKERD2_PROXY_DESTINATION_SVC_ADDR")).toBe("linkerd-dst-headless.linkerd.svc.cluster.local.:8086");
    expect(env("LINKERD2_PROXY_INBOUND_DEFAULT_POLICY")).toBe("all-unauthenticated");
  });
  test("I5, I6: ingress mode by the pod's annotation only", () => {
    expect(inject(pod(), { ns: { "linkerd.io/inject": "ingress" } }).env("LINKERD2_PROXY_INGRESS_MODE")).toBeUndefined();
    expect(inject(pod({ annotations: { "linkerd.io/inject": "ingress" } })).env("LINKERD2_PROXY_INGRESS_MODE")).toBe("true");
  });
  test("I12: a namespace's annotation is copied and applied", () => {
    const { result, proxy, env } = inject(pod(), { ns: { "config.linkerd.io/proxy-cpu-limit": "1500m" } });
    expect(result.metadata.annotations["config.linkerd.io/proxy-cpu-limit"]).toBe("1500m");
    expect(proxy.resources?.limits?.["cpu"]).toBe("1500m");
    expect(env("LINKERD2_PROXY_CORES")).toBe("2");
  });
  test("I13: the pod's annotation outranks the namespace's", () => {
    const { result, env } = inject(pod({ annotations: { "config.linkerd.io/proxy-log-level": "trace" } }), {
      ns: { "config.linkerd.io/proxy-log-level": "debug" },
    });
    expect(env("LINKERD2_PROXY_LOG")).toBe("trace");
    expect(result.metadata.annotations["config.linkerd.io/proxy-log-level"]).toBe("trace");
  });
  test("I14 with quirk Q29: every key is inherited", () => {
    expect(inject(pod(), { ns: { "config.linkerd.io/enable-gateway": "true" } }).env("LINKERD2_PROXY_INBOUND_GATEWAY_SUFFIXES")).toBe(
      "svc.cluster.local.",
    );
  });
  const opaque: [string, Record<string, unknown>[], Record<string, string> | undefined, string | undefined, string | undefined][] = [
    ["I15 a default port is exposed", [{ ports: [{ containerPort: 3306 }, { containerPort: 8080 }] }], undefined, "3306", "3306"],
    ["I16 none is exposed", [{ ports: [{ containerPort: 8080 }] }], undefined, undefined, "25,587,3306,4444,5432,6379,9300,11211"],
    ["I17 empty", [{ ports: [{ containerPort: 3306 }] }], { "config.linkerd.io/opaque-ports": "" }, "", undefined],
    [
      "I18 names and ranges",
      [{ ports: [{ name: "mysql", containerPort: 3306 }] }],
      { "config.linkerd.io/opaque-ports": "mysql,9000-9002" },
      "mysql,9000-9002",
      "3306,9000,9001,9002",
    ],
  ];
  test.each(opaque)("%s", (_, containers, annotations, annotation, value) => {
    const { result, env } = inject(pod({ containers, ...(annotations ? { annotations } : {}) }));
    expect(result.metadata.annotations["config.linkerd.io/opaque-ports"]).toBe(annotation as string);
    expect(env("LINKERD2_PROXY_INBOUND_PORTS_DISABLE_PROTOCOL_DETECTION")).toBe(value as string);
  });
  test("I22: await disabled", () => {
    const { result, proxy } = inject(pod({ annotations: { "config.linkerd.io/proxy-await": "disabled" } }));
    expect(result.spec.containers.map((one) => one.name)).toEqual(["app0", "linkerd-proxy"]);
    expect(proxy.lifecycle).toBeUndefined();
  });
  test("I23: wait before exit", () => {
    expect(
      inject(pod({ annotations: { "config.alpha.linkerd.io/proxy-wait-before-exit-seconds": "30" } })).proxy.lifecycle?.["preStop"]?.exec
        .command,
    ).toEqual(["/bin/sleep", "30"]);
  });
  test("I24, I25: identity disabled", () => {
    const { result, env } = inject(pod({ annotations: { "config.linkerd.io/disable-identity": "true" } }));
    expect(env("LINKERD2_PROXY_IDENTITY_DISABLED")).toBe("disabled");
    expect(env("LINKERD2_PROXY_IDENTITY_DIR")).toBeUndefined();
    expect(result.spec.volumes?.map((one) => one.name)).toEqual(["linkerd-proxy-init-xtables-lock"]);
    expect(result.metadata.annotations["linkerd.io/identity-mode"]).toBe("disabled");
    expect(() =>
      inject(
        pod({
          annotations: { "config.linkerd.io/disable-identity": "true", "config.linkerd.io/proxy-require-identity-inbound-ports": "8080" },
        }),
      ),
    ).toThrow(InjectError);
  });
  test("I26: CNI", () => {
    const { result } = inject(pod(), { values: overlay(base, { cniEnabled: true }) });
    expect(result.spec.initContainers).toBeUndefined();
    expect(result.spec.volumes?.map((one) => one.name)).toEqual(["linkerd-identity-end-entity"]);
  });
  test("I27: capabilities of the first container", () => {
    const { proxy, init } = inject(pod({ containers: [{ securityContext: { capabilities: { drop: ["NET_RAW", "CHOWN"] } } }] }));
    expect(init?.securityContext?.capabilities).toEqual({ add: ["NET_ADMIN", "NET_RAW"], drop: ["CHOWN"] });
    expect(proxy.securityContext?.capabilities).toEqual({ drop: ["NET_RAW", "CHOWN"] });
  });
  test("I28: skipped ports replace the chart's; control and admin stay", () => {
    expect(inject(pod()).argument("--inbound-ports-to-ignore")).toBe("4190,4191,4567,4568");
    expect(
      inject(pod({ annotations: { "config.linkerd.io/skip-inbound-ports": "8000-8010" } })).argument("--inbound-ports-to-ignore"),
    ).toBe("4190,4191,8000-8010");
  });
  test("native sidecar: redirection and proxy before the pod's own init containers, a startup probe in place of the hook", () => {
    const { result, proxy } = inject(
      pod({ annotations: { "config.linkerd.io/proxy-enable-native-sidecar": "true" }, spec: { initContainers: [{ name: "own" }] } }),
    );
    expect(result.spec.initContainers?.map((one) => one.name)).toEqual(["linkerd-init", "linkerd-proxy", "own"]);
    expect(result.spec.containers.map((one) => one.name)).toEqual(["app0"]);
    expect(proxy.restartPolicy).toBe("Always");
    expect(proxy.startupProbe).toBeDefined();
    expect(proxy.lifecycle).toBeUndefined();
  });
  test("ports of the proxy move everywhere together", () => {
    const { proxy, env, argument } = inject(
      pod({
        annotations: {
          "config.linkerd.io/inbound-port": "5143",
          "config.linkerd.io/admin-port": "5191",
          "config.linkerd.io/proxy-uid": "1234",
        },
      }),
    );
    expect(env("LINKERD2_PROXY_INBOUND_LISTEN_ADDR")).toBe("0.0.0.0:5143");
    expect(argument("--incoming-proxy-port")).toBe("5143");
    expect(argument("--proxy-uid")).toBe("1234");
    expect(proxy.securityContext?.runAsUser).toBe(1234);
    expect(proxy.lifecycle?.["postStart"]?.exec.command.at(-1)).toBe("--port=5191");
  });
  test("Q17, Q22: the debug container obeys its annotations; values are data, not JSON text", () => {
    const { result } = inject(
      pod({ annotations: { "config.linkerd.io/enable-debug-sidecar": "true", "config.linkerd.io/debug-image": "example.org/debug" } }),
      { ns: { "config.linkerd.io/proxy-log-level": 'a"b\\c' } },
    );
    expect(result.spec.containers.at(-1)?.image).toBe("example.org/debug:stable-2.11.5");
    expect(result.metadata.annotations["config.linkerd.io/proxy-log-level"]).toBe('a"b\\c');
  });
  test("a template in a Deployment, without metadata", () => {
    const object: Workload = {
      kind: "Deployment",
      metadata: { name: "web" },
      spec: { template: { spec: { containers: [{ name: "app" }] } } },
    };
    const template = podTemplate(object);
    const { operations } = injectPatch({
      chart,
      values: base,
      template: template as NonNullable<typeof template>,
      namespace: "app",
      namespaceAnnotations: {},
      createdBy: "x",
    });
    expect(operations.slice(0, 2).map((one) => one.path)).toEqual(["/spec/template/metadata", "/spec/template/metadata/annotations"]);
    const result = applyPatch(structuredClone(object), operations as Operation[]).newDocument as { spec: { template: { spec: Spec } } };
    expect(result.spec.template.spec.containers.map((one) => one.name)).toEqual(["linkerd-proxy", "app"]);
  });
});

describe("annotations that say nothing valid are ignored, and named", () => {
  const rows: [string, string, string][] = [
    ["config.linkerd.io/admin-port", "70000", "is not a port"],
    ["config.linkerd.io/proxy-uid", "root", "is not a user id"],
    ["config.linkerd.io/proxy-cpu-limit", "two", "is not a quantity"],
    ["config.linkerd.io/proxy-outbound-connect-timeout", "5 seconds", "is not a duration"],
    ["config.linkerd.io/disable-identity", "maybe", "is not a boolean"],
    ["config.linkerd.io/default-inbound-policy", "allow", "is not one of all-unauthenticated"],
    ["config.linkerd.io/image-pull-policy", "Sometimes", "is not one of Always"],
    ["config.linkerd.io/skip-outbound-ports", "25,x,8000-7000", 'ignored "x", "8000-7000"'],
    ["config.linkerd.io/skip-subnets", "10.0.0.0/33", "is not a list of subnets"],
    ["config.linkerd.io/opaque-ports", "mysqll", 'ignored "mysqll"'],
    ["config.linkerd.io/proxy-loglevel", "debug", "unknown"],
  ];
  test.each(rows)("%s: %s", (key, value, message) => {
    const { mistakes, env } = inject(pod({ annotations: { [key]: value } }));
    expect(mistakes).toHaveLength(1);
    expect(mistakes[0]?.message).toContain(`annotation ${key}`);
    expect(mistakes[0]?.message).toContain(message);
    expect(env("LINKERD2_PROXY_ADMIN_LISTEN_ADDR")).toBe("0.0.0.0:4191");
  });
  test("valid items of a list are kept", () => {
    expect(inject(pod({ annotations: { "config.linkerd.io/skip-outbound-ports": "25,x" } })).argument("--outbound-ports-to-ignore")).toBe(
      "25",
    );
  });
});

describe("opaque ports of Services and uninjected pods", () => {
  const defaults = "25,587,3306,4444,5432,6379,9300,11211";
  const service = (ports: Record<string, unknown>[], annotations?: Record<string, string>): Workload => ({
    kind: "Service",
    metadata: annotations ? { annotations } : {},
    spec: { ports },
  });
  const rows: [string, Workload, Record<string, string>, string | undefined][] = [
    ["I19 3306 to 3306", service([{ port: 3306, targetPort: 3306 }]), {}, "3306"],
    ["I20 3306 to 80", service([{ port: 3306, targetPort: 80 }]), {}, undefined],
    ["80 to 3306", service([{ port: 80, targetPort: 3306 }]), {}, "80"],
    ["no target port", service([{ port: 25 }, { port: 80 }]), {}, "25"],
    ["a named target port never matches", service([{ port: 3306, targetPort: "mysql" }]), {}, undefined],
    [
      "I21 its own annotation",
      service([{ port: 3306 }], { "config.linkerd.io/opaque-ports": "1" }),
      { "config.linkerd.io/opaque-ports": "1234" },
      undefined,
    ],
    ["the namespace's, verbatim", service([{ port: 80 }]), { "config.linkerd.io/opaque-ports": "1234" }, "1234"],
    ["a pod", pod({ containers: [{ ports: [{ containerPort: 6379 }, { containerPort: 80 }] }] }), {}, "6379"],
  ];
  test.each(rows)("%s", (_, object, namespaceAnnotations, expected) => {
    expect(opaquePortsPatch({ object, namespaceAnnotations, defaults })?.ports).toBe(expected as string);
  });
});

test("uninject takes away what inject added, and keeps what the user wrote", () => {
  const original = pod({ annotations: { "linkerd.io/inject": "disabled", "config.linkerd.io/proxy-log-level": "debug", note: "mine" } });
  const { result } = inject(original);
  const { object, removed } = uninject(result);
  expect(removed).toEqual({ proxy: true, init: true });
  expect(object).toEqual(original);
});

describe("port lists", () => {
  const rows: [string, number[], string[]][] = [
    ["", [], []],
    ["80,443,", [80, 443], []],
    ["0-2", [0, 1, 2], []],
    ["65535,65536", [65535], ["65536"]],
    ["5-4,a,-1, 7 ", [7], ["5-4", "a", "-1"]],
  ];
  test.each(rows)("%p", (text, ports, invalid) => {
    const list = parsePortList(text);
    expect(list.ports.expand()).toEqual(ports);
    expect(list.invalid).toEqual(invalid);
  });
  test("a range of everything costs one entry, and items beyond the bound are reported", () => {
    expect(parsePortList("0-65535").ports.key).toBe("0-65535");
    const at = Array.from({ length: 1024 }, (_, port) => port).join(",");
    expect(parsePortList(at).invalid).toEqual([]);
    expect(parsePortList(`${at},2000`).invalid).toEqual(["2000 (more than 1024 items)"]);
  });
});
