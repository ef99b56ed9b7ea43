// Reads the control plane's configuration as it was installed: ConfigMap linkerd-config, key `values`.
import { parse } from "yaml";
import { type AnyObject, type KubeClient, Resources } from "#kube";
import { CliError } from "./io.ts";

/** The values this CLI looks at; the others pass through. */
export type LinkerdConfig = {
  readonly uid: string;
  readonly linkerdVersion: string;
  readonly clusterDomain: string;
  readonly clusterNetworks: string;
  readonly cniEnabled: boolean;
  readonly disableHeartBeat: boolean;
  readonly highAvailability: boolean;
  readonly identityTrustAnchorsPEM: string;
  readonly identityTrustDomain: string;
  /** Scheme of Secret linkerd-identity-issuer. */
  readonly issuerScheme: string;
  readonly runAsRoot: boolean;
  readonly values: Readonly<Record<string, unknown>>;
};

/** @throws {KubeError} when it cannot be read, {CliError} naming the key when it is no mapping. */
export async function linkerdConfig(client: KubeClient, namespace: string, signal?: AbortSignal): Promise<LinkerdConfig> {
  const map = await client.get<AnyObject & { data?: Record<string, string> }>(
    { ...Resources.configMaps, namespace, name: "linkerd-config" },
    signal ? { signal } : {},
  );
  const text = map.data?.["values"];
  let values: unknown;
  try {
    values = parse(text ?? "");
  } catch (error) {
    throw new CliError(`ConfigMap ${namespace}/linkerd-config: data.values: ${(error as Error).message.split("\n")[0]}`);
  }
  if (typeof values !== "object" || values === null)
    throw new CliError(`ConfigMap ${namespace}/linkerd-config: data.values: expected a mapping`);
  const at = (path: string): unknown =>
    path.split(".").reduce<unknown>((v, key) => (v as Record<string, unknown> | undefined)?.[key], values);
  const string = (path: string): string => (typeof at(path) === "string" ? (at(path) as string) : "");
  return {
    uid: map.metadata.uid ?? "",
    linkerdVersion: string("linkerdVersion"),
    clusterDomain: string("clusterDomain") || "cluster.local",
    clusterNetworks: string("clusterNetworks"),
    cniEnabled: at("cniEnabled") === true,
    disableHeartBeat: at("disableHeartBeat") === true,
    highAvailability: at("highAvailability") === true,
    identityTrustAnchorsPEM: string("identityTrustAnchorsPEM"),
    identityTrustDomain: string("identityTrustDomain"),
    issuerScheme: string("identity.issuer.scheme"),
    runAsRoot: at("proxyInit.runAsRoot") === true,
    values: values as Record<string, unknown>,
  };
}
