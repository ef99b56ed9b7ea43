// What checks share: the client, and what an earlier check has already read.
import type { KubeClient } from "#kube";
import type { LinkerdConfig } from "../linkerd-config.ts";
import type { IssuerCredentials } from "./certificates.ts";

export type CheckContext = {
  /** Made by the first check. */
  client: KubeClient | undefined;
  readonly connect: () => KubeClient;
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
  config?: LinkerdConfig;
  issuer?: IssuerCredentials;
};

/** The client, once `can initialize the client` holds. */
export function clientOf(context: CheckContext): KubeClient {
  context.client ??= context.connect();
  return context.client;
}

/** The configuration read by `'linkerd-config' config map exists`. */
export function configOf(context: CheckContext): LinkerdConfig {
  if (!context.config) throw new Error("ConfigMap linkerd-config has not been read");
  return context.config;
}

/** Objects of the control plane itself, without those of the CNI plugin. */
export const controlPlaneSelector = "linkerd.io/control-plane-ns,!linkerd.io/cni-resource";

/** `prefix` and one line per item beneath it. */
export function bullets(prefix: string, items: readonly string[]): string {
  return `${prefix}\n${items.map((item) => `\t* ${item}`).join("\n")}`;
}
