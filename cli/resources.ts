// Friendly names of resource types and the pods of a workload (spec cli §2).
import { type AnyObject, type KubeClient, type LabelSelector, matchesSelector, type Pod, Resources, type ResourceType } from "#kube";
import { CliError } from "./io.ts";

/** Canonical name, short name, plural. */
const names = [
  ["authority", "au", "authorities"],
  ["cronjob", "cj", "cronjobs"],
  ["daemonset", "ds", "daemonsets"],
  ["deployment", "deploy", "deployments"],
  ["job", "job", "jobs"],
  ["namespace", "ns", "namespaces"],
  ["pod", "po", "pods"],
  ["replicationcontroller", "rc", "replicationcontrollers"],
  ["replicaset", "rs", "replicasets"],
  ["service", "svc", "services"],
  ["serviceprofile", "sp", "serviceprofiles"],
  ["serverauthorization", "saz", "serverauthorizations"],
  ["server", "srv", "servers"],
  ["statefulset", "sts", "statefulsets"],
  ["trafficsplit", "ts", "trafficsplits"],
  ["link", "ln", "links"],
  ["all", "all", "all"],
] as const;

type Names = (typeof names)[number];
export type Canonical = Names[0];

/** Exact, case-sensitive match of short name, canonical name or plural. @throws {CliError} */
function namesOf(friendly: string): Names {
  const found = names.find((row) => (row as readonly string[]).includes(friendly));
  if (!found) throw new CliError(`cannot find Kubernetes canonical name from friendly name [${friendly}]`);
  return found;
}

export function canonicalName(friendly: string): Canonical {
  return namesOf(friendly)[0];
}

/** The API's resource type of a friendly name. @throws {CliError} for a name that is none, as for `authority` and `all` */
export function resourceType(friendly: string): ResourceType {
  const [canonical, , plural] = namesOf(friendly);
  const type = Object.values(Resources).find(({ resource }) => resource === plural);
  if (!type) throw new CliError(`${canonical} is no resource of the Kubernetes API`);
  return type;
}

/** Types whose pods can be found. */
const workloads: Partial<Record<Canonical, ResourceType>> = {
  pod: Resources.pods,
  cronjob: Resources.cronJobs,
  daemonset: Resources.daemonSets,
  deployment: Resources.deployments,
  job: Resources.jobs,
  replicaset: Resources.replicaSets,
  replicationcontroller: Resources.replicationControllers,
  statefulset: Resources.statefulSets,
};

/** A workload type, and perhaps one object of it. */
export type Target = { readonly type: Canonical; readonly name: string | undefined };

/** Reads `TYPE`, `TYPE/NAME` or `TYPE NAME`. @throws {CliError} */
export function parseTarget(words: readonly string[]): Target {
  const [first = "", second] = words;
  const [friendly = "", name, ...more] = first.split("/");
  if (more.length > 0 || (name !== undefined && second !== undefined)) throw new CliError(`Invalid resource string: ${words.join(" ")}`);
  const type = canonicalName(friendly);
  if (!workloads[type]) throw new CliError(`unsupported resource type [${type}]`);
  return { type, name: (name ?? second) || undefined };
}

type Selected = AnyObject & { spec?: { selector?: Record<string, unknown> } };

/** The pods of all objects of a type in a namespace, or of one; found by owner and selector, as controllers do. */
export async function podsOf(client: KubeClient, { namespace, type, name }: Target & { namespace: string }): Promise<Pod[]> {
  const resource = workloads[type];
  if (!resource) throw new CliError(`unsupported resource type [${type}]`);
  const list = async <T extends AnyObject>(what: ResourceType) => (await client.list<T>({ ...what, namespace })).items;
  const objects = name === undefined ? await list<Selected>(resource) : [await client.get<Selected>({ ...resource, namespace, name })];
  if (type === "pod") return objects as unknown as Pod[];
  const pods = (await list(Resources.pods)) as unknown as Pod[];
  const between = type === "deployment" ? Resources.replicaSets : type === "cronjob" ? Resources.jobs : undefined;
  if (!between) return objects.flatMap((object) => ownedBy(pods, object).filter((pod) => selects(object, pod)));
  const owned = await list<Selected>(between);
  return objects.flatMap((object) => ownedBy(owned, object).flatMap((one) => ownedBy(pods, one)));
}

function ownedBy<T extends { metadata: AnyObject["metadata"] }>(objects: readonly T[], owner: AnyObject): T[] {
  return objects.filter((object) => object.metadata.ownerReferences?.some(({ uid }) => uid === owner.metadata.uid));
}

/** A replication controller's selector is a plain map of labels; the others' is a label selector. */
function selects(owner: Selected, pod: Pod): boolean {
  const selector = owner.spec?.selector;
  if (!selector) return true;
  const isStructured = "matchLabels" in selector || "matchExpressions" in selector;
  return matchesSelector((isStructured ? selector : { matchLabels: selector }) as LabelSelector, pod.metadata.labels);
}
