// linkerd-existence: the control plane's configuration is there and its pods run (spec cli §4.4).
import { BlockList } from "node:net";
import { type AnyObject, type Pod, Resources } from "#kube";
import { linkerdConfig } from "../linkerd-config.ts";
import {
  bullets,
  type CheckContext,
  clientOf,
  configOf,
  controlPlaneComponents,
  controlPlaneSelector,
  requireAll,
  requireNone,
} from "./context.ts";
import { type Category, Skip } from "./runner.ts";

type ReplicaSet = AnyObject & { status?: { conditions?: { type: string; status: string; message?: string }[] } };
type Node = AnyObject & { spec?: { podCIDR?: string } };

export const linkerdExistence: Category<CheckContext> = {
  id: "linkerd-existence",
  checks: [
    {
      description: "'linkerd-config' config map exists",
      anchor: "l5d-existence-linkerd-config",
      fatal: true,
      async run(context) {
        context.config = await linkerdConfig(clientOf(context), context.namespace);
      },
    },
    {
      description: "heartbeat ServiceAccount exist",
      anchor: "l5d-existence-sa",
      fatal: true,
      async run(context) {
        if (configOf(context).disableHeartBeat) throw new Skip();
        await requireAll(context, {
          type: Resources.serviceAccounts,
          kind: "ServiceAccounts",
          names: ["linkerd-heartbeat"],
          namespace: context.namespace,
        });
      },
    },
    {
      description: "control plane replica sets are ready",
      anchor: "l5d-existence-replicasets",
      fatal: true,
      retry: true,
      async run(context) {
        const sets = (await clientOf(context).list<ReplicaSet>({ ...Resources.replicaSets, namespace: context.namespace })).items;
        const failed = sets.flatMap(({ metadata, status }) =>
          (status?.conditions ?? [])
            .filter((condition) => condition.type === "ReplicaFailure" && condition.status === "True")
            .map(({ message }) => `${metadata.name}: ${message ?? "replicas cannot be created"}`),
        );
        if (failed.length > 0) throw new Error(failed.join("\n    "));
      },
    },
    {
      description: "no unschedulable pods",
      anchor: "l5d-existence-unschedulable-pods",
      warning: true,
      retry: true,
      async run(context) {
        for (const pod of await controlPlanePods(context)) {
          const condition = pod.status?.conditions?.find(({ reason }) => reason === "Unschedulable");
          if (condition) throw new Error(`${pod.metadata.name}: ${condition.message ?? "unschedulable"}`);
        }
      },
    },
    {
      description: "control plane pods are ready",
      anchor: "l5d-api-control-ready",
      fatal: true,
      retry: true,
      run: async (context) => requireReadyComponents(await controlPlanePods(context)),
    },
    {
      description: "cluster networks can be verified",
      anchor: "l5d-cluster-networks-verified",
      warning: true,
      async run(context) {
        const without = (await podNetworks(context)).filter(({ cidr }) => cidr === "");
        requireNone(
          "the following nodes do not expose a podCIDR:",
          without.map(({ node }) => node),
        );
      },
    },
    {
      description: "cluster networks contains all node podCIDRs",
      anchor: "l5d-cluster-networks-cidr",
      async run(context) {
        const networks = configOf(context)
          .clusterNetworks.split(",")
          .map((network) => network.trim());
        const known = (await podNetworks(context)).filter(({ cidr }) => cidr !== "");
        if (known.length === 0) throw new Skip();
        const outside = known.filter(({ cidr }) => !networks.some((network) => contains(network, cidr)));
        if (outside.length > 0)
          throw new Error(
            `${bullets(
              "the following nodes have a podCIDR which is not contained in the Linkerd clusterNetworks:",
              outside.map(({ node, cidr }) => `${node} ${cidr}`),
            )}\n\tTry installing linkerd via --set clusterNetworks="${[...networks, ...outside.map(({ cidr }) => cidr)].filter((network) => network !== "").join("\\,")}"`,
          );
      },
    },
  ],
};

/** Each component needs one running pod all of whose containers are ready. @throws {Error} */
function requireReadyComponents(pods: readonly Pod[]): void {
  const running = pods.filter(({ metadata, status }) => status?.phase === "Running" && !metadata.deletionTimestamp);
  for (const component of controlPlaneComponents) {
    const own = running.filter(({ metadata }) => metadata.name?.startsWith(`linkerd-${component}-`));
    if (own.length === 0) throw new Error(`No running pods for "linkerd-${component}"`);
    if (own.some((pod) => unreadyContainer(pod) === undefined)) continue;
    throw new Error(`pod/${own[0]?.metadata.name} container ${unreadyContainer(own[0] as Pod)} is not ready`);
  }
}

/** A container that is not ready, native sidecars among them; undefined when all are. */
function unreadyContainer({ spec, status }: Pod): string | undefined {
  const sidecars = (spec?.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === "Always");
  const statuses = [...(status?.containerStatuses ?? []), ...(status?.initContainerStatuses ?? [])];
  return [...(spec?.containers ?? []), ...sidecars]
    .map(({ name }) => name)
    .find((name) => !statuses.some((one) => one.name === name && one.ready));
}

async function controlPlanePods(context: CheckContext): Promise<Pod[]> {
  return (await clientOf(context).list<Pod>({ ...Resources.pods, namespace: context.namespace }, { labelSelector: controlPlaneSelector }))
    .items;
}

/** `cidr` is empty for a node that exposes none. */
async function podNetworks(context: CheckContext): Promise<{ node: string; cidr: string }[]> {
  const nodes = (await clientOf(context).list<Node>(Resources.nodes)).items;
  return nodes.map(({ metadata, spec }) => ({ node: metadata.name ?? "", cidr: spec?.podCIDR ?? "" }));
}

/** Every address of `inner` lies in `outer`; both in CIDR notation, of either family. */
export function contains(outer: string, inner: string): boolean {
  const [outerAddress = "", outerBits = ""] = outer.split("/");
  const [innerAddress = "", innerBits = ""] = inner.split("/");
  const family = (address: string) => (address.includes(":") ? "ipv6" : "ipv4");
  if (family(outerAddress) !== family(innerAddress) || Number(innerBits) < Number(outerBits)) return false;
  const network = new BlockList();
  try {
    network.addSubnet(outerAddress, Number(outerBits), family(outerAddress));
    return network.check(innerAddress, family(innerAddress));
  } catch {
    return false;
  }
}
