// The system's commands that the node needs, and the Debian packages that bring them.
import { accessSync, constants } from "node:fs";
import { join } from "node:path";
import { systemPath } from "./command.ts";

export interface Tool {
  binary: string;
  /** Debian package. */
  package: string;
  /** What it is needed for. */
  use: string;
}

/** What a node cannot do without. */
export const requiredTools: readonly Tool[] = [
  { binary: "ip", package: "iproute2", use: "network namespaces and links of pods" },
  { binary: "iptables-restore", package: "iptables", use: "cluster IPs" },
  { binary: "iptables", package: "iptables", use: "redirect rules of the mesh" },
  { binary: "nsenter", package: "util-linux", use: "running commands inside pods" },
  { binary: "unshare", package: "util-linux", use: "mount and process namespaces of containers" },
  { binary: "setpriv", package: "util-linux", use: "user ids and capabilities of containers" },
  { binary: "pivot_root", package: "util-linux", use: "root file systems of containers" },
  { binary: "mount", package: "mount", use: "volumes" },
  { binary: "umount", package: "mount", use: "volumes" },
];

/** What improves a node. */
export const optionalTools: readonly Tool[] = [
  { binary: "conntrack", package: "conntrack", use: "forgetting UDP flows to endpoints that are gone" },
];

/** The required tools that are not on this machine; empty when all is well. */
export function missingTools({ path = systemPath }: { path?: string } = {}): Tool[] {
  return requiredTools.filter(({ binary }) => !hasTool(binary, path));
}

export function hasTool(binary: string, path = systemPath): boolean {
  return path.split(":").some((directory) => {
    try {
      accessSync(join(directory, binary), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
