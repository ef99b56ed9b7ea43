// Reaches a port of a pod through the API server's portforward subresource: a local port whose connections are carried
// over WebSocket (subprotocol v4.channel.k8s.io), as kubectl port-forward gives one.
import type { Socket } from "bun";
import { type KubeClient, type Pod, Resources, resourcePath } from "#kube";
import { CliError } from "./io.ts";

/** A local port that leads to one of a pod. Close it when done. */
export interface PortForward {
  /** On 127.0.0.1. */
  readonly port: number;
  /** The first failure of the tunnel, in the server's words; null while all is well. */
  readonly error: string | null;
  close(): void;
}

const DATA = 0;
const ERROR = 1;

type Bytes = Uint8Array<ArrayBuffer>;
/** `refused` waits for the local connection to drain: its bound is the pod's answer, which the caller reads whole. */
type Tunnel = { socket: WebSocket; open: boolean; refused: Bytes[]; ended: boolean };

/** `port` is the pod's. Listens at once; the tunnel is made per connection. */
export function forwardPort({ client, namespace, pod, port }: { client: KubeClient; namespace: string; pod: string; port: number }): PortForward {
  const path = resourcePath({ ...Resources.pods, namespace, name: pod, subresource: "portforward" });
  let failure: string | null = null;
  const server = Bun.listen<Tunnel | undefined>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(local) {
        client.webSocket({ path, query: { ports: port }, protocols: ["v4.channel.k8s.io"] }).then(
          (socket) => carry(local, socket),
          (error: Error) => {
            failure ??= error.message;
            local.terminate();
          },
        );
      },
      data(local, bytes) {
        const tunnel = local.data;
        const frame = channelFrame(bytes);
        if (tunnel?.open) tunnel.socket.send(frame);
        else early.set(local, [...(early.get(local) ?? []), frame]);
      },
      drain: (local) => flush(local),
      close(local) {
        local.data?.socket.close();
      },
      error() {},
    },
  });
  /** What a client sends before its tunnel stands; clients of this port send one request and wait. */
  const early = new WeakMap<object, Bytes[]>();

  function carry(local: Socket<Tunnel | undefined>, socket: WebSocket): void {
    socket.binaryType = "arraybuffer";
    const tunnel: Tunnel = { socket, open: false, refused: [], ended: false };
    local.data = tunnel;
    // Each channel begins with the port's number in two bytes, RFC 6455 message or not.
    const preludes = [2, 2];
    socket.onopen = () => {
      tunnel.open = true;
      for (const frame of early.get(local) ?? []) socket.send(frame);
      early.delete(local);
    };
    socket.onmessage = ({ data }) => {
      let bytes = new Uint8Array(data as ArrayBuffer);
      const channel = bytes[0] ?? -1;
      bytes = bytes.subarray(1);
      const skip = Math.min(preludes[channel] ?? 0, bytes.length);
      if (skip > 0) {
        preludes[channel] = (preludes[channel] as number) - skip;
        bytes = bytes.subarray(skip);
      }
      if (bytes.length === 0) return;
      if (channel === DATA) {
        tunnel.refused.push(bytes);
        flush(local);
      } else if (channel === ERROR) {
        failure ??= new TextDecoder().decode(bytes).trim();
        local.terminate();
      }
    };
    socket.onerror = (event) => {
      failure ??= (event as ErrorEvent).message || "the tunnel to the pod failed";
      local.terminate();
    };
    socket.onclose = () => {
      tunnel.ended = true;
      flush(local);
    };
  }

  function flush(local: Socket<Tunnel | undefined>): void {
    const tunnel = local.data;
    if (!tunnel) return;
    for (;;) {
      const bytes = tunnel.refused[0];
      if (bytes === undefined) break;
      const written = Math.max(0, local.write(bytes));
      if (written < bytes.length) {
        tunnel.refused[0] = bytes.subarray(written);
        return;
      }
      tunnel.refused.shift();
    }
    if (tunnel.ended) local.end();
  }

  return {
    port: server.port,
    get error() {
      return failure;
    },
    close: () => server.stop(true),
  };
}

function channelFrame(bytes: Uint8Array): Bytes {
  const frame = new Uint8Array(bytes.length + 1);
  frame[0] = DATA;
  frame.set(bytes, 1);
  return frame;
}

/** Fetches a path of a pod's port over HTTP/1.1. @throws {CliError} with the tunnel's own words when it failed. */
export async function getFromPod(
  client: KubeClient,
  { namespace, pod, port, path, timeoutMs }: { namespace: string; pod: string; port: number; path: string; timeoutMs: number },
): Promise<string> {
  const forward = forwardPort({ client, namespace, pod, port });
  try {
    const response = await fetch(`http://127.0.0.1:${forward.port}${path}`, { signal: AbortSignal.timeout(timeoutMs) });
    const body = await response.text();
    if (!response.ok) throw new CliError(`GET ${path}: ${response.status} ${response.statusText}`);
    return body;
  } catch (error) {
    if (error instanceof CliError) throw error;
    throw new CliError(forward.error ?? (error as Error).message);
  } finally {
    forward.close();
  }
}

/** The number of a named port of a running pod's container. */
export function containerPort(pod: Pod, portName: string): { container: string; port: number } | undefined {
  // Native sidecars are init containers.
  for (const container of [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])])
    for (const port of container.ports ?? []) if (port.name === portName) return { container: container.name, port: port.containerPort };
  return undefined;
}

/** A running pod of a Deployment. @throws {CliError} when there is none. */
export async function runningPodOf(client: KubeClient, { namespace, deployment }: { namespace: string; deployment: string }): Promise<Pod> {
  const [sets, pods] = await Promise.all([
    client.list({ ...Resources.replicaSets, namespace }),
    client.list<Pod>({ ...Resources.pods, namespace }),
  ]);
  const owned = new Set(
    sets.items.filter((set) => set.metadata.ownerReferences?.some((o) => o.kind === "Deployment" && o.name === deployment)).map((set) => set.metadata.uid),
  );
  const pod = pods.items.find(
    (candidate) => candidate.status?.phase === "Running" && !candidate.metadata.deletionTimestamp && candidate.metadata.ownerReferences?.some((o) => owned.has(o.uid)),
  );
  if (!pod) throw new CliError(`no running pods found for ${deployment}`);
  return pod;
}
