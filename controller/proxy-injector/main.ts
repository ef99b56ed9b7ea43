// Role `proxy-injector`: the mutating webhook on HTTPS 8443, admin 9995 (spec control-plane §6).
import { readFileSync } from "node:fs";
import { Counter } from "prom-client";
import { controlPlaneChart, fromYaml, type Values } from "#chart";
import { Informer, type KubeObject, Resources } from "#kube";
import { VERSION } from "#version";
import {
  commonFlags,
  createEventRecorder,
  createMetrics,
  type Env,
  parseAddress,
  runRole,
  serveAdmin,
  serveWebhook,
  waitForSync,
} from "../runtime/index.ts";
import { admit, annotationLabelNames, type InjectorWorld } from "./injector.ts";
import { ownerOf, ownerReader } from "./owners.ts";

const flags = {
  addr: { default: ":8443", help: "address of the webhook" },
  "metrics-addr": { default: ":9995", help: "address of the admin server" },
  "tls-cert": { default: "/var/run/linkerd/tls/tls.crt", help: "certificate of the webhook" },
  "tls-key": { default: "/var/run/linkerd/tls/tls.key", help: "key of the webhook" },
  config: { default: "/var/run/linkerd/config/values", help: "values of the installation" },
  "trust-anchors": { default: "/var/run/linkerd/identity/trust-roots/ca-bundle.crt", help: "file of the trust anchors" },
  ...commonFlags,
} as const;

export function main(args: string[], env: Env): Promise<number> {
  return runRole(
    {
      name: "proxy-injector",
      flags,
      async start({ flags, client, log }) {
        const metrics = createMetrics();
        const labelNames = ["owner_kind", "namespace", "annotation_at", ...annotationLabelNames];
        const requests = new Counter({
          name: "proxy_inject_admission_requests_total",
          help: "A counter for number of admission requests to proxy injector.",
          labelNames,
          registers: [metrics.registry],
        });
        const responses = new Counter({
          name: "proxy_inject_admission_responses_total",
          help: "A counter for number of admission responses from proxy injector.",
          labelNames: [...labelNames, "skip", "skip_reason"],
          registers: [metrics.registry],
        });
        const namespaces = new Informer<KubeObject>({
          client,
          resource: Resources.namespaces,
          onError: (error, retryInMs) =>
            log.warning("a watch was interrupted", {
              resource: "namespaces",
              error: (error as Error).message,
              retryInMs: Math.round(retryInMs),
            }),
        });
        const findOwner = ownerReader(client);
        const installation = installationReader(flags.config, flags["trust-anchors"]);
        const world: InjectorWorld = {
          chart: controlPlaneChart(),
          installation,
          async namespaceAnnotations(name) {
            // A namespace may be younger than the copy's last event.
            const known = namespaces.store.get(name) ?? (await client.find({ ...Resources.namespaces, name }));
            return known ? (known.metadata.annotations ?? {}) : undefined;
          },
          ownerOf: (object, namespace) => ownerOf(object, namespace, findOwner),
          record: createEventRecorder({ client, component: "linkerd-proxy-injector", log }),
          count: (kind, labels) => (kind === "request" ? requests : responses).inc(labels),
          createdBy: `linkerd/proxy-injector ${VERSION}`,
          log,
        };
        await waitForSync([namespaces]);
        const webhook = serveWebhook({
          ...parseAddress("addr", flags.addr),
          certFile: flags["tls-cert"],
          keyFile: flags["tls-key"],
          handle: (request) => admit(request, world),
          log,
          metrics,
        });
        const admin = serveAdmin({ ...parseAddress("metrics-addr", flags["metrics-addr"]), metrics: metrics.registry });
        log.info("proxy-injector serves", { webhook: webhook.port, admin: admin.port });
        return async () => {
          await webhook.close();
          await Promise.all([namespaces.stop(), admin.close()]);
        };
      },
    },
    args,
    env,
  );
}

/** Reads both files each time, so that a changed config map counts at once; the text is parsed only when it has changed. */
export function installationReader(
  configFile: string,
  anchorsFile: string,
  read: (path: string) => string = (path) => readFileSync(path, "utf8"),
): InjectorWorld["installation"] {
  let seen: { text: string; values: Values } | undefined;
  return () => {
    const text = read(configFile);
    const trustAnchorsPem = read(anchorsFile);
    if (seen?.text !== text) {
      let values: unknown;
      try {
        values = fromYaml(text);
      } catch (error) {
        throw new Error(`${configFile}: ${(error as Error).message.split("\n")[0]}`);
      }
      if (typeof values !== "object" || values === null || Array.isArray(values))
        throw new Error(`${configFile}: expected a mapping of values`);
      seen = { text, values: values as Values };
    }
    return { values: seen.values, trustAnchorsPem };
  };
}
