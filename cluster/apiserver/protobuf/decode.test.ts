import { describe, expect, test } from "bun:test";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { definitionNames } from "../kinds/builtin.ts";
import { loadDefinitions } from "../openapi/definitions.ts";
import { maxDepth, ProtobufDecoder, ProtobufError } from "./decode.ts";
import { loadMessages } from "./messages.ts";

const decoder = new ProtobufDecoder(loadMessages());
const names = definitionNames(loadDefinitions());
const nameOf = (apiVersion: string, kind: string) => names.get(`${apiVersion.includes("/") ? apiVersion : `/${apiVersion}`}/${kind}`);

type Field = [number, string | number | boolean | Uint8Array | Field[]];
/** Bytes of a message: numbers to strings, varints, bytes or messages. */
function message(...fields: Field[]): Uint8Array {
  const writer = new BinaryWriter();
  for (const [number, value] of fields) {
    if (typeof value === "string") writer.tag(number, WireType.LengthDelimited).string(value);
    else if (typeof value === "number") writer.tag(number, WireType.Varint).int64(value);
    else if (typeof value === "boolean") writer.tag(number, WireType.Varint).bool(value);
    else writer.tag(number, WireType.LengthDelimited).bytes(value instanceof Uint8Array ? value : message(...value));
  }
  return writer.finish();
}
const body = (apiVersion: string, kind: string, raw: Uint8Array) =>
  Buffer.concat([
    Buffer.from("k8s\0"),
    message(
      [
        1,
        [
          [1, apiVersion],
          [2, kind],
        ],
      ],
      [2, raw],
    ),
  ]);

describe("objects", () => {
  test("a Secret: metadata, maps of bytes, zeros of plain fields left out", () => {
    const metadata: Field[] = [
      [1, "s"],
      [2, ""],
      [3, "default"],
      [7, 0],
      [8, []],
      [
        11,
        [
          [1, "a"],
          [2, "b"],
        ],
      ],
    ];
    expect(
      decoder.decode(
        body(
          "v1",
          "Secret",
          message(
            [1, metadata],
            [
              2,
              [
                [1, "key"],
                [2, Buffer.from("value")],
              ],
            ],
            [3, "Opaque"],
          ),
        ),
        nameOf,
      ),
    ).toEqual({
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: "s", namespace: "default", labels: { a: "b" } },
      data: { key: "dmFsdWU=" },
      type: "Opaque",
    });
  });
  test("a Deployment: pointers keep their zero, quantities, int-or-string, inline volume sources", () => {
    const container: Field[] = [
      [1, "c"],
      [2, "x"],
      [
        8,
        [
          [
            1,
            [
              [1, "cpu"],
              [2, [[1, "100m"]]],
            ],
          ],
        ],
      ],
      [
        11,
        [
          [
            1,
            [
              [
                2,
                [
                  [1, "/ready"],
                  [
                    2,
                    [
                      [1, 1],
                      [3, "http"],
                    ],
                  ],
                ],
              ],
            ],
          ],
          [2, 5],
        ],
      ],
    ];
    const podSpec: Field[] = [
      [
        1,
        [
          [1, "v"],
          [2, [[19, [[1, [[1, "cm"]]]]]]],
        ],
      ],
      [2, container],
    ];
    const spec: Field[] = [
      [1, 0],
      [3, [[2, podSpec]]],
      [5, 0],
    ];
    expect(decoder.decode(body("apps/v1", "Deployment", message([2, spec])), nameOf)).toMatchObject({
      spec: {
        replicas: 0,
        template: {
          spec: {
            volumes: [{ name: "v", configMap: { name: "cm" } }],
            containers: [
              {
                name: "c",
                resources: { limits: { cpu: "100m" } },
                readinessProbe: { httpGet: { path: "/ready", port: "http" }, initialDelaySeconds: 5 },
              },
            ],
          },
        },
      },
    });
  });
  test("DeleteOptions and unknown fields", () => {
    const raw = message([1, 0], [4, "Foreground"], [99, "future"]);
    expect(decoder.decode(body("v1", "DeleteOptions", raw), () => "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions")).toEqual({
      apiVersion: "v1",
      kind: "DeleteOptions",
      gracePeriodSeconds: 0,
      propagationPolicy: "Foreground",
    });
  });
});

describe("refuses", () => {
  test.each([
    ["another prefix", Buffer.from("json{}"), "the body does not begin with the protobuf prefix"],
    ["an unknown kind", body("v1", "Nope", message()), 'no kind "Nope" is registered for version "v1"'],
    ["half a message", body("v1", "Secret", Buffer.from([0x0a, 0x7f, 0x01])), /^malformed protobuf: /],
  ])("%s", (_, bytes, why) => {
    expect(() => decoder.decode(bytes, nameOf)).toThrow(ProtobufError);
    expect(() => decoder.decode(bytes, nameOf)).toThrow(why);
  });
  test("messages past the depth", () => {
    // JSONSchemaProps.not holds JSONSchemaProps
    let schema: Uint8Array = message([5, "object"]);
    for (let i = 0; i < maxDepth + 1; i++) schema = message([28, schema]);
    expect(() =>
      decoder.decode(body("x/v1", "Schema", schema), () => "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"),
    ).toThrow(/nested deeper|malformed/);
  });
});
