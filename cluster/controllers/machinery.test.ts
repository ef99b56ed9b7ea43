// What the controllers run on: queue, expectations, patches, owner graph, namespace conditions.
import { expect, test } from "bun:test";
import { type KubeObject, Resources, Store } from "#kube";
import { deepEqual, mergePatch } from "./actions.ts";
import type { ServedType } from "./discovery.ts";
import { Expectations, expectationTimeoutMs } from "./expectations.ts";
import { canonical, scaled, shortHash, withCondition } from "./meta.ts";
import { conditionsOf } from "./namespaces.ts";
import { OwnerGraph, type Verdict } from "./owner-graph.ts";
import { WorkQueue } from "./queue.ts";

/** Timers that fire when the test moves the clock. */
class Clock {
  now = 0;
  #timers: { at: number; callback: () => void }[] = [];
  setTimer = (callback: () => void, ms: number) => {
    const timer = { at: this.now + ms, callback };
    this.#timers.push(timer);
    return timer;
  };
  clearTimer = (timer: unknown) => {
    this.#timers = this.#timers.filter((one) => one !== timer);
  };
  advance(ms: number): void {
    this.now += ms;
    for (const timer of this.#timers.filter(({ at }) => at <= this.now)) {
      this.clearTimer(timer);
      timer.callback();
    }
  }
}

function makeQueue({ workers = 1, maxKeys, work }: { workers?: number; maxKeys?: number; work: (key: string) => Promise<void> }) {
  const clock = new Clock();
  const retries: number[] = [];
  const queue = new WorkQueue({
    work,
    workers,
    onError: (_key, _error, ms) => retries.push(ms),
    setTimer: clock.setTimer,
    clearTimer: clock.clearTimer,
    now: () => clock.now,
    ...(maxKeys === undefined ? {} : { maxKeys }),
  });
  return { queue, clock, retries };
}

test("a key waits once, is never worked on twice at the same time, and runs again when added meanwhile", async () => {
  const log: string[] = [];
  let release: () => void = () => {};
  const { queue } = makeQueue({
    workers: 4,
    work: (key) => {
      log.push(key);
      return new Promise((resolve) => (release = resolve));
    },
  });
  queue.add("a");
  queue.add("a");
  queue.add("a");
  expect(log).toEqual(["a"]);
  release();
  await Promise.resolve();
  await new Promise((resolve) => setImmediate(resolve));
  expect(log).toEqual(["a", "a"]);
  release();
  await queue.whenIdle();
  expect(log).toEqual(["a", "a"]);
});

test("failures come back after doubling pauses up to the longest; a success forgets them", async () => {
  let fails = true;
  const { queue, clock, retries } = makeQueue({
    work: async () => {
      if (fails) throw new Error("no");
    },
  });
  queue.add("a");
  await queue.whenIdle();
  for (let i = 0; i < 14; i++) {
    clock.advance(retries.at(-1) as number);
    await queue.whenIdle();
  }
  expect(retries.slice(0, 4)).toEqual([5, 10, 20, 40]);
  expect(retries.at(-1)).toBe(30_000);
  fails = false;
  clock.advance(30_000);
  await queue.whenIdle();
  fails = true;
  queue.add("a");
  await queue.whenIdle();
  expect(retries.at(-1)).toBe(5);
});

test("the earliest of several later times holds", async () => {
  const log: number[] = [];
  const { queue, clock } = makeQueue({ work: async () => void log.push(clock.now) });
  queue.addAfter("a", 100);
  queue.addAfter("a", 50);
  queue.addAfter("a", 200);
  for (let i = 0; i < 30; i++) clock.advance(10);
  await queue.whenIdle();
  expect(log).toEqual([50]);
});

test("the queue takes its bound and refuses one more", async () => {
  const { queue } = makeQueue({ maxKeys: 2, work: () => new Promise(() => {}) });
  expect(["in work", "one", "two", "three", "one"].map((key) => queue.add(key))).toEqual([true, true, true, false, true]);
});

test("a key waits until its own writes show, or the time is up", () => {
  let now = 0;
  const expectations = new Expectations({ now: () => now });
  const store = new Store<KubeObject>();
  const written = { resource: Resources.pods, name: "p", namespace: "ns", uid: "u", resourceVersion: "10" };
  const put = (version: string, name = "p", uid = "u") => {
    const object = { metadata: { name, namespace: "ns", uid, resourceVersion: version } };
    store.set(object);
    expectations.saw(store, object);
  };
  expectations.expect("key", store, written);
  expect(expectations.satisfied("key")).toBe(false);
  expect(expectations.satisfied("other")).toBe(true);
  put("9");
  expect(expectations.satisfied("key")).toBe(false);
  put("10");
  expect(expectations.satisfied("key")).toBe(true);
  expectations.expect("key", store, { ...written, resourceVersion: undefined });
  expect(expectations.satisfied("key")).toBe(false);
  store.delete("p", "ns");
  expect(expectations.satisfied("key")).toBe(true);
  // Made and deleted again before it was seen: a later version of anything shows that the watch is past it.
  expectations.expect("key", store, { ...written, resourceVersion: "20" });
  put("21", "q", "v");
  expect(expectations.satisfied("key")).toBe(true);
  expectations.expect("key", store, { ...written, resourceVersion: "30" });
  now += expectationTimeoutMs;
  expect(expectations.satisfied("key")).toBe(true);
});

test.each([
  { from: { a: 1 }, to: { a: 1 }, patch: undefined },
  { from: { a: 1, b: 2 }, to: { a: 1 }, patch: { b: null } },
  { from: { a: { x: 1, y: 2 } }, to: { a: { x: 1, y: 3 } }, patch: { a: { y: 3 } } },
  { from: { a: [1, 2] }, to: { a: [1] }, patch: { a: [1] } },
  { from: {}, to: { a: undefined }, patch: undefined },
  { from: { a: null }, to: {}, patch: undefined },
] as { from: object; to: object; patch: object | undefined }[])("the patch from $from to $to", ({ from, to, patch }) => {
  expect(mergePatch(from, to)).toEqual(patch as never);
});

test("values", () => {
  expect(deepEqual({ a: undefined, b: [1, { c: 2 }] }, { b: [1, { c: 2 }] })).toBe(true);
  expect(deepEqual([1], { 0: 1 })).toBe(false);
  expect([
    scaled("50%", 3, "up"),
    scaled("50%", 3, "down"),
    scaled(2, 3, "up"),
    scaled("7", 3, "up"),
    scaled("x", 3, "up"),
    scaled(undefined, 3, "up"),
  ]).toEqual([2, 1, 2, 7, 0, 0]);
  expect(canonical({ b: {}, a: { d: [], c: null }, e: { z: 1, y: [{}] } })).toBe('{"e":{"y":[null],"z":1}}');
  expect(shortHash("a")).not.toBe(shortHash("a", 1));
});

test("a condition keeps its transition time while its status does", () => {
  const first = withCondition(undefined, { type: "A", status: "True", reason: "x", lastTransitionTime: "1" });
  expect(withCondition(first, { type: "A", status: "True", reason: "x", message: "new", lastTransitionTime: "2" })).toEqual(first);
  expect(withCondition(first, { type: "A", status: "True", reason: "y", lastTransitionTime: "2" })).toEqual([
    { type: "A", status: "True", reason: "y", lastTransitionTime: "1" },
  ]);
  expect(withCondition(first, { type: "A", status: "False", reason: "x", lastTransitionTime: "2" })[0]?.lastTransitionTime).toBe("2");
});

const type = (kind: string, namespaced = true): ServedType => ({
  group: "",
  version: "v1",
  resource: `${kind.toLowerCase()}s`,
  kind,
  namespaced,
  verbs: [],
});
type Node = {
  uid: string;
  kind?: string;
  namespace?: string;
  owners?: string[];
  blocking?: boolean;
  deleted?: boolean;
  finalizers?: string[];
};
function graphOf(nodes: Node[]): OwnerGraph {
  const graph = new OwnerGraph();
  for (const { uid, kind = "Thing", namespace = "ns", owners = [], blocking = true, deleted, finalizers } of nodes) {
    graph.set({
      uid,
      type: type(kind, namespace !== ""),
      metadata: {
        name: uid,
        ...(namespace ? { namespace } : {}),
        ownerReferences: owners.map((owner) => ({
          apiVersion: "v1",
          kind: "Thing",
          name: owner,
          uid: owner,
          blockOwnerDeletion: blocking,
        })),
        ...(deleted ? { deletionTimestamp: "now" } : {}),
        ...(finalizers ? { finalizers } : {}),
      },
    });
  }
  return graph;
}

const foreground = { deleted: true, finalizers: ["foregroundDeletion"] };
const cases: {
  why: string;
  nodes: Node[];
  known?: Record<string, "solid" | "absent" | "waiting">;
  verdict: Verdict["do"];
  detail?: object;
}[] = [
  { why: "no owner", nodes: [{ uid: "x" }], verdict: "nothing" },
  { why: "its owner is there", nodes: [{ uid: "o" }, { uid: "x", owners: ["o"] }], verdict: "nothing" },
  { why: "its owner is not known", nodes: [{ uid: "x", owners: ["o"] }], verdict: "look-up" },
  {
    why: "its owner is gone",
    nodes: [{ uid: "x", owners: ["o"] }],
    known: { o: "absent" },
    verdict: "delete",
    detail: { propagation: "Background" },
  },
  {
    why: "one of two owners is gone",
    nodes: [{ uid: "o" }, { uid: "x", owners: ["o", "p"] }],
    known: { p: "absent" },
    verdict: "drop-owners",
    detail: { uids: ["p"] },
  },
  {
    why: "its owner lives in another namespace",
    nodes: [
      { uid: "o", namespace: "other" },
      { uid: "x", owners: ["o"] },
    ],
    verdict: "look-up",
  },
  {
    why: "its owner is cluster-wide",
    nodes: [
      { uid: "o", namespace: "" },
      { uid: "x", owners: ["o"] },
    ],
    verdict: "nothing",
  },
  {
    why: "the uid belongs to another kind",
    nodes: [
      { uid: "o", kind: "Other" },
      { uid: "x", owners: ["o"] },
    ],
    verdict: "look-up",
  },
  {
    why: "its owner is being deleted in the foreground",
    nodes: [
      { uid: "o", ...foreground },
      { uid: "x", owners: ["o"] },
    ],
    verdict: "delete",
    detail: { propagation: "Background" },
  },
  {
    why: "the same, with dependents of its own",
    nodes: [
      { uid: "o", ...foreground },
      { uid: "x", owners: ["o"] },
      { uid: "y", owners: ["x"] },
    ],
    verdict: "delete",
    detail: { propagation: "Foreground" },
  },
  { why: "is being deleted already", nodes: [{ uid: "x", owners: ["o"], deleted: true }], known: { o: "absent" }, verdict: "nothing" },
  {
    why: "waits for dependents that block",
    nodes: [
      { uid: "x", ...foreground },
      { uid: "y", owners: ["x"] },
    ],
    verdict: "wait",
  },
  {
    why: "does not wait for dependents that do not block",
    nodes: [
      { uid: "x", ...foreground },
      { uid: "y", owners: ["x"], blocking: false },
    ],
    verdict: "remove-finalizer",
    detail: { finalizer: "foregroundDeletion" },
  },
  {
    why: "orphans its dependents first",
    nodes: [
      { uid: "x", deleted: true, finalizers: ["orphan"] },
      { uid: "y", owners: ["x"] },
    ],
    verdict: "orphan-dependents",
  },
  {
    why: "has orphaned them",
    nodes: [{ uid: "x", deleted: true, finalizers: ["orphan"] }, { uid: "y" }],
    verdict: "remove-finalizer",
    detail: { finalizer: "orphan" },
  },
];
test.each(cases)("garbage collection: $why: $verdict", ({ nodes, known, verdict, detail }) => {
  expect(graphOf(nodes).judge("x", new Map(Object.entries(known ?? {})))).toMatchObject({ do: verdict, ...detail } as never);
});

test("the graph follows changes of owners and deletions", () => {
  const graph = graphOf([{ uid: "o" }, { uid: "p" }, { uid: "x", owners: ["o"] }]);
  expect(graph.dependentsOf("o").map(({ uid }) => uid)).toEqual(["x"]);
  graph.set({
    uid: "x",
    type: type("Thing"),
    metadata: { name: "x", namespace: "ns", ownerReferences: [{ apiVersion: "v1", kind: "Thing", name: "p", uid: "p" }] },
  });
  expect([graph.dependentsOf("o"), graph.dependentsOf("p").length]).toEqual([[], 1]);
  graph.delete("x");
  expect(graph.dependentsOf("p")).toEqual([]);
  expect(graph.size).toBe(2);
});

test("a namespace says what holds it up", () => {
  const full = conditionsOf(
    {
      failures: [],
      errors: [],
      remaining: [
        { type: "pods.", count: 2 },
        { type: "servers.policy.linkerd.io", count: 1 },
      ],
      finalizers: { "x/y": 1 },
    },
    undefined,
    0,
  );
  const find = (type: string) => full.find((one) => one.type === type);
  expect(find("NamespaceContentRemaining")).toMatchObject({
    status: "True",
    reason: "SomeResourcesRemain",
    message: "Some resources are remaining: pods. has 2 resource instances, servers.policy.linkerd.io has 1 resource instances",
  });
  expect(find("NamespaceFinalizersRemaining")).toMatchObject({
    status: "True",
    message: "Some content in the namespace has finalizers remaining: x/y in 1 resource instances",
  });
  expect(find("NamespaceDeletionDiscoveryFailure")).toMatchObject({ status: "False", reason: "ResourcesDiscovered" });
  const empty = conditionsOf({ failures: [], errors: [], remaining: [], finalizers: {} }, full, 60_000);
  expect(empty.find((one) => one.type === "NamespaceContentRemaining")).toMatchObject({
    status: "False",
    reason: "ContentRemoved",
    lastTransitionTime: "1970-01-01T00:01:00Z",
  });
  expect(conditionsOf({ failures: [], errors: [], remaining: [], finalizers: {} }, empty, 90_000)).toEqual(empty);
});
