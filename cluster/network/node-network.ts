// The node's network. The node is a network namespace of its own, so that the machine's rules and settings stay as they are and one deletion removes everything:
//
//   machine                     node (namespace fl-CLUSTER)                     pod (namespace fl-CLUSTER.NS.POD.UID)
//   flHASH 10.250.0.2/30 ────── host0 10.250.0.1/30                             eth0 10.244.0.5/32
//   routes to pods and          flbr0 10.244.0.1/24 ─── vethHASH ────────────── routes to pods, services and the machine
//   services by 10.250.0.1      service rules (iptables nat)                    via 10.244.0.1; no default route
//
// Pods have /32 addresses and reach each other through the node's routing, so that replies of a pod behind a cluster IP
// pass the translation again without br_netfilter. Nothing can leave the machine: no namespace has a default route.
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { type Cidr, cidrSize, cidrsOverlap, formatCidr, formatIpv4, parseCidr } from "./cidr.ts";
import { run, tryRun } from "./command.ts";
import { bridgeName, clusterNames, netnsDirectory, nodeLink, type PodIdentity, podLink, podNamespace, shortHash } from "./names.ts";

/** The addresses of a cluster. */
export interface NetworkPlan {
  /** Cluster's name, a DNS label: all names in the kernel derive from it. */
  cluster: string;
  /** Addresses of pods; default 10.244.0.0/24. */
  podCidr?: string;
  /** Addresses of services; default 10.96.0.0/16. */
  serviceCidr?: string;
  /** Link between machine and node, at least a /30; default 10.250.0.0/30. */
  linkCidr?: string;
}

export interface NodeNetwork {
  cluster: string;
  /** The machine's own address that pods reach: the API server and the DNS server listen here. Default 10.250.0.2. */
  hostAddress: string;
  /** The node's address (`InternalIP`, `hostIP`, NodePorts). Default 10.250.0.1. */
  nodeAddress: string;
  /** The pods' gateway. */
  gateway: string;
  podCidr: string;
  serviceCidr: string;
  linkCidr: string;
  /** Network namespace of the node: a file for `nsenter --net=`. */
  nodeNamespacePath: string;
}

export const defaultPlan = { podCidr: "10.244.0.0/24", serviceCidr: "10.96.0.0/16", linkCidr: "10.250.0.0/30" } as const;

/**
 * The addresses of a plan, without touching the system.
 * @throws {RangeError} naming the field that is wrong, too small, or overlaps another.
 */
export function planNetwork({
  cluster,
  podCidr = defaultPlan.podCidr,
  serviceCidr = defaultPlan.serviceCidr,
  linkCidr = defaultPlan.linkCidr,
}: NetworkPlan): NodeNetwork {
  const { nodeNamespace } = clusterNames(cluster);
  const cidrs: Record<string, Cidr> = {
    podCidr: parseCidr(podCidr, "podCidr"),
    serviceCidr: parseCidr(serviceCidr, "serviceCidr"),
    linkCidr: parseCidr(linkCidr, "linkCidr"),
  };
  for (const [field, cidr] of Object.entries(cidrs)) {
    if (cidrSize(cidr) < 4) throw new RangeError(`${field}: ${formatCidr(cidr)} has fewer than 4 addresses`);
    for (const [other, second] of Object.entries(cidrs)) {
      if (field < other && cidrsOverlap(cidr, second))
        throw new RangeError(`${field} ${formatCidr(cidr)} overlaps ${other} ${formatCidr(second)}`);
    }
  }
  const { podCidr: pods, serviceCidr: services, linkCidr: link } = cidrs as { podCidr: Cidr; serviceCidr: Cidr; linkCidr: Cidr };
  return {
    cluster,
    hostAddress: formatIpv4(link.base + 2),
    nodeAddress: formatIpv4(link.base + 1),
    gateway: formatIpv4(pods.base + 1),
    podCidr: formatCidr(pods),
    serviceCidr: formatCidr(services),
    linkCidr: formatCidr(link),
    nodeNamespacePath: join(netnsDirectory, nodeNamespace),
  };
}

/**
 * Makes the node's namespace, bridge, link and the machine's routes, or repairs what is missing of them. May be called by several parts in any order.
 * @throws {RangeError} for a bad plan; {Error} when the machine already routes one of the networks elsewhere; {CommandError}.
 */
export async function ensureNodeNetwork(plan: NetworkPlan): Promise<NodeNetwork> {
  const network = planNetwork(plan);
  const { nodeNamespace, hostLink } = clusterNames(plan.cluster);
  await refuseForeignRoutes(network, hostLink);
  await ensureNamespace(nodeNamespace);
  const bits = network.linkCidr.split("/")[1]!;
  const podBits = network.podCidr.split("/")[1]!;
  if (!existsSync(join("/sys/class/net", hostLink)))
    await tolerating("File exists", ["ip", "link", "add", hostLink, "type", "veth", "peer", "name", nodeLink, "netns", nodeNamespace]);
  await run(["ip", "-batch", "-"], {
    input: [
      `address replace ${network.hostAddress}/${bits} dev ${hostLink}`,
      `link set ${hostLink} up`,
      ...[network.podCidr, network.serviceCidr].map(
        (cidr) => `route replace ${cidr} via ${network.nodeAddress} dev ${hostLink} src ${network.hostAddress} onlink`,
      ),
      "",
    ].join("\n"),
  });
  const links = await run(["ip", "-n", nodeNamespace, "-brief", "link", "show"]);
  if (!links.split("\n").some((line) => line.startsWith(`${bridgeName} `)))
    await tolerating("File exists", [
      "ip",
      "-n",
      nodeNamespace,
      "link",
      "add",
      bridgeName,
      "address",
      bridgeAddress(plan.cluster),
      "type",
      "bridge",
    ]);
  await run(["ip", "-n", nodeNamespace, "-batch", "-"], {
    input: [
      "link set lo up",
      `address replace ${network.nodeAddress}/${bits} dev ${nodeLink}`,
      `link set ${nodeLink} up`,
      `address replace ${network.gateway}/${podBits} dev ${bridgeName}`,
      `link set ${bridgeName} up`,
      // Traffic to cluster IPs needs a route before it meets the rules that refuse unknown ones.
      `route replace ${network.serviceCidr} dev ${bridgeName}`,
      "",
    ].join("\n"),
  });
  await setSysctls(network.nodeNamespacePath, {
    "net/ipv4/ip_forward": "1",
    "net/ipv4/conf/all/send_redirects": "0",
    [`net/ipv4/conf/${bridgeName}/send_redirects`]: "0",
    [`net/ipv4/conf/${bridgeName}/rp_filter`]: "0",
    "net/bridge/bridge-nf-call-iptables": "0",
  });
  return network;
}

export interface PodNetwork {
  /** Name for `ip netns`. */
  namespace: string;
  /** File for `nsenter --net=`. */
  path: string;
  ip: string;
}

/** Gives a pod its namespace, link and routes. Whatever stood under its names is replaced. */
export async function attachPod(network: NodeNetwork, pod: PodIdentity, ip: string): Promise<PodNetwork> {
  const namespace = podNamespace(network.cluster, pod);
  const { nodeNamespace } = clusterNames(network.cluster);
  const link = podLink(pod.uid);
  await detachPod(network, pod);
  await ensureNamespace(namespace);
  await run(["ip", "-n", nodeNamespace, "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", namespace]);
  await Promise.all([
    run(["ip", "-n", nodeNamespace, "link", "set", link, "master", bridgeName, "up"]),
    run(["ip", "-n", namespace, "-batch", "-"], {
      input: [
        "link set lo up",
        `address add ${ip}/32 dev eth0`,
        "link set eth0 up",
        `route add ${network.gateway}/32 dev eth0 scope link`,
        ...[network.podCidr, network.serviceCidr, network.linkCidr].map(
          (cidr) => `route add ${cidr} via ${network.gateway} dev eth0 src ${ip}`,
        ),
        "",
      ].join("\n"),
    }),
    // As containerd does: a port below 1024 needs no capability inside a pod, nor does ping.
    setSysctls(join(netnsDirectory, namespace), {
      "net/ipv4/ip_unprivileged_port_start": "0",
      "net/ipv4/ping_group_range": "0 2147483647",
    }),
  ]);
  return { namespace, path: join(netnsDirectory, namespace), ip };
}

/** Removes a pod's link and namespace; what is already gone is no error. */
export async function detachPod(network: NodeNetwork, pod: PodIdentity): Promise<void> {
  const namespace = podNamespace(network.cluster, pod);
  if (!existsSync(join(netnsDirectory, namespace))) return;
  const { nodeNamespace } = clusterNames(network.cluster);
  // The link goes with either end's namespace, but only later, in the background: the address must be free at once.
  await tryRun(["ip", "-n", nodeNamespace, "link", "del", podLink(pod.uid)]);
  await tryRun(["ip", "netns", "del", namespace]);
}

/** Names of the network namespaces that belong to `cluster`, pods first. */
export function namespacesOf(cluster: string): string[] {
  const { nodeNamespace, podNamespacePrefix } = clusterNames(cluster);
  if (!existsSync(netnsDirectory)) return [];
  const all = readdirSync(netnsDirectory);
  return [...all.filter((name) => name.startsWith(podNamespacePrefix)), ...all.filter((name) => name === nodeNamespace)];
}

/** Fixed: a bridge without an address of its own takes the lowest of its ports', and pods would lose their gateway whenever a pod comes or goes. */
function bridgeAddress(cluster: string): string {
  return `02:${shortHash(cluster, 10).match(/../g)!.join(":")}`;
}

async function ensureNamespace(name: string): Promise<void> {
  if (!existsSync(join(netnsDirectory, name))) await tolerating("File exists", ["ip", "netns", "add", name]);
}

async function tolerating(message: string, command: string[]): Promise<void> {
  const { code, stderr } = await tryRun(command);
  if (code !== 0 && !stderr.includes(message)) throw new Error(`${command.join(" ")}: exit ${code}: ${stderr.trim()}`);
}

/** Settings below /proc/sys that this kernel has; one it lacks is left out. */
export async function setSysctls(namespacePath: string, settings: Record<string, string>): Promise<void> {
  const script = Object.entries(settings).map(([name, value]) => `[ ! -w /proc/sys/${name} ] || echo '${value}' > /proc/sys/${name}`);
  await run(["nsenter", `--net=${namespacePath}`, "sh", "-c", script.join("\n")]);
}

async function refuseForeignRoutes(network: NodeNetwork, hostLink: string): Promise<void> {
  const routes = await run(["ip", "-4", "route", "show"]);
  for (const line of routes.split("\n")) {
    const [destination = ""] = line.split(" ", 1);
    if (destination === "" || destination === "default" || / dev (\S+)/.exec(line)?.[1] === hostLink) continue;
    if (!/^[0-9.]+(\/\d+)?$/.test(destination)) continue;
    const route = parseCidr(destination.includes("/") ? destination : `${destination}/32`);
    for (const field of ["podCidr", "serviceCidr", "linkCidr"] as const) {
      if (cidrsOverlap(route, parseCidr(network[field])))
        throw new Error(`${field} ${network[field]} overlaps a route of this machine (${line.trim()}); choose another network`);
    }
  }
}
