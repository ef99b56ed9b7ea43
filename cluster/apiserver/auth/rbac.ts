// Role-based access control: may this user do that? Roles and bindings are read from the store and indexed by subject.
import type { Store } from "../../store/index.ts";
import type { ApiObject } from "../kinds/resource.ts";
import { mastersGroup, serviceAccountName, type User } from "./user.ts";

export interface Attributes {
  user: User;
  verb: string;
  /** Of resources; "" for other paths. */
  group: string;
  resource: string;
  subresource: string;
  namespace: string;
  name: string;
  /** Of other paths: `/version`. */
  path?: string | undefined;
}

export interface PolicyRule {
  verbs?: string[];
  apiGroups?: string[];
  resources?: string[];
  resourceNames?: string[];
  nonResourceURLs?: string[];
}

export const rbacBuckets = ["clusterroles", "clusterrolebindings", "roles", "rolebindings"].map(
  (plural) => `${plural}.rbac.authorization.k8s.io`,
) as [string, string, string, string];
const [clusterRoles, clusterBindings, roles, bindings] = rbacBuckets;

interface Grant {
  /** undefined: everywhere. */
  namespace: string | undefined;
  role: { bucket: string; namespace: string; name: string };
}

export class Authorizer {
  readonly #store: Store<ApiObject>;
  #index: Map<string, Grant[]> | undefined;
  readonly #stops: (() => void)[];

  constructor(store: Store<ApiObject>) {
    this.#store = store;
    const drop = () => {
      this.#index = undefined;
    };
    this.#stops = [clusterBindings, bindings].map((bucket) => store.watch(bucket, drop));
  }

  close(): void {
    for (const stop of this.#stops) stop();
  }

  allows(attributes: Attributes): boolean {
    const { user } = attributes;
    if (user.groups.includes(mastersGroup)) return true;
    for (const rule of this.#rules(user, attributes.namespace))
      if (attributes.path === undefined ? allowsResource(rule, attributes) : allowsPath(rule, attributes.verb, attributes.path))
        return true;
    return false;
  }

  /** Every rule that applies to the user in a namespace ("": only the cluster-wide ones). */
  rulesFor(user: User, namespace: string): PolicyRule[] {
    if (user.groups.includes(mastersGroup))
      return [
        { verbs: ["*"], apiGroups: ["*"], resources: ["*"] },
        { verbs: ["*"], nonResourceURLs: ["*"] },
      ];
    return [...this.#rules(user, namespace)];
  }

  *#rules(user: User, namespace: string): Generator<PolicyRule> {
    this.#index ??= this.#build();
    for (const subject of [`User ${user.name}`, ...user.groups.map((group) => `Group ${group}`)]) {
      for (const grant of this.#index.get(subject) ?? []) {
        if (grant.namespace !== undefined && grant.namespace !== namespace) continue;
        yield* (this.#store.get(grant.role)?.["rules"] ?? []) as PolicyRule[];
      }
    }
  }

  #build(): Map<string, Grant[]> {
    const index = new Map<string, Grant[]>();
    for (const [bucket, everywhere] of [
      [clusterBindings, true],
      [bindings, false],
    ] as const) {
      for (const binding of this.#store.list(bucket)) {
        const home = everywhere ? "" : (binding.metadata.namespace ?? "");
        const { kind, name } = binding["roleRef"] ?? {};
        const role = kind === "Role" ? { bucket: roles, namespace: home, name } : { bucket: clusterRoles, namespace: "", name };
        for (const subject of binding["subjects"] ?? []) {
          const key =
            subject.kind === "ServiceAccount"
              ? `User ${serviceAccountName(subject.namespace || home, subject.name)}`
              : `${subject.kind} ${subject.name}`;
          const grants = index.get(key) ?? [];
          grants.push({ namespace: everywhere ? undefined : home, role });
          index.set(key, grants);
        }
      }
    }
    return index;
  }
}

const has = (list: string[] | undefined, value: string) => list !== undefined && (list.includes(value) || list.includes("*"));

function allowsResource(rule: PolicyRule, { verb, group, resource, subresource, name }: Attributes): boolean {
  if (!has(rule.verbs, verb) || !has(rule.apiGroups, group)) return false;
  const full = subresource === "" ? resource : `${resource}/${subresource}`;
  if (!has(rule.resources, full) && !(subresource !== "" && rule.resources?.includes(`*/${subresource}`))) return false;
  return !rule.resourceNames?.length || rule.resourceNames.includes(name);
}

function allowsPath(rule: PolicyRule, verb: string, path: string): boolean {
  if (!has(rule.verbs, verb)) return false;
  return (rule.nonResourceURLs ?? []).some(
    (pattern) => pattern === "*" || pattern === path || (pattern.endsWith("*") && path.startsWith(pattern.slice(0, -1))),
  );
}

/** Why not, in the real server's words. */
export function denial({ user, verb, group, resource, subresource, namespace, path }: Attributes): string {
  if (path !== undefined) return `User ${JSON.stringify(user.name)} cannot ${verb} path ${JSON.stringify(path)}`;
  const full = subresource === "" ? resource : `${resource}/${subresource}`;
  return `User ${JSON.stringify(user.name)} cannot ${verb} resource ${JSON.stringify(full)} in API group ${JSON.stringify(group)} ${namespace === "" ? "at the cluster scope" : `in the namespace ${JSON.stringify(namespace)}`}`;
}

/** The rules of an aggregated ClusterRole: those of every role its selectors match, without repetition. */
export function aggregatedRules(
  role: ApiObject,
  all: readonly ApiObject[],
  matches: (selector: never, labels: Record<string, string> | undefined) => boolean,
): PolicyRule[] {
  const rules = new Map<string, PolicyRule>();
  for (const selector of role["aggregationRule"]?.clusterRoleSelectors ?? []) {
    for (const other of all) {
      if (other.metadata.name === role.metadata.name || !matches(selector as never, other.metadata.labels)) continue;
      for (const rule of (other["rules"] ?? []) as PolicyRule[]) rules.set(JSON.stringify(rule), rule);
    }
  }
  return [...rules.values()];
}
