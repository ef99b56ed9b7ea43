// ServiceProfiles at admission (spec control-plane §4.1): what is refused, by field.
import { describe, expect, test } from "bun:test";
import type { KubeObject } from "#kube";
import { admitProfile, maxConditionDepth, maxMistakes, profileMistakes } from "./validate.ts";

const profile = (spec: unknown, name = "svc.app.svc.cluster.local") =>
  ({ apiVersion: "linkerd.io/v1alpha2", kind: "ServiceProfile", metadata: { name, namespace: "app" }, spec }) as KubeObject;
const route = (more: Record<string, unknown>) => ({ routes: [{ name: "a", condition: { method: "GET" }, ...more }] });

describe("profiles", () => {
  const rows: [string, unknown, string[]][] = [
    ["empty", {}, []],
    [
      "whole",
      {
        ...route({
          timeout: "1h2m",
          isRetryable: true,
          responseClasses: [
            { condition: { any: [{ status: { min: 500, max: 599 } }, { not: { status: { min: 404 } } }] }, isFailure: true },
          ],
        }),
        retryBudget: { retryRatio: 0.2, minRetriesPerSecond: 10, ttl: "10s" },
        dstOverrides: [{ authority: "a", weight: "500m" }],
      },
      [],
    ],
    [
      "nested conditions",
      route({ condition: { all: [{ method: "GET" }, { any: [{ pathRegex: "/a" }, { not: { pathRegex: "/b" } }] }] } }),
      [],
    ],
    ["a regex is not judged", route({ condition: { pathRegex: "(" } }), []],
    ["unknown field", { ...route({ timeOut: "1s" }) }, ["spec.routes[0].timeOut: unknown field"]],
    ["no name", route({ name: "" }), ["spec.routes[0].name: a route must have a name"]],
    ["no condition", route({ condition: undefined }), ["spec.routes[0].condition: a route must have a condition"]],
    [
      "an empty condition, deep",
      route({ condition: { all: [{ not: {} }] } }),
      ["spec.routes[0].condition.all[0].not: a request match must have a field set"],
    ],
    ["timeout", route({ timeout: "5 s" }), ['spec.routes[0].timeout: "5 s" is not a duration (such as 300ms, 1.5s)']],
    ["retryable", route({ isRetryable: "yes" }), ['spec.routes[0].isRetryable: "yes" is not a boolean']],
    [
      "status out of range",
      route({ responseClasses: [{ condition: { status: { min: 99, max: 600 } } }] }),
      [
        "spec.routes[0].responseClasses[0].condition.status.min: 99 is not a status (100 to 599)",
        "spec.routes[0].responseClasses[0].condition.status.max: 600 is not a status (100 to 599)",
      ],
    ],
    [
      "status upside down",
      route({ responseClasses: [{ condition: { status: { min: 500, max: 400 } } }] }),
      ["spec.routes[0].responseClasses[0].condition.status.max: 400 is less than min 500"],
    ],
    [
      "a class without condition",
      route({ responseClasses: [{ isFailure: true }] }),
      ["spec.routes[0].responseClasses[0].condition: a response class must have a condition"],
    ],
    [
      "budget",
      { retryBudget: { retryRatio: -1, minRetriesPerSecond: 1.5 } },
      [
        "spec.retryBudget.retryRatio: must not be negative",
        "spec.retryBudget.minRetriesPerSecond: 1.5 is not a number of retries",
        "spec.retryBudget.ttl: required",
      ],
    ],
    [
      "overrides (Q13)",
      { dstOverrides: [{ weight: "x" }, { authority: "a" }] },
      [
        "spec.dstOverrides[0].authority: required",
        'spec.dstOverrides[0].weight: "x" is not a weight',
        "spec.dstOverrides[1].weight: required",
      ],
    ],
    [
      "opaque ports (Q12)",
      { opaquePorts: ["80"] },
      ["spec.opaquePorts: not supported: annotate the Service with config.linkerd.io/opaque-ports, or make a Server"],
    ],
    ["shapes", { routes: {}, retryBudget: 1 }, ["spec.routes: expected a list", "spec.retryBudget: expected a mapping"]],
  ];
  test.each(rows)("%s", (_, spec, expected) => {
    expect(profileMistakes(profile(spec))).toEqual(expected);
  });
  test("the name", () => {
    expect(profileMistakes(profile({}, "Svc"))).toEqual(['metadata.name: "Svc" is not a DNS name']);
  });
  test("bounds: nesting, number of mistakes", () => {
    const nested = (depth: number): Record<string, unknown> => (depth === 0 ? { method: "GET" } : { not: nested(depth - 1) });
    expect(profileMistakes(profile(route({ condition: nested(maxConditionDepth) })))).toEqual([]);
    expect(profileMistakes(profile(route({ condition: nested(maxConditionDepth + 1) })))).toEqual([
      `spec.routes[0].condition${".not".repeat(maxConditionDepth + 1)}: nested deeper than ${maxConditionDepth}`,
    ]);
    const bad = (count: number) =>
      profileMistakes(profile({ routes: Array.from({ length: count }, () => ({ name: "", condition: { method: "GET" } })) }));
    expect(bad(maxMistakes)).toHaveLength(maxMistakes);
    expect(bad(maxMistakes + 5).at(-1)).toBe("and more");
    expect(bad(maxMistakes + 5)).toHaveLength(maxMistakes + 1);
  });
});

test("the answer to a review", () => {
  const ask = (object: unknown, kind = "ServiceProfile") => admitProfile({ uid: "1", kind: { kind }, object });
  expect(ask(profile({}))).toEqual({ allowed: true });
  expect(ask({}, "Pod")).toEqual({ allowed: true });
  expect(ask(null)).toMatchObject({ allowed: false, code: 400 });
  expect(ask(profile(route({ name: "" })))).toEqual({
    allowed: false,
    code: 400,
    message: 'ServiceProfile "svc.app.svc.cluster.local" is invalid: spec.routes[0].name: a route must have a name',
  });
});
