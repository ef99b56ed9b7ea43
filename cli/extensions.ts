// Extensions: binaries on PATH that add commands of their own (spec cli §1.9), and the namespaces that say which are installed.
import { type KubeClient, Resources } from "#kube";
import type { Io } from "./io.ts";

export const EXTENSION_LABEL = "linkerd.io/extension";

/** The binary for `fairlead NAME`: `fairlead-NAME`, else the reference's `linkerd-NAME`. */
export function findExtension(name: string, io: Io): string | undefined {
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_-]*$/.test(name)) return undefined;
  const PATH = io.env["PATH"] ?? "";
  return Bun.which(`fairlead-${name}`, { PATH }) ?? Bun.which(`linkerd-${name}`, { PATH }) ?? undefined;
}

/** Runs it on this process's streams. Its exit status becomes 0 or 1. */
export async function runExtension(binary: string, args: readonly string[], io: Io): Promise<number> {
  const child = Bun.spawn([binary, ...args], { stdio: ["inherit", "inherit", "inherit"], env: io.env });
  const status = await child.exited;
  if (status === 0) return 0;
  io.stderr(`exit status ${status}\n`);
  return 1;
}

/** Names of the installed extensions, as their Namespaces are labelled; in the API's order, one for each Namespace. */
export async function installedExtensions(client: KubeClient): Promise<{ name: string; namespace: string }[]> {
  const { items } = await client.list(Resources.namespaces, { labelSelector: EXTENSION_LABEL });
  return items.map(({ metadata }) => ({ name: metadata.labels?.[EXTENSION_LABEL] ?? "", namespace: metadata.name ?? "" }));
}
