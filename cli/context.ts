// The settings every command shares (spec cli §1.2–1.4), and the client they lead to.
import { KubeClient, KubeconfigError, loadConfig } from "#kube";
import { CliError, type Io, UsageError } from "./io.ts";

/** Persistent flags of the root. */
export type GlobalOptions = {
  linkerdNamespace: string;
  cniNamespace: string;
  kubeconfig?: string;
  context?: string;
  as?: string;
  asGroup?: string[];
  /** Accepted and, as in the reference, used by nothing. */
  apiAddr?: string;
  verbose: boolean;
};

export const DEFAULT_CONTROL_PLANE_NAMESPACE = "linkerd";

/** The control plane's namespace: the flag, else `LINKERD_NAMESPACE`, else `linkerd`. @throws {UsageError} */
export function controlPlaneNamespace(options: GlobalOptions, io: Io): string {
  const fromEnv = io.env["LINKERD_NAMESPACE"];
  const name = options.linkerdNamespace === DEFAULT_CONTROL_PLANE_NAMESPACE && fromEnv ? fromEnv : options.linkerdNamespace;
  if (!/^[a-zA-Z0-9-]+$/.test(name)) throw new UsageError(`${name} is not a valid namespace`);
  return name;
}

/** @throws {CliError} naming the file and field of an unusable kubeconfig. */
export function kubeClient(options: GlobalOptions, io: Io): KubeClient {
  try {
    const config = loadConfig({ kubeconfig: options.kubeconfig, context: options.context, env: io.env });
    // Groups without a user mean nothing (spec cli §1.2).
    const impersonate = options.as === undefined ? config.impersonate : { user: options.as, groups: options.asGroup ?? [] };
    return new KubeClient({ config: impersonate ? { ...config, impersonate } : config, userAgent: "fairlead-cli" });
  } catch (error) {
    if (error instanceof KubeconfigError) throw new CliError(`error configuring Kubernetes API client: ${error.message}`);
    throw error;
  }
}

/** The message of a failure, without the stack. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
