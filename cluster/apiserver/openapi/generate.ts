// Writes kubernetes.json beside this file: the published schemas of the kinds served here, cut out of Kubernetes's own OpenAPI document.
// Usage: bun cluster/apiserver/openapi/generate.ts SWAGGER, where SWAGGER is `api/openapi-spec/swagger.json` of the Go module
// k8s.io/kubernetes at the version named in `kubernetesVersion` (version.ts).
import { kubernetesVersion } from "../version.ts";

type Json = Record<string, unknown>;
const groups =
  /^(core|apps|batch|autoscaling|policy|rbac\.authorization\.k8s\.io|discovery\.k8s\.io|admissionregistration\.k8s\.io|apiextensions\.k8s\.io|apiregistration\.k8s\.io|coordination\.k8s\.io|networking\.k8s\.io|scheduling\.k8s\.io|storage\.k8s\.io|authentication\.k8s\.io|authorization\.k8s\.io|events\.k8s\.io)$/;
const unused =
  /VolumeAttachment|CSI|VolumeAttributes|ValidatingAdmissionPolicy|IPAddress|ServiceCIDR|PodTemplateList|ComponentStatus|IngressClassParameters/;

const [file] = process.argv.slice(2);
if (!file) throw new Error("usage: generate.ts path/to/swagger.json");
const swagger = (await Bun.file(file).json()) as { definitions: Record<string, Json>; info: { version: string } };
if (swagger.info.version !== kubernetesVersion && swagger.info.version !== "unversioned")
  throw new Error(`${file} is of ${swagger.info.version}, not ${kubernetesVersion}`);

const kept = new Map<string, Json>();
const visit = (name: string) => {
  if (kept.has(name)) return;
  const definition = swagger.definitions[name];
  if (!definition) throw new Error(`no definition ${name}`);
  kept.set(name, definition);
  walk(definition);
};
const walk = (value: unknown): void => {
  if (Array.isArray(value)) {
    for (const item of value) walk(item);
    return;
  }
  if (typeof value !== "object" || value === null) return;
  for (const [key, child] of Object.entries(value)) {
    if (key === "$ref" && typeof child === "string") visit(child.slice("#/definitions/".length));
    else walk(child);
  }
};
for (const [name, definition] of Object.entries(swagger.definitions)) {
  const kinds = definition["x-kubernetes-group-version-kind"] as { group: string; version: string; kind: string }[] | undefined;
  const one = kinds?.find(({ group, version }) => groups.test(group || "core") && (/^v\d+$/.test(version) || false));
  if (one && !unused.test(one.kind)) visit(name);
}
// DeleteOptions and WatchEvent name every group there is; the generated document need not.
for (const definition of kept.values()) {
  const kinds = definition["x-kubernetes-group-version-kind"] as unknown[] | undefined;
  if (kinds && kinds.length > 3)
    definition["x-kubernetes-group-version-kind"] = [{ group: "", kind: (kinds[0] as Json)["kind"], version: "v1" }];
}
const definitions = Object.fromEntries([...kept].sort(([a], [b]) => (a < b ? -1 : 1)));
await Bun.write(
  new URL("kubernetes.json", import.meta.url),
  `${JSON.stringify({ origin: `Kubernetes ${kubernetesVersion}, Apache-2.0, The Kubernetes Authors`, definitions })}\n`,
);
console.log(`${kept.size} definitions`);
