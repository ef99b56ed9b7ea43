// Friendly names of resource types and the pods of a workload (spec cli §2).
import { type AnyObject, type KubeClient, matchesSelector, type Pod, Resources, type ResourceType } from "#kube";
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

export type Canonical = (typeof names)[number][0];

/** Exact, case-sensitive match of short name, canonical name or plural. */
export function canonicalName(friendly: string): Canonical {
  const found = names.find((row) => (row as readonly string[]).includes(friendly));
  if (!found) throw new CliError(`cannot find Kubernetes canonical name from friendly name [${friendly}]`);
  return found[0];
}

/** Types whose pods can be found, and where they live. */
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

/** Words on the command line that name one type, and perhaps one object of it: `TYPE`, `TYPE/NAME`, `TYPE NAME`. */
export function parseTarget(words: readonly string[]): { type: Canonical; name: string | undefined } {
  const [first = "", second] = words;
  const parts = first.split("/");
  if (parts.length > 2 || (parts.length === 2 && second !== undefined)) throw new CliError(`Invalid resource string: ${words.join(" ")}`);
  const type = canonicalName(parts[0] as string);
  if (!workloads[type]) throw new CliError(`unsupported resource type [${type}]`);
  return { type, name: (parts.length === 2 ? parts[1] : second) || undefined };
}

type Selected = AnyObject & { spec?: { selector?: Record<string, unknown> } };

/** The pods of all objects of a type in a namespace, or of one; found by selector and owner, as controllers do. */
export async function podsOf(client: KubeClient, { namespace, type, name }: { namespace: string; type: Canonical; name: string | undefined }): Promise<Pod[]> {
  const resource = workloads[type];
  if (!resource) throw new CliError(`unsupported resource type [${type}]`);
  const objects = name ? [await client.get<Selected>({ ...resource, namespace, name })] : (await client.list<Selected>({ ...resource, namespace })).items;
  if (type === "pod") return objects as unknown as Pod[];
  const pods = (await client.list<Pod>({ ...Resources.pods, namespace })).items;
  if (type === "deployment") {
    const sets = (await client.list<Selected>({ ...Resources.replicaSets, namespace })).items;
    return objects.flatMap((object) => ownedBy(sets, object).flatMap((set) => ownedBy(pods, set)));
  }
  if (type === "cronjob") {
    const jobs = (await client.list<Selected>({ ...Resources.jobs, namespace })).items;
    return objects.flatMap((object) => ownedBy(jobs, object).flatMap((job) => ownedBy(pods, job)));
  }
  return objects.flatMap((object) => ownedBy(pods, object).filter((pod) => selects(object, pod)));
}

function ownedBy<T extends { metadata: AnyObject["metadata"] }>(objects: T[], owner: AnyObject): T[] {
  return objects.filter((object) => object.metadata.ownerReferences?.some((reference) => reference.uid === owner.metadata.uid));
}

/** A replication controller's selector is a plain map of labels; the others' is a label selector. */
function selects(owner: Selected, pod: Pod): boolean {
  const selector = owner.spec?.selector;
  if (!selector) return true;
  const structured = "matchLabels" in selector || "matchExpressions" in selector;
  return matchesSelector((structured ? selector : { matchLabels: selector }) as never, pod.metadata.labels ?? {});
}
