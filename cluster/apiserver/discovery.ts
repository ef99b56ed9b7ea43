// /version, /api, /apis and what is below: which groups, versions and resources there are, in the old form and the aggregated one.
import { compareVersions } from "./custom/crd.ts";
import { reviews } from "./kinds/builtin.ts";
import type { Resource } from "./kinds/resource.ts";
import { groupVersion } from "./kinds/resource.ts";
import type { Registry } from "./registry.ts";
import { kubernetesVersion } from "./version.ts";

interface ApiResource {
  name: string;
  singularName: string;
  namespaced: boolean;
  group?: string;
  version?: string;
  kind: string;
  verbs: string[];
  shortNames?: string[];
  categories?: string[];
}

/** Group to versions, in order of preference; the core group is "". */
export function groups(registry: Registry): Map<string, string[]> {
  const found = new Map<string, Set<string>>();
  const add = (group: string, version: string) => {
    const versions = found.get(group) ?? new Set();
    versions.add(version);
    found.set(group, versions);
  };
  for (const { group, versions } of registry.all()) for (const { name, served } of versions) if (served) add(group, name);
  for (const { group } of reviews) add(group, "v1");
  return new Map([...found].map(([group, versions]) => [group, [...versions].sort(compareVersions)]));
}

/** Resources and subresources of one version of a group. */
export function resourcesOf(registry: Registry, group: string, version: string): ApiResource[] {
  const list: ApiResource[] = [];
  for (const resource of registry.all()) {
    const info = resource.group === group ? resource.versions.find(({ name, served }) => served && name === version) : undefined;
    if (!info) continue;
    const { plural, singular, namespaced, kind, verbs, shortNames, categories } = resource;
    list.push({
      name: plural,
      singularName: singular,
      namespaced,
      kind,
      verbs,
      ...(shortNames.length > 0 ? { shortNames } : {}),
      ...(categories.length > 0 ? { categories } : {}),
    });
    if (info.status) list.push({ name: `${plural}/status`, singularName: "", namespaced, kind, verbs: ["get", "patch", "update"] });
    if (info.scale)
      list.push({
        name: `${plural}/scale`,
        singularName: "",
        namespaced,
        group: "autoscaling",
        version: "v1",
        kind: "Scale",
        verbs: ["get", "patch", "update"],
      });
    for (const sub of resource.subresources)
      list.push({
        name: `${plural}/${sub.name}`,
        singularName: "",
        namespaced,
        ...(sub.group ? { group: sub.group, version: sub.version ?? "v1" } : {}),
        kind: sub.kind,
        verbs: sub.verbs,
      });
  }
  if (version === "v1")
    for (const { group: home, kind, plural, namespaced } of reviews)
      if (home === group) list.push({ name: plural, singularName: kind.toLowerCase(), namespaced, kind, verbs: ["create"] });
  if (group === "" && version === "v1")
    list.push({ name: "bindings", singularName: "binding", namespaced: true, kind: "Binding", verbs: ["create"] });
  return list.sort((a, b) => (a.name < b.name ? -1 : 1));
}

export function apiVersions(address: string): Record<string, unknown> {
  return { kind: "APIVersions", versions: ["v1"], serverAddressByClientCIDRs: [{ clientCIDR: "0.0.0.0/0", serverAddress: address }] };
}

function apiGroup(name: string, versions: string[]): Record<string, unknown> {
  const all = versions.map((version) => ({ groupVersion: groupVersion(name, version), version }));
  return { name, versions: all, preferredVersion: all[0] };
}

export function apiGroupList(registry: Registry): Record<string, unknown> {
  return {
    kind: "APIGroupList",
    apiVersion: "v1",
    groups: [...groups(registry)].filter(([name]) => name !== "").map(([name, versions]) => apiGroup(name, versions)),
  };
}

export function oneGroup(registry: Registry, name: string): Record<string, unknown> | undefined {
  const versions = name === "" ? undefined : groups(registry).get(name);
  return versions && { kind: "APIGroup", apiVersion: "v1", ...apiGroup(name, versions) };
}

export function apiResourceList(registry: Registry, group: string, version: string): Record<string, unknown> | undefined {
  if (!groups(registry).get(group)?.includes(version)) return undefined;
  return {
    kind: "APIResourceList",
    apiVersion: "v1",
    groupVersion: groupVersion(group, version),
    resources: resourcesOf(registry, group, version),
  };
}

/** apidiscovery.k8s.io/v2: everything at once; of the core group, or of all others. */
export function aggregated(registry: Registry, core: boolean): Record<string, unknown> {
  const items = [...groups(registry)]
    .filter(([name]) => (name === "") === core)
    .map(([name, versions]) => ({
      metadata: { name: name === "" ? undefined : name, creationTimestamp: null },
      versions: versions.map((version) => ({ version, resources: aggregatedResources(registry, name, version), freshness: "Current" })),
    }));
  return { kind: "APIGroupDiscoveryList", apiVersion: "apidiscovery.k8s.io/v2", metadata: {}, items };
}

function aggregatedResources(registry: Registry, group: string, version: string): Record<string, unknown>[] {
  const all = resourcesOf(registry, group, version);
  return all
    .filter(({ name }) => !name.includes("/"))
    .map(({ name, kind, namespaced, singularName, verbs, shortNames, categories }) => {
      const subresources = all
        .filter((one) => one.name.startsWith(`${name}/`))
        .map((one) => ({
          subresource: one.name.slice(name.length + 1),
          responseKind: { group: one.group ?? group, version: one.version ?? version, kind: one.kind },
          verbs: one.verbs,
        }));
      return {
        resource: name,
        responseKind: { group, version, kind },
        scope: namespaced ? "Namespaced" : "Cluster",
        singularResource: singularName,
        verbs,
        ...(shortNames ? { shortNames } : {}),
        ...(categories ? { categories } : {}),
        ...(subresources.length > 0 ? { subresources } : {}),
      };
    });
}

/** Does an Accept header prefer the aggregated form? */
export function wantsAggregated(accept: string | undefined): boolean {
  for (const clause of (accept ?? "").split(",")) {
    const [media = "", ...parameters] = clause.split(";").map((part) => part.trim());
    if (media !== "application/json") continue;
    const values = Object.fromEntries(parameters.map((parameter) => parameter.split("=", 2)));
    if (values["as"] === undefined) return false;
    if (values["as"] === "APIGroupDiscoveryList" && values["v"] === "v2" && values["g"] === "apidiscovery.k8s.io") return true;
  }
  return false;
}

export const aggregatedType = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

export function versionInfo(): Record<string, unknown> {
  const [major = "", minor = ""] = kubernetesVersion.slice(1).split(".");
  return {
    major,
    minor,
    gitVersion: kubernetesVersion,
    gitCommit: "",
    gitTreeState: "clean",
    buildDate: "1970-01-01T00:00:00Z",
    goVersion: "",
    compiler: "bun",
    platform: `${process.platform}/${process.arch === "x64" ? "amd64" : process.arch}`,
  };
}

export type { Resource };
