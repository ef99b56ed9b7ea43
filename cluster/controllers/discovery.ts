// The resource types that the API server serves, each in its preferred version.
import { type KubeClient, KubeError, type ResourceType } from "#kube";

export interface ServedType extends ResourceType {
  kind: string;
  namespaced: boolean;
  verbs: readonly string[];
}

export interface Discovery {
  types: ServedType[];
  /** Groups that could not be read, with the reason; their types are missing. */
  failures: { groupVersion: string; message: string }[];
}

interface ResourceList {
  resources?: { name: string; kind: string; namespaced: boolean; verbs?: string[] }[];
}

export async function discover(client: KubeClient): Promise<Discovery> {
  const groups = await client.request<{
    groups?: { name: string; preferredVersion?: { version: string }; versions?: { version: string }[] }[];
  }>({ path: "/apis" });
  const wanted = [{ group: "", version: "v1" }];
  for (const { name, preferredVersion, versions } of groups.groups ?? []) {
    const version = preferredVersion?.version ?? versions?.[0]?.version;
    if (version) wanted.push({ group: name, version });
  }
  const found: Discovery = { types: [], failures: [] };
  await Promise.all(
    wanted.map(async ({ group, version }) => {
      const path = group === "" ? `/api/${version}` : `/apis/${group}/${version}`;
      try {
        const { resources = [] } = await client.request<ResourceList>({ path });
        for (const { name, kind, namespaced, verbs = [] } of resources)
          if (!name.includes("/")) found.types.push({ group, version, resource: name, kind, namespaced, verbs });
      } catch (error) {
        // A group removed between the two looks is no failure.
        if (!KubeError.isNotFound(error))
          found.failures.push({ groupVersion: group === "" ? version : `${group}/${version}`, message: (error as Error).message });
      }
    }),
  );
  return found;
}

export const typeKey = ({ group, resource }: { group: string; resource: string }): string => `${resource}.${group}`;
