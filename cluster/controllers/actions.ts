// What a reconcile function wants done, as data: the world's objects go in, these come out, and the runtime carries them out in order.
import type { KubeError, KubeObject, ResourceType } from "#kube";

/** An object to be made; its shape is the API's. */
export type NewObject = KubeObject & Record<string, unknown>;

export type Action =
  | {
      do: "create";
      resource: ResourceType;
      object: NewObject;
      /** Follow-ups that need the object as the server made it (events that tell its name). */
      done?: (created: KubeObject) => Action[];
      /** Follow-ups when the server refuses; the refusal is not an error then. */
      refused?: (error: KubeError) => Action[];
    }
  /** A merge patch of `target`. Its uid and, unless `anyVersion`, its resourceVersion must still hold. */
  | {
      do: "patch";
      resource: ResourceType;
      target: KubeObject;
      patch: Record<string, unknown>;
      subresource?: string;
      anyVersion?: boolean;
      done?: () => Action[];
    }
  | {
      do: "delete";
      resource: ResourceType;
      target: KubeObject;
      propagation?: "Background" | "Foreground" | "Orphan";
      graceSeconds?: number;
      done?: () => Action[];
    }
  /** An Event about `about`, which must carry apiVersion and kind. */
  | { do: "event"; about: KubeObject; type: "Normal" | "Warning"; reason: string; message: string }
  /**
   * Actions carried out together: first one, then two, four, … at a time, ended by the first failure, so that a create that cannot
   * succeed is not tried a hundred times. `failed` gives what to do then; the error still counts against the key.
   */
  | { do: "slow-start"; actions: Action[]; failed?: (error: unknown) => Action[] };

export interface Outcome {
  actions: Action[];
  /** Look again after so long even when nothing changes, in ms. */
  requeueAfterMs?: number;
}

export const nothing: Outcome = { actions: [] };

/** The earlier of two times to look again. */
export function earlier(one: number | undefined, other: number | undefined): { requeueAfterMs?: number } {
  const times = [one, other].filter((ms) => ms !== undefined);
  return times.length > 0 ? { requeueAfterMs: Math.min(...times) } : {};
}

/**
 * The merge patch (RFC 7386) that makes `to` of `from`; `undefined` when they are equal. Arrays are replaced whole.
 * An absent field of `to` becomes null, so that the server removes it.
 */
export function mergePatch(from: unknown, to: unknown): Record<string, unknown> | undefined {
  if (!isRecord(from) || !isRecord(to)) throw new TypeError("mergePatch compares mappings");
  const patch: Record<string, unknown> = {};
  for (const name of new Set([...Object.keys(from), ...Object.keys(to)])) {
    const before = from[name];
    const after = to[name];
    if (after === undefined || after === null) {
      if (before !== undefined && before !== null) patch[name] = null;
    } else if (isRecord(before) && isRecord(after)) {
      const inner = mergePatch(before, after);
      if (inner) patch[name] = inner;
    } else if (!deepEqual(before, after)) patch[name] = after;
  }
  return Object.keys(patch).length > 0 ? patch : undefined;
}

/** Equality of JSON values; an absent field equals an undefined one. */
export function deepEqual(one: unknown, other: unknown): boolean {
  if (one === other) return true;
  if (Array.isArray(one)) return Array.isArray(other) && one.length === other.length && one.every((item, i) => deepEqual(item, other[i]));
  if (!isRecord(one) || !isRecord(other)) return false;
  for (const name of new Set([...Object.keys(one), ...Object.keys(other)])) if (!deepEqual(one[name], other[name])) return false;
  return true;
}

/** The patch of a status, when there is something to change. */
export function patchStatus<T extends KubeObject & { status?: object }>(
  resource: ResourceType,
  target: T,
  status: NonNullable<T["status"]>,
): Action[] {
  const patch = mergePatch(target.status ?? {}, status);
  return patch ? [{ do: "patch", resource, target, subresource: "status", patch: { status: patch } }] : [];
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
