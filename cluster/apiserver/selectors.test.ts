import { describe, expect, test } from "bun:test";
import { selectorMatches, selectorText } from "./kinds/names.ts";
import type { ApiObject, Resource } from "./kinds/resource.ts";
import { fieldPredicate, labelPredicate, maxTerms } from "./selectors.ts";

const labelled = (labels: Record<string, string>): ApiObject => ({ metadata: { name: "n", namespace: "ns", labels } });

describe("label selectors", () => {
  test.each([
    ["", { a: "1" }, true],
    ["a=1", { a: "1" }, true],
    ["a==1,b!=2", { a: "1" }, true],
    ["a != 1", { a: "1" }, false],
    ["a", { a: "" }, true],
    ["!a", { a: "" }, false],
    ["!a", {}, true],
    ["a in (1, 2)", { a: "2" }, true],
    ["a in (1,2)", {}, false],
    ["a notin (1,2)", {}, true],
    ["a notin (1,2),b", { b: "x" }, true],
    ["x.io/a=1", { "x.io/a": "1" }, true],
    ["n>4", { n: "5" }, true],
    ["n<4", { n: "5" }, false],
    ["a=", { a: "" }, true],
    ["constructor", {}, false],
    ["!constructor,toString notin (1)", {}, true],
  ])("%s of %j is %p", (selector, labels, expected) => {
    expect(labelPredicate(selector)?.(labelled(labels as Record<string, string>)) ?? true).toBe(expected);
  });
  test.each(["a b", "=1", "a in 1", "a=1=2", "-a", `a=${"x".repeat(64)}`, "n>x"])("refuses %s", (selector) => {
    expect(() => labelPredicate(selector)).toThrow(/unable to parse/);
  });
  test("terms at the bound and past it", () => {
    expect(labelPredicate(Array(maxTerms).fill("a").join(","))).toBeFunction();
    expect(() =>
      labelPredicate(
        Array(maxTerms + 1)
          .fill("a")
          .join(","),
      ),
    ).toThrow(`more than ${maxTerms} requirements`);
  });
});

describe("field selectors", () => {
  const resource = { selectable: { "spec.x": ({ spec }: ApiObject) => spec?.x ?? "" } } as unknown as Resource;
  const object: ApiObject = { metadata: { name: "n", namespace: "ns" }, spec: { x: "a,b" } };
  test.each([
    ["metadata.name=n", true],
    ["metadata.name!=n", false],
    ["metadata.namespace=ns,spec.x=a\\,b", true],
    ["spec.x==c", false],
  ])("%s is %p", (selector, expected) => {
    expect(fieldPredicate(selector, resource).predicate?.(object)).toBe(expected);
  });
  test("refuses what a kind cannot be selected by", () => {
    expect(() => fieldPredicate("spec.y=1", resource)).toThrow("field label not supported: spec.y");
    expect(() => fieldPredicate("spec.x", resource)).toThrow("invalid field selector");
    expect(() => fieldPredicate("constructor=1", resource)).toThrow("field label not supported");
    expect(fieldPredicate("metadata.name=n", resource).name).toBe("n");
  });
});

test("LabelSelector objects", () => {
  expect(selectorMatches({}, {})).toBe(true);
  expect(selectorMatches(undefined, {})).toBe(false);
  const selector = {
    matchLabels: { a: "1" },
    matchExpressions: [
      { key: "b", operator: "NotIn", values: ["2"] },
      { key: "c", operator: "Exists" },
      { key: "d", operator: "DoesNotExist" },
      { key: "e", operator: "In", values: ["y", "x"] },
    ],
  };
  expect(selectorMatches(selector, { a: "1", c: "", e: "x" })).toBe(true);
  expect(selectorMatches(selector, { a: "1", b: "2", c: "", e: "x" })).toBe(false);
  expect(selectorText(selector)).toBe("!d,a=1,b notin (2),c,e in (x,y)");
});
