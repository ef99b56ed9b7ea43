import { describe, expect, test } from "bun:test";
import { cloneJson } from "../../store/index.ts";
import { builtinResources } from "../kinds/builtin.ts";
import { loadDefinitions } from "../openapi/definitions.ts";
import { jsonPatch, maxOperations, PatchError } from "./json-patch.ts";
import { mergePatch } from "./merge-patch.ts";
import { strategicMerge } from "./strategic-merge.ts";

const { catalog } = builtinResources(loadDefinitions());
const deployment = catalog.named("io.k8s.api.apps.v1.Deployment");
const pod = catalog.named("io.k8s.api.core.v1.Pod");
const service = catalog.named("io.k8s.api.core.v1.Service");

describe("merge patch (RFC 7386, appendix A)", () => {
  test.each([
    [{ a: "b" }, { a: "c" }, { a: "c" }],
    [{ a: "b" }, { b: "c" }, { a: "b", b: "c" }],
    [{ a: "b" }, { a: null }, {}],
    [{ a: ["b"] }, { a: "c" }, { a: "c" }],
    [{ a: { b: "c" } }, { a: { b: "d", c: null } }, { a: { b: "d" } }],
    [{ a: [{ b: "c" }] }, { a: [1] }, { a: [1] }],
    [
      ["a", "b"],
      ["c", "d"],
      ["c", "d"],
    ],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ])("%j with %j", (target, patch, result) => {
    const before = cloneJson(target);
    expect(mergePatch(target, patch)).toEqual(result);
    expect(target).toEqual(before);
  });
});

describe("JSON patch (RFC 6902)", () => {
  test.each([
    [{ a: [1, 2] }, [{ op: "add", path: "/a/1", value: 9 }], { a: [1, 9, 2] }],
    [{ a: 1 }, [{ op: "add", path: "/b~1c", value: 2 }], { a: 1, "b/c": 2 }],
    [{ a: [1] }, [{ op: "add", path: "/a/-", value: 2 }], { a: [1, 2] }],
    [
      { a: 1, b: 2 },
      [
        { op: "remove", path: "/a" },
        { op: "move", from: "/b", path: "/c" },
      ],
      { c: 2 },
    ],
    [
      { a: 1 },
      [
        { op: "test", path: "/a", value: 1 },
        { op: "copy", from: "/a", path: "/b" },
      ],
      { a: 1, b: 1 },
    ],
  ])("%j with %j", (target, patch, result) => {
    const before = cloneJson(target);
    expect(jsonPatch(target, patch)).toEqual(result);
    expect(target).toEqual(before);
  });
  test.each([
    [{}, "the patch is not a list of operations"],
    [[{ op: "jump", path: "/a" }], "operation 0: unexpected kind: jump"],
    [[{ op: "add" }], "operation 0: path is missing"],
    [[{ op: "test", path: "/a", value: 2 }], "testing value /a failed"],
    [[{ op: "remove", path: "/z" }], "operation 0: remove /z: path does not exist"],
    [
      Array(maxOperations + 1).fill({ op: "test", path: "/a", value: 1 }),
      "the allowed maximum operations in a JSON patch is 10000, got 10001",
    ],
  ])("refuses %.60j", (patch, message) => {
    expect(() => jsonPatch({ a: 1 }, patch)).toThrow(new PatchError(message as string));
  });
  test("at its bound", () => {
    expect(jsonPatch({ a: 1 }, Array(maxOperations).fill({ op: "test", path: "/a", value: 1 }))).toEqual({ a: 1 });
  });
});

describe("strategic merge", () => {
  const containers = (...list: object[]) => ({ spec: { containers: list } });
  test.each([
    [
      "items of a keyed list merge",
      pod,
      containers({ name: "a", image: "1" }, { name: "b" }),
      containers({ name: "a", image: "2" }),
      containers({ name: "a", image: "2" }, { name: "b" }),
    ],
    ["new items are added", pod, containers({ name: "a" }), containers({ name: "b" }), containers({ name: "a" }, { name: "b" })],
    [
      "$patch: delete takes an item out",
      pod,
      containers({ name: "a" }, { name: "b" }),
      containers({ name: "a", $patch: "delete" }),
      containers({ name: "b" }),
    ],
    [
      "$patch: replace in a list",
      pod,
      containers({ name: "a" }),
      containers({ $patch: "replace" }, { name: "b" }),
      containers({ name: "b" }),
    ],
    [
      "$patch: replace of an object",
      pod,
      { metadata: { labels: { a: "1" } } },
      { metadata: { labels: { $patch: "replace", b: "2" } } },
      { metadata: { labels: { b: "2" } } },
    ],
    [
      "$setElementOrder orders",
      pod,
      containers({ name: "a" }, { name: "b" }),
      { spec: { $setElementOrder: undefined, "$setElementOrder/containers": [{ name: "b" }, { name: "a" }] } },
      containers({ name: "b" }, { name: "a" }),
    ],
    [
      "$deleteFromPrimitiveList",
      pod,
      { metadata: { finalizers: ["a", "b"] } },
      { metadata: { "$deleteFromPrimitiveList/finalizers": ["a"] } },
      { metadata: { finalizers: ["b"] } },
    ],
    [
      "sets of strings unite",
      pod,
      { metadata: { finalizers: ["a"] } },
      { metadata: { finalizers: ["b", "a"] } },
      { metadata: { finalizers: ["a", "b"] } },
    ],
    [
      "atomic lists are replaced",
      pod,
      { spec: { tolerations: [{ key: "a" }] } },
      { spec: { tolerations: [{ key: "b" }] } },
      { spec: { tolerations: [{ key: "b" }] } },
    ],
    [
      "env by name",
      pod,
      containers({
        name: "a",
        env: [
          { name: "X", value: "1" },
          { name: "Y", value: "2" },
        ],
      }),
      containers({ name: "a", env: [{ name: "X", value: "3" }] }),
      containers({
        name: "a",
        env: [
          { name: "X", value: "3" },
          { name: "Y", value: "2" },
        ],
      }),
    ],
    [
      "ports of a Service by port",
      service,
      { spec: { ports: [{ port: 80, name: "a" }] } },
      { spec: { ports: [{ port: 80, name: "b" }, { port: 81 }] } },
      { spec: { ports: [{ port: 80, name: "b" }, { port: 81 }] } },
    ],
    [
      "$retainKeys",
      deployment,
      { spec: { strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: 1 } } } },
      { spec: { strategy: { $retainKeys: ["type"], type: "Recreate" } } },
      { spec: { strategy: { type: "Recreate" } } },
    ],
    [
      "null removes",
      pod,
      { metadata: { labels: { a: "1", b: "2" } } },
      { metadata: { labels: { a: null } } },
      { metadata: { labels: { b: "2" } } },
    ],
    [
      "conditions by type",
      pod,
      { status: { conditions: [{ type: "Ready", status: "False" }] } },
      {
        status: {
          conditions: [
            { type: "Ready", status: "True" },
            { type: "X", status: "True" },
          ],
        },
      },
      {
        status: {
          conditions: [
            { type: "Ready", status: "True" },
            { type: "X", status: "True" },
          ],
        },
      },
    ],
  ])("%s", (_, type, target, patch, result) => {
    const clean = JSON.parse(JSON.stringify(patch));
    expect(strategicMerge(target, clean, type)).toEqual(result);
  });
  test.each([
    [containers({ image: "x" }), 'map: {"image":"x"} does not contain declared merge key: name'],
    [containers("x" as never), "spec.containers[0]: expected an object with name"],
    [{ spec: { $patch: "merge-ish" } }, 'spec: unknown patch directive "merge-ish"'],
    [{ spec: { $retainKeys: ["a"], b: 1 } }, "spec: b is set but not in $retainKeys"],
  ])("refuses %j", (patch, message) => {
    expect(() => strategicMerge({}, patch, pod)).toThrow(new PatchError(message));
  });
});
