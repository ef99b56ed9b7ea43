// Reaches a port of a pod through the API server's portforward subresource: a local port whose connections are carried
// over WebSocket (subprotocol v4.channel.k8s.io), as kubectl port-forward gives one.
import { createServer, type Socket } from "node:net";
import { type KubeClient, KubeError, Resources, resourcePath } from "#kube";
import { CliError } from "./io.ts";

/** A local port that leads to one of a pod. Close it when done. */
export interface PortForward {
  /** On 127.0.0.1. */
  readonly port: number;
  /** Why the first connection that could not be carried failed, in the server's words; null while all is well. */
  failure(): Promise<string | null>;
  close(): void;
}

export type PodPort = { readonly client: KubeClient; readonly namespace: string; readonly pod: string; readonly port: number };

/** Channels of the one forwarded port. Each begins with the port's number, in two bytes. */
const DATA = 0;
const ERROR = 1;
const PRELUDE_BYTES = 2;

/** Most bytes that a local client may send before its tunnel stands, and that may wait for it to read: then the connection ends. */
export const maxWaitingBytes = 16 << 20;

/** Listens at once; a tunnel is made for each connection. */
export async function forwardPort({ client, namespace, pod, port }: PodPort): Promise<PortForward> {
  const path = resourcePath({ ...Resources.pods, namespace, name: pod, subresource: "portforward" });
  const sockets = new Set<Socket>();
  let failure: string | null = null;
  let explaining: Promise<void> = Promise.resolve();

  const server = createServer((local) => {
    sockets.add(local);
    local.on("close", () => sockets.delete(local));
    local.on("error", () => local.destroy());
    const fail = (why: string) => {
      failure ??= why;
      local.destroy();
    };
    client.webSocket({ path, query: { ports: port }, protocols: ["v4.channel.k8s.io"] }).then(
      (tunnel) => {
        let wasOpen = false;
        tunnel.addEventListener("open", () => {
          wasOpen = true;
        });
        tunnel.addEventListener("error", (event) => {
          const why = (event as ErrorEvent).message || "the tunnel to the pod failed";
          // Closing it after a failure is an error of its own.
          if (local.destroyed) return;
          if (wasOpen) return fail(why);
          // The handshake's answer is not shown to us; asked without the upgrade, the server says who may not or what does not exist.
          explaining = refusal(client, path, port).then((reason) => fail(reason ?? why));
        });
        carry(local, tunnel, fail);
      },
      (error: Error) => fail(error.message),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  return {
    port: (server.address() as { port: number }).port,
    async failure() {
      await explaining;
      return failure;
    },
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

function carry(local: Socket, tunnel: WebSocket, fail: (why: string) => void): void {
  tunnel.binaryType = "arraybuffer";
  const early: Uint8Array<ArrayBuffer>[] = [];
  let earlyBytes = 0;
  const preludeLeft = new Map([
    [DATA, PRELUDE_BYTES],
    [ERROR, PRELUDE_BYTES],
  ]);
  local.on("data", (bytes) => {
    const frame = channelFrame(bytes as Buffer);
    if (tunnel.readyState === WebSocket.OPEN) return void tunnel.send(frame);
    early.push(frame);
    earlyBytes += bytes.length;
    if (earlyBytes > maxWaitingBytes) fail("too much was sent before the tunnel to the pod stood");
  });
  local.on("close", () => tunnel.close());
  tunnel.addEventListener("open", () => {
    for (const frame of early.splice(0)) tunnel.send(frame);
  });
  tunnel.addEventListener("message", ({ data }) => {
    const [channel = -1] = new Uint8Array(data as ArrayBuffer, 0, 1);
    const rest = new Uint8Array(data as ArrayBuffer, 1);
    const skipped = Math.min(preludeLeft.get(channel) ?? 0, rest.length);
    preludeLeft.set(channel, (preludeLeft.get(channel) ?? 0) - skipped);
    const bytes = rest.subarray(skipped);
    if (bytes.length === 0) return;
    if (channel === ERROR) return fail(new TextDecoder().decode(bytes).trim());
    if (channel !== DATA) return;
    local.write(bytes);
    if (local.writableLength > maxWaitingBytes) fail("what the pod sent was not read");
  });
  tunnel.addEventListener("close", () => local.end());
}

/** What the API server has against the request; undefined when it has nothing against it. */
async function refusal(client: KubeClient, path: string, port: number): Promise<string | undefined> {
  try {
    await client.request({ path, query: { ports: port } });
    return undefined;
  } catch (error) {
    // 400 is the wanted one: "Upgrade request required".
    return error instanceof KubeError && error.code !== 400 ? error.message : undefined;
  }
}

function channelFrame(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const frame = new Uint8Array(bytes.length + 1);
  frame[0] = DATA;
  frame.set(bytes, 1);
  return frame;
}

/** Runs `use` on a forwarded port. @throws {CliError} with the tunnel's own words when it failed */
export async function withPort<T>(target: PodPort, use: (port: number) => Promise<T>): Promise<T> {
  const forward = await forwardPort(target);
  try {
    return await use(forward.port);
  } catch (error) {
    const failure = await forward.failure();
    throw failure === null ? error : new CliError(failure);
  } finally {
    forward.close();
  }
}

/** Fetches a path of a pod's port over HTTP/1.1. `timeoutMs` is for the whole answer. @throws {CliError} */
export function getFromPod(target: PodPort, { path, timeoutMs }: { path: string; timeoutMs: number }): Promise<string> {
  return withPort(target, async (port) => {
    try {
      // `keepalive: false`: the connection goes with its tunnel.
      const response = await fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(timeoutMs), keepalive: false });
      if (response.status !== 200) throw new CliError(`GET ${path}: ${response.status} ${response.statusText}`);
      return await response.text();
    } catch (error) {
      if ((error as Error).name === "TimeoutError") throw new CliError(`GET ${path}: no answer within ${timeoutMs / 1000} s`);
      throw error;
    }
  });
}
