// From Services and EndpointSlices to the rules of the node's namespace, as text for iptables-restore: what kube-proxy does in iptables mode.
//
// PREROUTING, OUTPUT → FAIRLEAD-SERVICES → one FAIRLEAD-SVC-… per service port → by chance one FAIRLEAD-SEP-… per endpoint → DNAT.
// A connection of a pod to itself through its own service is masqueraded (hairpin). Services without endpoints refuse with ICMP, seen as "connection refused".
import type { EndpointSlice, Service } from "#kube";
import { parseIpv4 } from "./cidr.ts";
import { shortHash } from "./names.ts";

export interface RuleInput {
  services: Service[];
  slices: EndpointSlice[];
  serviceCidr: string;
  /** NodePorts are served here. */
  nodeAddress: string;
}

/** An address and port that a service port leads to. */
export interface Target {
  ip: string;
  port: number;
}

/** One port of a service, with where it leads to now. */
export interface ServicePortState {
  namespace: string;
  service: string;
  /** Name of the port; "" when it has none. */
  portName: string;
  protocol: "tcp" | "udp";
  clusterIP: string;
  port: number;
  nodePort: number | undefined;
  /** Seconds for which a client stays with one endpoint; `undefined`: no affinity. */
  affinitySeconds: number | undefined;
  targets: Target[];
}

const masqueradeMark = "0x4000/0x4000";
/** Linux's limit is 28 characters for the name of a chain. */
const chainHashLength = 14;
const defaultAffinitySeconds = 10_800;

type ServiceWithAffinity = Service & {
  spec?: { sessionAffinity?: string; sessionAffinityConfig?: { clientIP?: { timeoutSeconds?: number } } };
};

/** The ports of all services that have a cluster IP, ordered by namespace, name and port, each with its targets in order. What is malformed is left out. */
export function resolveServices(services: Service[], slices: EndpointSlice[]): ServicePortState[] {
  const byService = new Map<string, EndpointSlice[]>();
  for (const slice of slices) {
    const owner = slice.metadata.labels?.["kubernetes.io/service-name"];
    if (!owner || (slice.addressType ?? "IPv4") !== "IPv4") continue;
    const key = `${slice.metadata.namespace}/${owner}`;
    byService.set(key, [...(byService.get(key) ?? []), slice]);
  }
  const states: ServicePortState[] = [];
  for (const service of services as ServiceWithAffinity[]) {
    const { spec, metadata } = service;
    if (!spec || !isIpv4(spec.clusterIP) || spec.type === "ExternalName") continue;
    const affinitySeconds =
      spec.sessionAffinity === "ClientIP" ? (spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? defaultAffinitySeconds) : undefined;
    for (const port of spec.ports ?? []) {
      const protocol = (port.protocol ?? "TCP").toLowerCase();
      if ((protocol !== "tcp" && protocol !== "udp") || !isPort(port.port)) continue;
      states.push({
        namespace: metadata.namespace ?? "",
        service: metadata.name ?? "",
        portName: port.name ?? "",
        protocol,
        clusterIP: spec.clusterIP!,
        port: port.port,
        nodePort: isPort(port.nodePort) ? port.nodePort : undefined,
        affinitySeconds,
        targets: targetsOf(byService.get(`${metadata.namespace}/${metadata.name}`) ?? [], port.name ?? "", protocol),
      });
    }
  }
  const order = (one: ServicePortState) => `${one.namespace}/${one.service}/${one.portName}/${one.protocol}/${one.port}`;
  return states.sort((a, b) => (order(a) < order(b) ? -1 : 1));
}

/** Ready endpoints; when there is none, those that still serve while they end. */
function targetsOf(slices: EndpointSlice[], portName: string, protocol: string): Target[] {
  const ready = new Map<string, Target>();
  const serving = new Map<string, Target>();
  for (const slice of slices) {
    for (const port of slice.ports ?? []) {
      if ((port.name ?? "") !== portName || (port.protocol ?? "TCP").toLowerCase() !== protocol || !isPort(port.port)) continue;
      for (const { addresses, conditions } of slice.endpoints ?? []) {
        const ip = addresses[0];
        if (!isIpv4(ip)) continue;
        if (conditions?.ready !== false) ready.set(`${ip}:${port.port}`, { ip, port: port.port });
        else if (conditions.serving && conditions.terminating) serving.set(`${ip}:${port.port}`, { ip, port: port.port });
      }
    }
  }
  const chosen = [...(ready.size > 0 ? ready : serving).values()];
  return chosen.sort((a, b) => parseIpv4(a.ip) - parseIpv4(b.ip) || a.port - b.port);
}

/** What the namespace's tables hold already. */
export interface InstalledRules {
  /** Chains of ours in the nat table. */
  chains: string[];
  /** The built-in chains lead to ours. */
  hasJumps: boolean;
}

/** From a dump of all tables (iptables-save). */
export function parseInstalled(dump: string): InstalledRules {
  const [, nat = ""] = dump.split(/^\*nat$/m);
  const chains = [...nat.split("COMMIT")[0]!.matchAll(/^:(FAIRLEAD-\S+)/gm)].map((match) => match[1]!);
  const jumps = dump.split("\n").filter((line) => /^-A (PREROUTING|INPUT|FORWARD|OUTPUT|POSTROUTING) -j FAIRLEAD-/.test(line));
  return { chains, hasJumps: jumps.length === 6 };
}

/**
 * Input for `iptables-restore --noflush`: our chains of the `nat` and `filter` tables as they are to be, chains not needed any more removed. The built-in
 * chains only get their jumps when `installed` says that they lack them: replacing them would let packets through untranslated for a moment.
 * Equal input gives equal text.
 */
export function renderRules(
  { services, slices, serviceCidr, nodeAddress }: RuleInput,
  installed: InstalledRules = { chains: [], hasJumps: false },
): { text: string; chains: string[] } {
  const states = resolveServices(services, slices);
  const chains: string[] = [];
  const jumps: string[] = [];
  const nodePorts: string[] = [];
  const rules: string[] = [];
  const refusals: string[] = [];
  for (const state of states) {
    const { protocol, clusterIP, port, nodePort, targets, affinitySeconds } = state;
    const name = `${state.namespace}/${state.service}${state.portName ? `:${state.portName}` : ""}`;
    const comment = `-m comment --comment ${quote(name)}`;
    const match = `-d ${clusterIP}/32 -p ${protocol} -m ${protocol} --dport ${port}`;
    const nodeMatch = `-d ${nodeAddress}/32 -p ${protocol} -m ${protocol} --dport ${nodePort}`;
    if (targets.length === 0) {
      const reject = `-m comment --comment ${quote(`${name} has no endpoints`)} -j REJECT --reject-with icmp-port-unreachable`;
      refusals.push(`-A FAIRLEAD-SERVICES ${match} ${reject}`);
      if (nodePort) refusals.push(`-A FAIRLEAD-SERVICES ${nodeMatch} ${reject}`);
      continue;
    }
    const chain = `FAIRLEAD-SVC-${shortHash(`${name}/${protocol}/${port}`, chainHashLength)}`;
    chains.push(chain);
    jumps.push(`-A FAIRLEAD-SERVICES ${match} ${comment} -j ${chain}`);
    if (nodePort) nodePorts.push(`-A FAIRLEAD-NODEPORTS -p ${protocol} -m ${protocol} --dport ${nodePort} ${comment} -j ${chain}`);
    const endpoints = targets.map((target) => ({
      ...target,
      chain: `FAIRLEAD-SEP-${shortHash(`${name}/${protocol}/${target.ip}:${target.port}`, chainHashLength)}`,
    }));
    if (affinitySeconds !== undefined) {
      for (const one of endpoints)
        rules.push(`-A ${chain} -m recent --rcheck --seconds ${affinitySeconds} --reap --name ${one.chain} --rsource -j ${one.chain}`);
    }
    endpoints.forEach((one, index) => {
      const left = endpoints.length - index;
      const chance = left > 1 ? `-m statistic --mode random --probability ${(1 / left).toFixed(11)} ` : "";
      rules.push(`-A ${chain} ${chance}-j ${one.chain}`);
    });
    for (const one of endpoints) {
      chains.push(one.chain);
      rules.push(`-A ${one.chain} -s ${one.ip}/32 -j MARK --set-xmark ${masqueradeMark}`);
      const remember = affinitySeconds === undefined ? "" : `-m recent --set --name ${one.chain} --rsource `;
      rules.push(`-A ${one.chain} -p ${protocol} ${remember}-m ${protocol} -j DNAT --to-destination ${one.ip}:${one.port}`);
    }
  }
  const own = ["FAIRLEAD-SERVICES", "FAIRLEAD-NODEPORTS", "FAIRLEAD-POSTROUTING", ...chains];
  const stale = installed.chains.filter((chain) => !own.includes(chain));
  const jump = (from: string, to: string) => (installed.hasJumps ? [] : [`-A ${from} -j ${to}`]);
  const text = [
    "*nat",
    ...[...own, ...stale].map((chain) => `:${chain} - [0:0]`),
    ...jump("PREROUTING", "FAIRLEAD-SERVICES"),
    ...jump("OUTPUT", "FAIRLEAD-SERVICES"),
    ...jump("POSTROUTING", "FAIRLEAD-POSTROUTING"),
    `-A FAIRLEAD-POSTROUTING -m mark --mark ${masqueradeMark} -j MASQUERADE`,
    ...jumps,
    `-A FAIRLEAD-SERVICES -d ${nodeAddress}/32 -j FAIRLEAD-NODEPORTS`,
    ...nodePorts,
    ...rules,
    ...stale.map((chain) => `-X ${chain}`),
    "COMMIT",
    "*filter",
    ":FAIRLEAD-SERVICES - [0:0]",
    ...["INPUT", "FORWARD", "OUTPUT"].flatMap((chain) => jump(chain, "FAIRLEAD-SERVICES")),
    ...refusals,
    // What is still addressed to a cluster IP here has no service behind it.
    `-A FAIRLEAD-SERVICES -d ${serviceCidr} -j REJECT --reject-with icmp-port-unreachable`,
    "COMMIT",
    "",
  ].join("\n");
  return { text, chains: own };
}

/** UDP targets that a service port led to before and does not any more: flows to them must be forgotten. */
export function lostUdpTargets(before: ServicePortState[], now: ServicePortState[]): { clusterIP: string; port: number; target: Target }[] {
  const key = (state: ServicePortState, target: Target) => `${state.clusterIP}:${state.port}>${target.ip}:${target.port}`;
  const kept = new Set(
    now.filter((state) => state.protocol === "udp").flatMap((state) => state.targets.map((target) => key(state, target))),
  );
  return before
    .filter((state) => state.protocol === "udp")
    .flatMap((state) =>
      state.targets
        .filter((target) => !kept.has(key(state, target)))
        .map((target) => ({ clusterIP: state.clusterIP, port: state.port, target })),
    );
}

function isIpv4(text: string | undefined): text is string {
  try {
    parseIpv4(text ?? "");
    return true;
  } catch {
    return false;
  }
}

function isPort(value: number | undefined): value is number {
  return Number.isInteger(value) && value! > 0 && value! <= 65_535;
}

/** Names of objects come from the API: nothing but harmless characters reaches the rules. */
function quote(text: string): string {
  return `"${text.replace(/[^A-Za-z0-9_.:/ -]/g, "_").slice(0, 240)}"`;
}
