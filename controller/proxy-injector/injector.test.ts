// The injector's answers, events and counts (spec control-plane §6.2, §6.7, §13 I1–I11, I30), with the owner found step by step.
import { describe, expect, test } from "bun:test";
import { controlPlaneChart, controlPlaneDefaults } from "#chart";
import type { PatchOperation, Workload } from "#inject";
import type { AnyObject, KubeClient, ResourceType } from "#kube";
import { type AdmissionRequest, createLogger, type EventInput, review } from "../runtime/index.ts";
import { admit, type InjectorWorld, type Owner } from "./injector.ts";
import { installationReader } from "./main.ts";
import { ownerOf, ownerReader } from "./owners.ts";

const chart = controlPlaneChart();
const owner: Owner = {
  kind: "deployment",
  name: "web",
  object: { apiVersion: "apps/v1", kind: "Deployment", namespace: "app", name: "web", uid: "u" },
};

function world(more: Partial<InjectorWorld> = {}, annotations: Record<string, string> = { "linkerd.io/inject": "enabled" }) {
  const events: EventInput[] = [];
  const counts: { kind: string; labels: Record<string, string> }[] = [];
  const made: InjectorWorld = {
    chart,
    installation: () => ({
      values: controlPlaneDefaults(),
      trustAnchorsPem: "-----BEGIN CERTIFICATE-----\nYWJj\n-----END CERTIFICATE-----\n",
    }),
    namespaceAnnotations: async (name) => (name === "app" ? annotations : undefined),
    ownerOf: async () => owner,
    record: (event) => void events.push(event),
    count: (kind, labels) => void counts.push({ kind, labels: { ...labels } }),
    createdBy: "linkerd/proxy-injector test",
    log: createLogger({ write: () => {} }),
    ...more,
  };
  return {
    events,
    counts,
    made,
    ask: (object: unknown, kind = "Pod", namespace = "app") =>
      admit({ uid: "1", kind: { kind }, namespace, object } as AdmissionRequest, made),
  };
}

const pod = (spec: Record<string, unknown> = {}, annotations: Record<string, string> = {}): Workload => ({
  metadata: { generateName: "web-", annotations },
  spec: {
    containers: [
      {
        name: "app",
        ports: [{ containerPort: 3306 }],
        volumeMounts: [{ name: "t", mountPath: "/var/run/secrets/kubernetes.io/serviceaccount" }],
      },
    ],
    ...spec,
  },
});

test("I1: injected, told on the owner, counted", async () => {
  const { ask, events, counts } = world();
  const answer = await ask(pod());
  expect((answer.patch as PatchOperation[]).some(({ path }) => path === "/spec/containers/0")).toBe(true);
  expect(events).toEqual([
    { type: "Normal", reason: "Injected", message: "Linkerd sidecar proxy injected", object: owner.object as NonNullable<Owner["object"]> },
  ]);
  expect(counts.map(({ kind, labels }) => [kind, labels["owner_kind"], labels["annotation_at"], labels["skip"]])).toEqual([
    ["request", "deployment", "namespace", undefined],
    ["response", "deployment", "namespace", "false"],
  ]);
});

test("I11: skipped, with both reasons in their order; its opaque ports are written all the same", async () => {
  const { ask, events, counts } = world();
  const answer = await ask(pod({ hostNetwork: true, automountServiceAccountToken: false }));
  expect(answer.patch).toEqual([{ op: "add", path: "/metadata/annotations/config.linkerd.io~1opaque-ports", value: "3306" }]);
  expect(events[0]?.message).toBe(
    'Linkerd sidecar proxy injection skipped: hostNetwork is enabled, automountServiceAccountToken set to "false"',
  );
  expect(counts[1]?.labels).toMatchObject({
    skip: "true",
    skip_reason: "host_network_enabled,disabled_automount_service_account_token_account",
  });
});

test("I2, I4: disabled; a value that means nothing is told to the user", async () => {
  const { ask, events } = world();
  await ask(pod({}, { "linkerd.io/inject": "disabled" }));
  expect(events[0]?.message).toContain('pod has the annotation "linkerd.io/inject:disabled"');
  expect(await ask(pod({}, { "linkerd.io/inject": "yes" }))).toMatchObject({
    allowed: true,
    warnings: ['Pod app/web-: invalid value for annotation "linkerd.io/inject" at workload: expected enabled, disabled or ingress'],
  });
});

test("Services: opaque ports only, and no event", async () => {
  const { ask, events } = world();
  expect((await ask({ metadata: { name: "db" }, spec: { ports: [{ port: 3306 }] } }, "Service")).patch).toHaveLength(2);
  expect(await ask({ metadata: { name: "web" }, spec: { ports: [{ port: 80 }] } }, "Service")).toEqual({ allowed: true, warnings: [] });
  expect(events).toEqual([]);
});

test("I25, I30: what cannot be done right is refused, naming the reason", async () => {
  const ask = async (made: InjectorWorld, annotations: Record<string, string> = {}, namespace = "app") => {
    const { body } = await review(
      JSON.stringify({ request: { uid: "1", kind: { kind: "Pod" }, namespace, object: pod({}, annotations) } }),
      (request) => admit(request, made),
      createLogger({ write: () => {} }),
    );
    return (body as { response: { allowed: boolean; status?: { message: string } } }).response;
  };
  const broken = world({ installation: installationReader("/values", "/roots", (path) => (path === "/values" ? "proxy: [" : "")) }).made;
  expect(await ask(broken)).toMatchObject({ allowed: false, status: { message: expect.stringMatching(/^\/values: /) } });
  expect(await ask(world().made, {}, "nowhere")).toMatchObject({ allowed: false, status: { message: 'namespace "nowhere" is not known' } });
  expect(
    await ask(world().made, {
      "config.linkerd.io/disable-identity": "true",
      "config.linkerd.io/proxy-require-identity-inbound-ports": "80",
    }),
  ).toMatchObject({
    allowed: false,
    status: { message: expect.stringContaining("annotation config.linkerd.io/proxy-require-identity-inbound-ports") },
  });
});

describe("owners", () => {
  const objects: Record<string, AnyObject> = {
    "replicasets/web-1": { metadata: { ownerReferences: [{ apiVersion: "apps/v1", kind: "Deployment", name: "web", uid: "d" }] } },
    "replicasets/argo-1": { metadata: { ownerReferences: [{ apiVersion: "argoproj.io/v1", kind: "Rollout", name: "argo", uid: "r" }] } },
    "jobs/tick-1": { metadata: { ownerReferences: [{ apiVersion: "batch/v1", kind: "CronJob", name: "tick", uid: "c" }] } },
  };
  const find = async (resource: ResourceType, _: string, name: string) => objects[`${resource.resource}/${name}`];
  const of = (...references: Record<string, string>[]) => ownerOf({ metadata: { ownerReferences: references } }, "app", find);
  test.each([
    [[{ apiVersion: "apps/v1", kind: "ReplicaSet", name: "web-1", uid: "1" }], { kind: "deployment", name: "web" }],
    [[{ apiVersion: "apps/v1", kind: "ReplicaSet", name: "argo-1", uid: "1" }], { kind: "replicaset", name: "argo-1" }],
    [[{ apiVersion: "batch/v1", kind: "Job", name: "tick-1", uid: "1" }], { kind: "cronjob", name: "tick" }],
    [[{ apiVersion: "apps/v1", kind: "StatefulSet", name: "db", uid: "1" }], { kind: "statefulset", name: "db" }],
  ])("%p", async (references, expected) => {
    expect(await of(...references)).toMatchObject(expected);
  });
  test("none, and more than one, are no owner", async () => {
    expect(await of()).toBeUndefined();
    expect(await of({ kind: "A", name: "a" }, { kind: "B", name: "b" })).toBeUndefined();
  });
  test("the pods of a roll-out ask once; what failed or was not there is asked again; the memory is bounded", async () => {
    let calls = 0;
    let answer: () => Promise<AnyObject | undefined> = async () => undefined;
    let now = 0;
    const find = () => {
      calls++;
      return answer();
    };
    const read = ownerReader({ find } as unknown as KubeClient, { keepMs: 10, most: 2, now: () => now });
    const resource = { group: "apps", version: "v1", resource: "replicasets" };
    await read(resource, "app", "a");
    answer = () => Promise.reject(new Error("away"));
    await expect(read(resource, "app", "a")).rejects.toThrow("away");
    answer = async () => ({ metadata: { name: "a" } });
    await Promise.all([read(resource, "app", "a"), read(resource, "app", "a")]);
    expect(calls).toBe(3);
    now = 11;
    await read(resource, "app", "a");
    expect(calls).toBe(4);
    await read(resource, "app", "b");
    await read(resource, "app", "c");
    await read(resource, "app", "a");
    expect(calls).toBe(7);
  });
});

test("the installation is read again when its text has changed", () => {
  let text = "namespace: linkerd\n";
  const read = installationReader("/values", "/roots", (path) => (path === "/values" ? text : "PEM"));
  const first = read();
  expect(first).toEqual({ values: { namespace: "linkerd" }, trustAnchorsPem: "PEM" });
  expect(read().values).toBe(first.values);
  text = "namespace: mesh\n";
  expect(read().values["namespace"]).toBe("mesh");
  text = "- a\n";
  expect(read).toThrow("/values: expected a mapping of values");
});
