import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { builtinResources } from "../kinds/builtin.ts";
import { loadDefinitions } from "../openapi/definitions.ts";
import { FieldSet, showPath } from "./field-set.ts";
import {
  ApplyConflictError,
  afterUpdate,
  applyConfig,
  type ManagedFieldsEntry,
  type ManagedObject,
  maxUpdateManagers,
  sameButBookkeeping,
} from "./managed-fields.ts";
import { compare, mergeTyped, removeItems, TypedError, toFieldSet } from "./typed.ts";

const { catalog } = builtinResources(loadDefinitions());
const pod = catalog.named("io.k8s.api.core.v1.Pod");
const service = catalog.named("io.k8s.api.core.v1.Service");
const writer = (manager: string, subresource = "", time = "2026-01-01T00:00:00Z") => ({ manager, apiVersion: "v1", subresource, time });
const object = (rest: object): ManagedObject => ({ apiVersion: "v1", kind: "Pod", metadata: { name: "p" }, ...rest });
const apply = (live: ManagedObject | undefined, config: object, manager: string, force = false) =>
  applyConfig({ live, config: object(config), type: pod, writer: writer(manager), force, ignored: ["status"] });
const managers = ({ metadata }: ManagedObject) =>
  Object.fromEntries((metadata.managedFields ?? []).map(({ manager, operation, fieldsV1 }) => [`${manager} ${operation}`, fieldsV1]));

describe("field sets", () => {
  const set = (...paths: string[][]) => {
    const result = new FieldSet();
    for (const path of paths) {
      let node = result;
      for (const edge of path) node = node.at(edge);
      node.member = true;
    }
    return result;
  };
  const shown = (fields: FieldSet) => [...fields.paths()].map(showPath);
  test("algebra keeps what stands below", () => {
    const a = set(["f:spec"], ["f:spec", "f:x"], ["f:y"]);
    const b = set(["f:spec"], ["f:z"]);
    expect(shown(a.difference(b))).toEqual([".spec.x", ".y"]);
    expect(shown(a.intersection(b))).toEqual([".spec"]);
    expect(shown(a.union(b))).toEqual([".spec", ".spec.x", ".y", ".z"]);
    expect(a.clone().equals(a)).toBe(true);
    expect(a.equals(b)).toBe(false);
  });
  test("FieldsV1 goes both ways, whatever the order of keys", () => {
    const json = {
      "f:spec": { ".": {}, "f:ports": { 'k:{"port":80,"protocol":"TCP"}': { ".": {}, "f:name": {} } } },
      "f:metadata": { "f:finalizers": { 'v:"a"': {} } },
    };
    expect(FieldSet.fromJson(json).toJson()).toEqual(json);
    expect(
      FieldSet.fromJson({ 'k:{"protocol":"TCP","port":80}': {} }).equals(FieldSet.fromJson({ 'k:{"port":80,"protocol":"TCP"}': {} })),
    ).toBe(true);
    expect(shown(FieldSet.fromJson(json))).toContain('.spec.ports[port=80,protocol="TCP"].name');
    expect(shown(FieldSet.fromJson(json))).toContain('.metadata.finalizers[="a"]');
  });
  test("algebra laws", () => {
    const sets = fc
      .array(fc.array(fc.constantFrom("f:a", "f:b", 'k:{"n":1}'), { minLength: 1, maxLength: 3 }), { maxLength: 6 })
      .map((paths) => set(...paths));
    fc.assert(
      fc.property(sets, sets, (a, b) => {
        expect(a.difference(b).union(a.intersection(b)).equals(a.clone())).toBe(true);
        expect(a.union(b).equals(b.union(a))).toBe(true);
        expect(FieldSet.fromJson(a.toJson()).equals(a.clone())).toBe(true);
      }),
      { seed: 1, numRuns: 200 },
    );
  });
});

describe("typed values", () => {
  test("which fields a value sets", () => {
    expect(
      toFieldSet(
        {
          metadata: { labels: { a: "1" }, finalizers: ["x"] },
          spec: { containers: [{ name: "c", command: ["a", "b"], resources: {} }], nodeSelector: { k: "v" } },
        },
        pod,
      ).toJson(),
    ).toEqual({
      "f:metadata": { "f:labels": { "f:a": {} }, "f:finalizers": { 'v:"x"': {} } },
      "f:spec": {
        "f:containers": { 'k:{"name":"c"}': { ".": {}, "f:name": {}, "f:command": {}, "f:resources": {} } },
        "f:nodeSelector": {},
      },
    });
  });
  test("keys have their defaults; missing and doubled keys are errors", () => {
    expect(toFieldSet({ spec: { ports: [{ port: 80 }] } }, service).toJson()).toEqual({
      "f:spec": { "f:ports": { 'k:{"port":80,"protocol":"TCP"}': { ".": {}, "f:port": {} } } },
    });
    expect(() => toFieldSet({ spec: { containers: [{ image: "x" }] } }, pod)).toThrow(
      new TypedError('.spec.containers[0]: associative list with keys has an element that omits key field "name"'),
    );
    expect(() => toFieldSet({ spec: { containers: [{ name: "x" }, { name: "x" }] } }, pod)).toThrow(
      '.spec.containers: duplicate entries for key {"name":"x"}',
    );
  });
  test("comparison tells added, modified, removed", () => {
    const { added, modified, removed } = compare(
      { spec: { nodeName: "a", hostname: "h", containers: [{ name: "c", image: "1" }, { name: "d" }] } },
      { spec: { nodeName: "b", subdomain: "s", containers: [{ name: "c", image: "1", stdin: true }] } },
      pod,
    );
    const paths = (set: FieldSet) => [...set.paths()].map(showPath);
    expect(paths(added)).toEqual(['.spec.containers[name="c"].stdin', ".spec.subdomain"]);
    expect(paths(modified)).toEqual([".spec.nodeName"]);
    expect(paths(removed)).toEqual(['.spec.containers[name="d"]', '.spec.containers[name="d"].name', ".spec.hostname"]);
  });
  test.each([
    [
      ["a", "b"],
      ["b", "c"],
      ["a", "b", "c"],
    ],
    [
      ["a", "b", "c"],
      ["c", "a"],
      ["b", "c", "a"],
    ],
    [[], ["x"], ["x"]],
    [
      ["a", "z"],
      ["n", "z"],
      ["a", "n", "z"],
    ],
  ])("items %j with %j applied stand as %j", (live, config, result) => {
    const of = (names: string[]) => ({ spec: { containers: names.map((name) => ({ name })) } });
    expect(mergeTyped(of(live), of(config), pod)).toEqual(of(result));
  });
  test("taking out leaves the rest", () => {
    const value = { spec: { containers: [{ name: "a", image: "1" }, { name: "b" }], nodeName: "n" } };
    const gone = FieldSet.fromJson({
      "f:spec": { "f:nodeName": {}, "f:containers": { 'k:{"name":"a"}': { "f:image": {} }, 'k:{"name":"b"}': {} } },
    });
    expect(removeItems(value, gone, pod)).toEqual({ spec: { containers: [{ name: "a" }] } });
  });
});

describe("apply", () => {
  const labels = (map: Record<string, string>) => ({ metadata: { name: "p", labels: map } });
  test("two appliers share an object", () => {
    const one = apply(undefined, labels({ a: "1" }), "one");
    const two = apply(one, labels({ b: "2" }), "two");
    expect(two.metadata["labels"]).toEqual({ a: "1", b: "2" });
    // what "one" leaves out goes, what "two" has stays
    const three = apply(two, labels({}), "one");
    expect(three.metadata["labels"]).toEqual({ b: "2" });
    expect(managers(three)).toEqual({
      "one Apply": { "f:metadata": { "f:labels": {} } },
      "two Apply": { "f:metadata": { "f:labels": { "f:b": {} } } },
    });
  });
  test("the same value is shared, another is a conflict, force takes it", () => {
    const one = apply(undefined, labels({ a: "1" }), "one");
    const shared = apply(one, labels({ a: "1" }), "two");
    expect(Object.keys(managers(shared))).toEqual(["one Apply", "two Apply"]);
    // given up by one owner it stays with the other
    expect(apply(shared, labels({}), "one").metadata["labels"]).toEqual({ a: "1" });
    expect(() => apply(shared, labels({ a: "2" }), "three")).toThrow(
      new ApplyConflictError([
        { manager: '"one"', path: ".metadata.labels.a" },
        { manager: '"two"', path: ".metadata.labels.a" },
      ]),
    );
    const forced = apply(shared, labels({ a: "2" }), "three", true);
    expect(forced.metadata["labels"]).toEqual({ a: "2" });
    expect(managers(forced)).toEqual({ "three Apply": { "f:metadata": { "f:labels": { "f:a": {} } } } });
  });
  test("applying twice changes nothing but nothing", () => {
    const config = { spec: { containers: [{ name: "c", image: "x", ports: [{ containerPort: 80 }] }] } };
    const once = apply(undefined, config, "one");
    expect(sameButBookkeeping(apply(once, config, "one"), once)).toBe(true);
  });
  test("messages name every manager and field", () => {
    const one = apply(undefined, labels({ a: "1", b: "1" }), "one");
    try {
      apply(one, labels({ a: "2", b: "2" }), "two");
      expect.unreachable();
    } catch (error) {
      expect((error as Error).message).toBe(
        'Apply failed with 2 conflicts: conflicts with "one":\n- .metadata.labels.a\n- .metadata.labels.b',
      );
    }
  });
  test("an object nobody tracked belongs to before-first-apply", () => {
    expect(() => apply(object(labels({ a: "1" })), labels({ a: "2" }), "one")).toThrow(
      'conflict with "before-first-apply" using v1: .metadata.labels.a',
    );
  });
});

describe("updates", () => {
  const update = (live: ManagedObject | undefined, rest: object, manager: string, subresource = "") => {
    const next = object(rest);
    return {
      ...next,
      metadata: {
        ...next.metadata,
        managedFields: afterUpdate({
          live,
          next,
          type: pod,
          writer: writer(manager, subresource),
          ignored: subresource === "status" ? ["spec"] : ["status"],
        }),
      },
    };
  };
  test("own what they change, and take it from others", () => {
    const made = update(undefined, { spec: { nodeName: "a", hostname: "h" } }, "one");
    const changed = update(made, { spec: { nodeName: "b" } }, "two");
    expect(managers(changed)).toEqual({ "one Update": { "f:spec": {} }, "two Update": { "f:spec": { "f:nodeName": {} } } });
    const status = update(changed, { spec: { nodeName: "b" }, status: { phase: "Running" } }, "two", "status");
    expect(status.metadata.managedFields?.find(({ subresource }) => subresource === "status")?.fieldsV1).toEqual({
      "f:status": { ".": {}, "f:phase": {} },
    });
  });
  test("an empty list resets", () => {
    const made = update(undefined, { spec: { nodeName: "a" } }, "one");
    expect(
      afterUpdate({
        live: made,
        next: { ...made, metadata: { ...made.metadata, managedFields: [] } },
        type: pod,
        writer: writer("two"),
        ignored: [],
      }),
    ).toEqual([]);
  });
  test("managers past the bound are folded, the oldest first", () => {
    let live: ManagedObject | undefined;
    const labels: Record<string, string> = {};
    for (let i = 0; i <= maxUpdateManagers; i++) {
      labels[`l${i}`] = "1";
      const next: ManagedObject = object({ metadata: { name: "p", labels: { ...labels } } });
      const entries: ManagedFieldsEntry[] = afterUpdate({
        live,
        next,
        type: pod,
        writer: writer(`m${String(i).padStart(2, "0")}`, "", `2026-01-01T00:00:${String(i).padStart(2, "0")}Z`),
        ignored: [],
      });
      live = { ...next, metadata: { ...next.metadata, managedFields: entries } };
      expect(entries.length).toBe(Math.min(i + 1, maxUpdateManagers));
    }
    const folded = managers(live as ManagedObject)["ancient-changes Update"] as { "f:metadata": { "f:labels": object } };
    expect(Object.keys(folded["f:metadata"]["f:labels"])).toEqual([".", "f:l0", "f:l1"]);
  });
});
