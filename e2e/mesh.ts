// The story of a mesh on any cluster: install, deploy, mesh, observe, refuse, allow. Used by the demo and by the run on Kubernetes.
import { type Edge, inboundEdges, merge, parseExposition, since } from "./edges.ts";
import { until, type World } from "./world.ts";

export const CONTROL_PLANE = ["linkerd-identity", "linkerd-destination", "linkerd-proxy-injector"] as const;
export const SAMPLE_NAMESPACE = "emojivoto";
export const SAMPLE = ["emoji", "voting", "web", "vote-bot"] as const;

type Pod = {
  metadata: { name: string; namespace: string; uid: string; deletionTimestamp?: string; labels?: Record<string, string> };
  spec: { containers: { name: string }[]; initContainers?: { name: string }[]; serviceAccountName?: string };
  status: { phase: string; podIP?: string; containerStatuses?: { name: string; ready: boolean; restartCount: number }[] };
};

export async function pods(world: World, namespace: string, selector?: string): Promise<Pod[]> {
  const { items } = await world.json<{ items: Pod[] }>(["-n", namespace, "get", "pods", ...(selector ? ["-l", selector] : [])]);
  return items.filter((pod) => !pod.metadata.deletionTimestamp);
}

export function isMeshed(pod: Pod): boolean {
  return [...pod.spec.containers, ...(pod.spec.initContainers ?? [])].some(({ name }) => name === "linkerd-proxy");
}

/** Installs the control plane as a user does: `fairlead install | kubectl apply -f -`. */
export async function install(world: World): Promise<void> {
  await world.apply(await world.fairlead(["install"]));
  await world.rolledOut("linkerd", CONTROL_PLANE);
}

/** Meshes a namespace by one annotation and a rollout. */
export async function mesh(world: World, namespace: string, deployments: readonly string[]): Promise<void> {
  await world.kubectl(["annotate", "namespace", namespace, "--overwrite", "linkerd.io/inject=enabled"]);
  await world.kubectl(["-n", namespace, "rollout", "restart", ...deployments.map((name) => `deploy/${name}`)]);
  await world.rolledOut(namespace, deployments);
}

/** Edges into the named deployments, from their proxies' metrics. */
export async function edges(world: World, namespace: string, deployments: readonly string[]): Promise<Edge[]> {
  const pages = await Promise.all(
    deployments.map((name) => world.fairlead(["diagnostics", "proxy-metrics", "-n", namespace, `deploy/${name}`])),
  );
  return merge(pages.flatMap((page, i) => inboundEdges(deployments[i] as string, parseExposition(page))));
}

/** What happened on the edges within a time. */
export async function edgesDuring(world: World, namespace: string, deployments: readonly string[], ms: number): Promise<Edge[]> {
  const before = await edges(world, namespace, deployments);
  await Bun.sleep(ms);
  return since(before, await edges(world, namespace, deployments));
}

/** Everyone may ask the proxies' admin ports: the kubelet's probes have no identity. */
export const adminPolicy = `apiVersion: policy.linkerd.io/v1beta1
kind: Server
metadata:
  namespace: emojivoto
  name: admin
spec:
  podSelector:
    matchLabels: {}
  port: linkerd-admin
  proxyProtocol: HTTP/1
---
apiVersion: policy.linkerd.io/v1beta1
kind: ServerAuthorization
metadata:
  namespace: emojivoto
  name: admin-everyone
spec:
  server:
    name: admin
  client:
    unauthenticated: true
    networks:
    - cidr: 0.0.0.0/0
    - cidr: ::/0
`;

/** A Server on voting's gRPC port which nobody is authorized to use. */
export const votingServer = `apiVersion: policy.linkerd.io/v1beta1
kind: Server
metadata:
  namespace: emojivoto
  name: voting-grpc
  labels:
    emojivoto/api: internal-grpc
spec:
  podSelector:
    matchLabels:
      app: voting-svc
  port: grpc
  proxyProtocol: gRPC
`;

/** web may use it. */
export const votingAuthorization = `apiVersion: policy.linkerd.io/v1beta1
kind: ServerAuthorization
metadata:
  namespace: emojivoto
  name: voting-grpc
spec:
  server:
    name: voting-grpc
  client:
    meshTLS:
      serviceAccounts:
      - name: web
`;

/** Votes once at web through the API server's port-forward, so from outside the mesh's data path into web; answers status and body. */
export type Vote = { readonly status: number; readonly body: string };

export async function waitForVerdict(
  what: string,
  vote: () => Promise<Vote>,
  holds: (vote: Vote) => boolean,
  timeoutMs = 15_000,
): Promise<Vote> {
  return until(what, timeoutMs, async () => {
    const answer = await vote();
    if (holds(answer)) return answer;
    throw new Error(`HTTP ${answer.status}: ${answer.body.slice(0, 200)}`);
  });
}
