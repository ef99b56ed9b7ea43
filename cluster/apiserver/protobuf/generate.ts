// Writes messages.json beside this file: the field numbers of the kinds served here, out of the published .proto and Go type files.
// Usage: bun cluster/apiserver/protobuf/generate.ts FOLDER..., the folders of the Go modules k8s.io/api, apimachinery, apiextensions-apiserver
// and kube-aggregator at the release named in version.ts.
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { loadDefinitions } from "../openapi/definitions.ts";
import { kubernetesVersion } from "../version.ts";
import type { FieldRow, MessageTable } from "./messages.ts";

const scalars: Record<string, string> = {
  string: "string",
  int32: "int",
  int64: "int",
  uint32: "int",
  bool: "bool",
  bytes: "bytes",
  double: "double",
};
const definitions = loadDefinitions();
/** `k8s.io.api.core.v1` is `io.k8s.api.core.v1` in OpenAPI. */
const definitionName = (proto: string) =>
  proto
    .replace(/^k8s\.io\./, "io.k8s.")
    .replace("apiextensions_apiserver", "apiextensions-apiserver")
    .replace("kube_aggregator", "kube-aggregator");

interface RawField {
  number: number;
  name: string;
  type: string;
  repeated: boolean;
  map: boolean;
}
const messages = new Map<string, RawField[]>();
const pointers = new Set<string>();
/** Where JSON and protobuf differ (`x-kubernetes-…`), by message and number. */
const jsonNames = new Map<string, string>();

for (const root of process.argv.slice(2)) {
  for (const file of new Bun.Glob("**/generated.proto").scanSync(root)) {
    const text = readFileSync(join(root, file), "utf8");
    const home = /^package ([\w.]+);/m.exec(text)?.[1];
    if (!home) throw new Error(`${file}: no package`);
    for (const [, name, body = ""] of text.matchAll(/^message (\w+) \{\n([\s\S]*?)^\}/gm)) {
      const fields: RawField[] = [];
      for (const [, label, type = "", field = "", number] of body.matchAll(
        /^ {2}(optional|repeated|map<string,) ?([\w.]+)>? (\w+) = (\d+)/gm,
      )) {
        const full =
          type in scalars ? type : definitionName(type.startsWith(".") ? type.slice(1) : type.includes(".") ? type : `${home}.${type}`);
        fields.push({ number: Number(number), name: field, type: full, repeated: label === "repeated", map: label === "map<string," });
      }
      messages.set(definitionName(`${home}.${name}`), fields);
    }
    const types = new Bun.Glob("{types*,*_types,micro_time,time,duration}.go").scanSync(join(root, dirname(file)));
    for (const source of types) {
      const go = readFileSync(join(root, dirname(file), source), "utf8");
      for (const [, name, body = ""] of go.matchAll(/^type (\w+) struct \{\n([\s\S]*?)^\}/gm)) {
        for (const [, star, json, number] of body.matchAll(
          /^\s+\w*\s*(\*?)[\w.[\]*]+\s+`json:"([^",]*)[^`]*protobuf:"\w+,(\d+),[^`]*`/gm,
        )) {
          const key = `${definitionName(`${home}.${name}`)} ${number}`;
          if (star) pointers.add(key);
          if (json && json !== "-") jsonNames.set(key, json);
        }
      }
    }
  }
}

const table: MessageTable = {};
const visit = (name: string): void => {
  if (name in table) return;
  const fields = messages.get(name);
  if (!fields) throw new Error(`no message ${name}`);
  const rows: FieldRow[] = [];
  table[name] = rows;
  const definition = definitions[name];
  for (const { number, name: protoName, type, repeated, map } of fields) {
    const field = jsonNames.get(`${name} ${number}`) ?? protoName;
    const scalar = scalars[type];
    const inline = definition?.properties !== undefined && !(field in definition.properties) && scalar === undefined && !repeated && !map;
    const flags = `${repeated ? "r" : ""}${map ? "m" : ""}${inline ? "i" : ""}${pointers.has(`${name} ${number}`) ? "p" : ""}${definition?.required?.includes(field) ? "q" : ""}`;
    rows.push([number, field, scalar ?? type, flags]);
    if (scalar === undefined) visit(type);
  }
};
for (const [name, definition] of Object.entries(definitions))
  if (definition["x-kubernetes-group-version-kind"] && !name.endsWith("List") && messages.has(name)) visit(name);
const sorted = Object.fromEntries(Object.entries(table).sort(([a], [b]) => (a < b ? -1 : 1)));
await Bun.write(
  new URL("messages.json", import.meta.url),
  `${JSON.stringify({ origin: `Kubernetes ${kubernetesVersion}, Apache-2.0, The Kubernetes Authors`, messages: sorted })}\n`,
);
console.log(`${Object.keys(table).length} messages, ${pointers.size} pointers`);
