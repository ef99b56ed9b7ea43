import { describe, expect, test } from "bun:test";
import { builtinResources } from "../kinds/builtin.ts";
import { loadDefinitions } from "../openapi/definitions.ts";
import { DecodeError, decode, maxDepth } from "./decode.ts";
import { TypeCatalog } from "./type-node.ts";

const { catalog, resources } = builtinResources(loadDefinitions());
const pod = catalog.named("io.k8s.api.core.v1.Pod");
const read = (value: unknown) => decode(value, pod, "Pod");

test("unknown fields are named and dropped, nulls dropped, the rest kept", () => {
  const { value, unknown } = read({
    metadata: { name: "p", labels: null, foo: 1 },
    spec: { containers: [{ name: "c", imag: "x", env: [{ name: "A", value: null }] }], nodeSelector: { a: null } },
  });
  expect(unknown).toEqual(["metadata.foo", "spec.containers[0].imag"]);
  expect(value).toEqual({ metadata: { name: "p" }, spec: { containers: [{ name: "c", env: [{ name: "A" }] }], nodeSelector: { a: "" } } });
});

describe("wrong types", () => {
  test.each([
    [{ spec: "x" }, "json: cannot unmarshal string into Go struct field Pod.spec of type object"],
    [{ spec: { containers: {} } }, "json: cannot unmarshal object into Go struct field Pod.spec.containers of type array"],
    [
      { spec: { terminationGracePeriodSeconds: "1" } },
      "json: cannot unmarshal string into Go struct field Pod.spec.terminationGracePeriodSeconds of type int64",
    ],
    [
      { spec: { terminationGracePeriodSeconds: 1.5 } },
      "json: cannot unmarshal number 1.5 into Go struct field Pod.spec.terminationGracePeriodSeconds of type int64",
    ],
    [{ metadata: { labels: { a: true } } }, "json: cannot unmarshal bool into Go struct field Pod.metadata.labels.a of type string"],
    [{ spec: { containers: [{ resources: { limits: { cpu: "lots" } } }] } }, /^quantities must match the regular expression/],
  ])("%j", (value, message) => {
    expect(() => read(value)).toThrow(DecodeError);
    expect(() => read(value)).toThrow(message);
  });
  test("numbers are quantities, base64 must be base64", () => {
    expect(read({ spec: { containers: [{ resources: { limits: { cpu: 2, memory: "64Mi" } } }] } }).value).toMatchObject({
      spec: { containers: [{ resources: { limits: { cpu: "2", memory: "64Mi" } } }] },
    });
    const secret = catalog.named("io.k8s.api.core.v1.Secret");
    expect(() => decode({ data: { a: "no base64!" } }, secret, "Secret")).toThrow("illegal base64 data in field data.a");
  });
});

test("a document at the depth bound and past it", () => {
  const recursive = new TypeCatalog({ Node: { type: "object", properties: { next: { $ref: "#/definitions/Node" } } } }).named("Node");
  const nested = (depth: number) => {
    let value: unknown = {};
    for (let i = 0; i < depth; i++) value = { next: value };
    return value;
  };
  expect(() => decode(nested(maxDepth), recursive, "Node")).not.toThrow();
  expect(() => decode(nested(maxDepth + 1), recursive, "Node")).toThrow(`nested deeper than ${maxDepth}`);
});

test("names of the prototype are just names", () => {
  const configMap = catalog.named("io.k8s.api.core.v1.ConfigMap");
  const { value } = decode(JSON.parse('{"data":{"__proto__":"x","constructor":"y"}}'), configMap, "ConfigMap");
  expect(Object.keys((value as { data: object }).data)).toEqual(["__proto__", "constructor"]);
  expect(decode(JSON.parse('{"constructor":1}'), pod, "Pod").unknown).toEqual(["constructor"]);
});

test("every built-in kind has a type with metadata", () => {
  for (const { versions } of resources)
    for (const { type } of versions) expect(type.kind === "struct" && type.field("metadata")?.kind).toBe("struct");
});
