// The scale subresource: autoscaling/v1 Scale over two or three paths of an object.

import { selectorText } from "./kinds/names.ts";
import type { ApiObject, ScalePaths } from "./kinds/resource.ts";
import { isRecord } from "./schema/decode.ts";
import { field, invalid } from "./status.ts";

function read(object: unknown, path: string): unknown {
  let value = object;
  for (const name of path.split(".")) value = isRecord(value) ? value[name] : undefined;
  return value;
}

export function scaleOf(object: ApiObject, { specReplicas, statusReplicas, selector }: ScalePaths): ApiObject {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata;
  const found = selector === undefined ? undefined : read(object, selector);
  // ReplicationControllers have a plain map.
  const text =
    typeof found === "string"
      ? found
      : isRecord(found)
        ? selectorText("matchLabels" in found || "matchExpressions" in found ? found : { matchLabels: found as Record<string, string> })
        : "";
  return {
    kind: "Scale",
    apiVersion: "autoscaling/v1",
    metadata: Object.fromEntries(
      Object.entries({ name, namespace, uid, resourceVersion, creationTimestamp }).filter(([, value]) => value !== undefined),
    ) as ApiObject["metadata"],
    spec: { replicas: read(object, specReplicas) ?? 0 },
    status: { replicas: read(object, statusReplicas) ?? 0, ...(text ? { selector: text } : {}) },
  };
}

/** Puts a Scale's replicas into a copy of the object. @throws {ApiError} 422 */
export function withScale(object: ApiObject, scale: ApiObject, { specReplicas }: ScalePaths): ApiObject {
  const replicas: unknown = scale["spec"]?.replicas ?? 0;
  if (typeof replicas !== "number" || !Number.isInteger(replicas) || replicas < 0) {
    throw invalid({ group: "autoscaling", kind: "Scale" }, object.metadata.name ?? "", [
      field.invalid("spec.replicas", replicas, "must be greater than or equal to 0"),
    ]);
  }
  const names = specReplicas.split(".");
  const last = names.pop() as string;
  let target: Record<string, unknown> = object;
  for (const name of names) target = (target[name] ??= {}) as Record<string, unknown>;
  target[last] = replicas;
  if (scale.metadata?.resourceVersion) object.metadata.resourceVersion = scale.metadata.resourceVersion;
  return object;
}
