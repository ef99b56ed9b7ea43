// What must be there before the first process starts: network, keys, kubeconfig files, folders.
import { chmodSync, mkdirSync } from "node:fs";
import { createPki, type Pki } from "../apiserver/pki.ts";
import { addressesOf, apiUrl, type ClusterConfig, layout, replaceFile } from "../config.ts";
import { ensureNodeNetwork } from "../network/index.ts";
import { contextName, type KubeconfigParts, renderKubeconfig } from "./kubeconfig.ts";

/** Idempotent. @throws {Error} telling what of the machine is in the way. */
export async function prepare(config: ClusterConfig): Promise<void> {
  const files = layout(config.stateDir);
  // Containers' users pass through the state directory to what is theirs; keys and database are the administrator's alone.
  mkdirSync(config.stateDir, { recursive: true, mode: 0o711 });
  for (const [path, mode] of [
    [files.logs, 0o750],
    [files.data, 0o700],
    [files.node, 0o711],
  ] as const) {
    mkdirSync(path, { recursive: true, mode });
    chmodSync(path, mode);
  }
  const { host, node, apiService } = addressesOf(config);
  const network = ensureNodeNetwork({
    cluster: config.name,
    podCidr: config.podCidr,
    serviceCidr: config.serviceCidr,
    linkCidr: config.linkCidr,
  });
  const [pki] = await Promise.all([
    createPki(files.pki, { serverNames: [host, node, apiService], nodeName: config.name, clusterDomain: config.clusterDomain }),
    network,
  ]);
  for (const [path, client] of [
    [files.kubeconfig, "admin"],
    [files.controllersKubeconfig, "controller-manager"],
    [files.nodeKubeconfig, "node"],
  ] as const) {
    replaceFile(path, renderKubeconfig(partsOf(config, pki, client)), 0o600);
  }
}

export function partsOf(config: ClusterConfig, pki: Pki, client: "admin" | "controller-manager" | "node"): KubeconfigParts {
  const { cert, key } = pki.client(client);
  return { name: contextName(config.name), server: apiUrl(config), ca: pki.ca, cert, key };
}
