// What checks share: the client, and what an earlier check has already read.
import { type AnyObject, type KubeClient, KubeError, Resources, type ResourceType } from "#kube";
import type { LinkerdConfig } from "../linkerd-config.ts";
import type { IssuerCredentials } from "./certificates.ts";

export type CheckContext = {
  /** Makes the client. @throws {Error} in words for the reader */
  readonly connect: () => KubeClient;
  /** What `kubectl version --client` prints. @throws {Error} when there is none */
  readonly kubectlVersion: () => Promise<string>;
  /** Of the control plane. */
  readonly namespace: string;
  readonly cniNamespace: string;
  /** Of the data plane; empty = all. */
  readonly dataPlaneNamespace: string;
  readonly cliVersion: string;
  /** Latest version to compare with; undefined = not known. */
  readonly expectedVersion: string | undefined;
  readonly cniEnabled: boolean;
  /** Manifests of a default installation, for `--pre`. */
  readonly manifests: () => Promise<readonly unknown[]>;
  readonly now: () => number;
  /** Set by "can initialize the client". */
  client?: KubeClient;
  /** Set by "'linkerd-config' config map exists". */
  config?: LinkerdConfig;
  /** Set by "certificate config is valid". */
  issuer?: IssuerCredentials;
};

export function clientOf(context: CheckContext): KubeClient {
  context.client ??= context.connect();
  return context.client;
}

export function configOf(context: CheckContext): LinkerdConfig {
  if (!context.config) throw new Error("ConfigMap linkerd-config has not been read");
  return context.config;
}

/** Objects of the control plane itself, without those of the CNI plugin. */
export const controlPlaneSelector = "linkerd.io/control-plane-ns,!linkerd.io/cni-resource";

/** Its three deployments, without the prefix `linkerd-`. */
export const controlPlaneComponents = ["destination", "identity", "proxy-injector"] as const;

/** `prefix` and one line per item beneath it. */
export function bullets(prefix: string, items: readonly string[]): string {
  return `${prefix}\n${items.map((item) => `\t* ${item}`).join("\n")}`;
}

/** @throws {Error} `prefix` with one line per finding, unless there is none */
export function requireNone(prefix: string, findings: readonly string[]): void {
  if (findings.length > 0) throw new Error(bullets(prefix, findings));
}

/** @throws {Error} naming the objects that do not exist, or the one that cannot be read */
export async function requireAll(
  context: CheckContext,
  { type, kind, names, namespace }: { type: ResourceType; kind: string; names: readonly string[]; namespace?: string | undefined },
): Promise<void> {
  const client = clientOf(context);
  const missing: string[] = [];
  for (const name of names) {
    try {
      if (!(await client.find({ ...type, namespace, name }))) missing.push(name);
    } catch (error) {
      throw error instanceof KubeError ? new Error(`${kind} ${name}: ${error.message}`) : error;
    }
  }
  if (missing.length > 0) throw new Error(`missing ${kind}: ${missing.join(", ")}`);
}

/** The decoded data of a Secret in the control plane's namespace; undefined when there is none. */
export async function secretData(context: CheckContext, name: string): Promise<Record<string, string> | undefined> {
  const found = await clientOf(context).find<AnyObject & { data?: Record<string, string> }>({
    ...Resources.secrets,
    namespace: context.namespace,
    name,
  });
  if (!found) return undefined;
  return Object.fromEntries(Object.entries(found.data ?? {}).map(([key, value]) => [key, Buffer.from(value, "base64").toString("utf8")]));
}
