// The processes of a cluster, each with its command line: the API server, the controllers, the node agent. All are roles of this same program.
import { join } from "node:path";
import { addressesOf, type ClusterConfig, layout, type Program } from "../config.ts";

export interface ComponentSpec {
  name: "apiserver" | "controllers" | "node";
  argv: string[];
  logFile: string;
}

/** In the order of starting; they end in the opposite one. */
export function componentsOf(config: ClusterConfig, program: Program): ComponentSpec[] {
  const files = layout(config.stateDir);
  const { host, dns } = addressesOf(config);
  const role = (name: ComponentSpec["name"], flags: Record<string, string>): ComponentSpec => ({
    name,
    argv: [...program.argv, `cluster-${name}`, ...Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, value])],
    logFile: join(files.logs, `${name}.log`),
  });
  return [
    role("apiserver", {
      "data-dir": files.data,
      "pki-dir": files.pki,
      "bind-address": host,
      "advertise-address": host,
      "secure-port": String(config.apiPort),
      "node-agent": `unix:${files.kubeletSocket}`,
      "service-cluster-ip-range": config.serviceCidr,
    }),
    role("controllers", { kubeconfig: files.controllersKubeconfig }),
    role("node", {
      kubeconfig: files.nodeKubeconfig,
      "state-dir": files.node,
      images: files.images,
      listen: `unix:${files.kubeletSocket}`,
      "node-name": config.name,
      cluster: config.name,
      "pod-cidr": config.podCidr,
      "service-cidr": config.serviceCidr,
      "link-cidr": config.linkCidr,
      "cluster-dns": dns,
      "cluster-domain": config.clusterDomain,
    }),
  ];
}
