// What every namespace gets: the service account `default` and the ConfigMap kube-root-ca.crt. And tokens kept in Secrets. Pure.
import { type KubeObject, Resources } from "#kube";
import { type NewObject, nothing, type Outcome } from "./actions.ts";
import type { Namespace } from "./types.ts";
import type { World } from "./world.ts";

export const rootCaName = "kube-root-ca.crt";
export const serviceAccountAnnotation = "kubernetes.io/service-account.name";
const uidAnnotation = "kubernetes.io/service-account.uid";
const description =
  "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.";

const isLiving = (namespace: Namespace | undefined): namespace is Namespace =>
  namespace !== undefined && namespace.metadata.deletionTimestamp === undefined && namespace.status?.phase !== "Terminating";

/** The account `default` of an active namespace. */
export function reconcileDefaultAccount(world: World, namespace: string): Outcome {
  if (!isLiving(world.namespaces.get(namespace)) || world.serviceAccounts.get("default", namespace)) return nothing;
  const object: NewObject = { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "default", namespace } };
  return { actions: [{ do: "create", resource: Resources.serviceAccounts, object, refused: () => [] }] };
}

/** The ConfigMap with the API server's certificate authority, `ca` in PEM; put back when changed. */
export function reconcileRootCa(world: World, namespace: string, ca: string): Outcome {
  if (!isLiving(world.namespaces.get(namespace))) return nothing;
  const current = world.rootCas.get(rootCaName, namespace);
  const data = { "ca.crt": ca };
  if (!current) {
    const object: NewObject = {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: rootCaName, namespace, annotations: { "kubernetes.io/description": description } },
      data,
    };
    return { actions: [{ do: "create", resource: Resources.configMaps, object, refused: () => [] }] };
  }
  const gone = Object.fromEntries(
    Object.keys(current.data ?? {})
      .filter((key) => key !== "ca.crt")
      .map((key) => [key, null]),
  );
  if (current.data?.["ca.crt"] === ca && Object.keys(gone).length === 0) return nothing;
  return { actions: [{ do: "patch", resource: Resources.configMaps, target: current, patch: { data: { ...gone, ...data } } }] };
}

/** What a token Secret lacks: `token` asks the runtime to have one made for that account. */
export function reconcileTokenSecret(
  world: World,
  namespace: string,
  name: string,
  ca: string,
): Outcome & { token?: { account: KubeObject; secret: KubeObject; complete: (token: string) => Outcome } } {
  const secret = world.tokenSecrets.get(name, namespace);
  const accountName = secret?.metadata.annotations?.[serviceAccountAnnotation];
  if (!secret || !accountName || secret.metadata.deletionTimestamp !== undefined) return nothing;
  const account = world.serviceAccounts.get(accountName, namespace);
  const uid = secret.metadata.annotations?.[uidAnnotation];
  if (!account) return nothing;
  // Made for an account of the same name that is gone: it must not come to life again for another.
  if (uid !== undefined && uid !== account.metadata.uid)
    return { actions: [{ do: "delete", resource: Resources.secrets, target: secret }] };
  const wanted: Record<string, string> = { "ca.crt": btoa(ca), namespace: btoa(namespace) };
  const missing = Object.entries(wanted).filter(([key, value]) => secret.data?.[key] !== value);
  const complete = (token: string | undefined): Outcome => ({
    actions: [
      {
        do: "patch",
        resource: Resources.secrets,
        target: secret,
        patch: {
          metadata: { annotations: { [uidAnnotation]: account.metadata.uid ?? "" } },
          data: { ...Object.fromEntries(missing), ...(token ? { token: btoa(token) } : {}) },
        },
      },
    ],
  });
  if (!secret.data?.["token"]) return { actions: [], token: { account, secret, complete } };
  return missing.length > 0 || uid === undefined ? complete(undefined) : nothing;
}

/** Token Secrets of an account that is gone. */
export function reconcileAccountSecrets(world: World, namespace: string, account: string): Outcome {
  if (world.serviceAccounts.get(account, namespace)) return nothing;
  const stale = world.tokenSecrets
    .list(namespace)
    .filter(
      ({ metadata }) => metadata.annotations?.[serviceAccountAnnotation] === account && metadata.annotations[uidAnnotation] !== undefined,
    );
  return { actions: stale.map((target) => ({ do: "delete", resource: Resources.secrets, target })) };
}
