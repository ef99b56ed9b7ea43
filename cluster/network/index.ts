// The cluster's network on one machine. Contract for the supervisor and the API server:
// - `missingTools()` lists commands to install before anything else;
// - `ensureNodeNetwork(plan)` makes the node (idempotent; before the API server binds to `hostAddress`);
// - `cleanupNode({ cluster, stateDir })` removes everything, also after a crash.
export { type Cidr, cidrContains, cidrsOverlap, formatCidr, formatIpv4, parseCidr, parseIpv4 } from "./cidr.ts";
export { type CleanupReport, cleanupNode, mountsBelow } from "./cleanup.ts";
export { CommandError, run, systemPath, tryRun } from "./command.ts";
export { type DialedSocket, type DialHandlers, dialLoopback } from "./dial.ts";
export { Ipam } from "./ipam.ts";
export { bridgeName, clusterNames, netnsDirectory, type PodIdentity, podNamespace, shortHash } from "./names.ts";
export {
  attachPod,
  defaultPlan,
  detachPod,
  ensureNodeNetwork,
  type NetworkPlan,
  type NodeNetwork,
  namespacesOf,
  type PodNetwork,
  planNetwork,
  setSysctls,
} from "./node-network.ts";
export { isSameProcess, type ProcessIdentity, startTimeOf } from "./processes.ts";
export { renderRules, resolveServices, type ServicePortState, type Target } from "./rules.ts";
export { applyRules, readInstalled, ServiceProxy, type ServiceProxyOptions } from "./service-proxy.ts";
export { hasTool, missingTools, optionalTools, requiredTools, type Tool } from "./tools.ts";
