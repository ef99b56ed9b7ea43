// Role `heartbeat`: tells once what is installed, to the address the operator names; without one it only logs (spec control-plane §1.8).
import { type AnyObject, KubeClient, Resources } from "#kube";
import { VERSION } from "#version";
import { createLogger, type Env, FlagError, parseFlags } from "../runtime/index.ts";
import { collectHeartbeat } from "./heartbeat.ts";

const flags = {
  "controller-namespace": { default: "linkerd", help: "namespace of the control plane" },
  "prometheus-url": { default: "", help: "Prometheus to ask for traffic figures" },
  url: { default: "", help: "where the figures are sent; empty: nowhere" },
  "log-level": { default: "info", help: "log level" },
  "log-format": { default: "plain", help: "log format: plain or json" },
  kubeconfig: { default: "", help: "path to a kubeconfig" },
} as const;

/** Longest wait for Prometheus or the receiver, in ms. */
const timeoutMs = 30_000;

export async function main(args: string[], env: Env): Promise<number> {
  let given: Record<keyof typeof flags, string>;
  try {
    given = parseFlags(flags, args);
  } catch (error) {
    if (!(error instanceof FlagError)) throw error;
    process.stderr.write(`heartbeat: ${error.message}\n`);
    return 2;
  }
  const log = createLogger({ level: given["log-level"], format: given["log-format"] });
  try {
    const client = KubeClient.fromEnv({ kubeconfig: given.kubeconfig || undefined, env, userAgent: "fairlead-heartbeat" });
    const values = await collectHeartbeat({
      version: VERSION,
      async installation() {
        const { metadata } = await client.get({
          ...Resources.configMaps,
          namespace: given["controller-namespace"],
          name: "linkerd-config",
        });
        return { uid: metadata.uid ?? "", createdAt: metadata.creationTimestamp ?? "" };
      },
      kubernetesVersion: async () => (await client.request<{ gitVersion: string }>({ path: "/version" })).gitVersion,
      extensions: async () =>
        (await client.list<AnyObject>(Resources.namespaces, { labelSelector: "linkerd.io/extension" })).items.map(
          ({ metadata }) => metadata.labels?.["linkerd.io/extension"] ?? "",
        ),
      serviceProfiles: async () => (await client.list(Resources.serviceProfiles)).items.length,
      async query(expression) {
        if (given["prometheus-url"] === "") return undefined;
        const response = await fetch(`${given["prometheus-url"]}/api/v1/query?${new URLSearchParams({ query: expression })}`, {
          signal: AbortSignal.timeout(timeoutMs),
        });
        if (!response.ok) throw new Error(`Prometheus answered ${response.status}`);
        const { data } = (await response.json()) as { data?: { result?: { value?: [number, string] }[] } };
        const value = data?.result?.[0]?.value?.[1];
        return value === undefined ? undefined : Number(value);
      },
      onMissing: (what, error) => log.warning("left out of the heartbeat", { what, error: error.message }),
    });
    if (given.url === "") {
      log.info("heartbeat collected; no address to send it to", { values: values.toString() });
      return 0;
    }
    const response = await fetch(`${given.url}?${values}`, { signal: AbortSignal.timeout(timeoutMs) });
    if (response.status !== 200) throw new Error(`${given.url} answered ${response.status}`);
    log.info("heartbeat sent", { url: given.url });
    return 0;
  } catch (error) {
    log.error("heartbeat failed", { error: (error as Error).message });
    return 1;
  }
}
