// Role `policy`: inbound policies for proxies on gRPC 8090, validation of Server and ServerAuthorization on HTTPS 9443, admin 9990 (spec control-plane §5).
import { controlPlaneNsLabel, type DefaultPolicy, defaultPolicies, isDefaultPolicy } from "#inject";
import { Informer, type KubeObject, type Pod, Resources } from "#kube";
import { parseNetwork } from "#policy";
import { createLogger, type Env, parseAddress, runRole, serveAdmin, serveGrpc, serveWebhook } from "../../runtime/index.ts";
import { admitPolicy } from "./admission.ts";
import { PolicyIndex } from "./policy-index.ts";
import { policyRoutes } from "./service.ts";

const flags = {
  "admin-addr": { default: "0.0.0.0:9990", help: "address of the admin server" },
  "grpc-addr": { default: "0.0.0.0:8090", help: "address of the gRPC server" },
  "server-addr": { default: "0.0.0.0:9443", help: "address of the admission webhook" },
  "server-tls-key": { default: "/var/run/linkerd/tls/tls.key", help: "key of the admission webhook" },
  "server-tls-certs": { default: "/var/run/linkerd/tls/tls.crt", help: "certificate of the admission webhook" },
  "admission-controller-disabled": { default: "false", help: "serve no admission webhook", bool: true },
  "control-plane-namespace": { default: "linkerd", help: "namespace of the control plane" },
  "cluster-networks": {
    default: "10.0.0.0/8,100.64.0.0/10,172.16.0.0/12,192.168.0.0/16",
    help: "networks that the cluster-* policies mean",
  },
  "identity-domain": { default: "cluster.local", help: "trust domain" },
  "default-policy": { default: "all-unauthenticated", help: `policy of ports without a Server: ${defaultPolicies.join(", ")}` },
  "log-level": { default: "linkerd=info,warn", help: "filter of log messages" },
  "log-format": { default: "plain", help: "log format: plain or json" },
  kubeconfig: { default: "", help: "path to a kubeconfig; default: KUBECONFIG, then the pod's service account" },
} as const;

/** Each change reaches streams after the turn of the event loop that brought it. */
const schedule = (flush: () => void) => void setImmediate(flush);

export function main(args: string[], env: Env): Promise<number> {
  return runRole(
    {
      name: "policy",
      flags,
      async start({ flags, client, env }) {
        const log = createLogger({ level: env["LINKERD_POLICY_CONTROLLER_LOG"] ?? flags["log-level"], format: flags["log-format"] });
        const clusterNetworks = flags["cluster-networks"].split(",").map((one) => one.trim());
        for (const network of clusterNetworks)
          if (!parseNetwork(network)) throw new Error(`--cluster-networks: ${JSON.stringify(network)} is not a network`);
        if (!isDefaultPolicy(flags["default-policy"]))
          throw new Error(`--default-policy: ${JSON.stringify(flags["default-policy"])} is not one of ${defaultPolicies.join(", ")}`);
        const defaultPolicy: DefaultPolicy = flags["default-policy"];
        const index = new PolicyIndex({
          config: {
            controlNamespace: flags["control-plane-namespace"],
            identityDomain: flags["identity-domain"],
            defaultPolicy,
            clusterNetworks,
          },
          log,
          schedule,
        });
        const onError = (error: unknown, retryInMs: number) =>
          log.warning("a watch was interrupted", { error: (error as Error).message, retryInMs: Math.round(retryInMs) });
        const pods = new Informer<Pod>({
          client,
          resource: Resources.pods,
          labelSelector: controlPlaneNsLabel,
          transform: keepPod,
          onError,
        });
        const servers = new Informer<KubeObject>({ client, resource: Resources.servers, onError });
        const authorizations = new Informer<KubeObject>({ client, resource: Resources.serverAuthorizations, onError });
        pods.onChange((change) => index.podChanged(change));
        servers.onChange((change) => index.serverChanged(change));
        authorizations.onChange((change) => index.authorizationChanged(change));
        const informers = [pods, servers, authorizations];
        const admin = serveAdmin({
          ...parseAddress("admin-addr", flags["admin-addr"]),
          ready: () => informers.every((informer) => informer.isSynced),
        });
        const webhook =
          flags["admission-controller-disabled"] === "true"
            ? undefined
            : serveWebhook({
                ...parseAddress("server-addr", flags["server-addr"]),
                certFile: flags["server-tls-certs"],
                keyFile: flags["server-tls-key"],
                strict: true,
                log,
                handle: (request) =>
                  admitPolicy(request, async (namespace) => (await client.list({ ...Resources.servers, namespace })).items),
              });
        // Served before the first lists are complete, a port could be answered with the default policy although a Server selects it.
        await Promise.all(informers.map((informer) => informer.synced));
        const grpc = await serveGrpc({ ...parseAddress("grpc-addr", flags["grpc-addr"]), routes: policyRoutes(index) });
        log.info("policy serves", {
          grpc: grpc.port,
          admin: admin.port,
          webhook: webhook?.port,
          pods: pods.store.size,
          servers: servers.store.size,
          authorizations: authorizations.store.size,
        });
        return async () => {
          await grpc.close();
          await Promise.all([...informers.map((informer) => informer.stop()), webhook?.close(), admin.close()]);
        };
      },
    },
    args,
    env,
  );
}

/** What policies look at; the rest of a pod is not kept. */
function keepPod(pod: Pod): Pod {
  const { name, namespace, uid, resourceVersion, labels, annotations } = pod.metadata;
  return {
    metadata: {
      ...(name ? { name } : {}),
      ...(namespace ? { namespace } : {}),
      ...(uid ? { uid } : {}),
      ...(resourceVersion ? { resourceVersion } : {}),
      ...(labels ? { labels } : {}),
      ...(annotations ? { annotations } : {}),
    },
    spec: {
      containers: (pod.spec?.containers ?? []).map(({ name: container, ports }) => ({ name: container, ...(ports ? { ports } : {}) })),
    },
  };
}
