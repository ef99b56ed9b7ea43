// The kubelet's HTTP API on a UNIX socket, for the API server alone:
//
//   GET /containerLogs/NAMESPACE/POD/CONTAINER?follow&previous&tailLines&sinceSeconds&sinceTime&timestamps&limitBytes
//   GET|POST (upgrade) /exec/NAMESPACE/POD/CONTAINER?command=…&stdin&stdout&stderr&tty      likewise /attach/…
//   GET|POST (upgrade) /portForward/NAMESPACE/POD?port=…
//   GET /healthz, /pods, /stats/summary
//
// Upgrades are WebSockets whose subprotocol names the Kubernetes protocol. The caller is trusted: only root reaches the socket.
import { chmodSync, mkdirSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import type { Server } from "bun";
import { dialLoopback } from "../../network/index.ts";
import { ContainerProcess } from "../container.ts";
import { readLog } from "../logs.ts";
import type { PodWorker } from "../pod-worker.ts";
import { AttachSession, ExecSession, remoteCommandProtocols } from "./exec.ts";
import { ChannelForwardSession, portForwardProtocols, SpdyForwardSession } from "./port-forward.ts";
import { Link, type Session, type SocketData } from "./session.ts";

/** Largest WebSocket message taken. */
const maxMessageBytes = 32 << 20;

/** Where the server finds pods: the node agent. */
export interface PodDirectory {
  nodeName: string;
  workers: ReadonlyMap<string, PodWorker>;
  pod(namespace: string, name: string): PodWorker | undefined;
}

/** An answer that is an error: the text goes into the API server's Status. */
class HttpError extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** Starts at once. Pods are found there as soon as the agent knows them. */
export function startKubeletServer({
  agent,
  path,
  log,
}: {
  agent: PodDirectory;
  path: string;
  log: (level: "info" | "warn", message: string) => void;
}): { close(): Promise<void> } {
  mkdirSync(dirname(path), { recursive: true });
  rmSync(path, { force: true });
  const server = Bun.serve<SocketData>({
    unix: path,
    // Followed logs may be silent for long. The types do not know it, but Bun has this limit on UNIX sockets too, and no other way to lift it.
    ...({ idleTimeout: 0 } as object),
    maxRequestBodySize: 1 << 20,
    fetch: async (request, self) => {
      try {
        return await route(agent, request, self as Server<SocketData>);
      } catch (error) {
        if (error instanceof HttpError) return new Response(error.message, { status: error.status });
        log("warn", `kubelet API: ${request.url}: ${(error as Error).message}`);
        return new Response((error as Error).message, { status: 500 });
      }
    },
    websocket: {
      maxPayloadLength: maxMessageBytes,
      idleTimeout: 0,
      perMessageDeflate: false,
      open(socket) {
        const link = new Link(socket);
        socket.data.link = link;
        socket.data.session.open(link);
      },
      message(socket, message) {
        socket.data.session.message(
          typeof message === "string" ? Buffer.from(message) : Buffer.from(message.buffer, message.byteOffset, message.byteLength),
        );
      },
      drain: (socket) => socket.data.link?.drained(),
      close(socket) {
        socket.data.link?.closed();
        socket.data.session.close();
      },
    },
  });
  chmodSync(path, 0o600);
  return {
    close: async () => {
      await server.stop(true);
      rmSync(path, { force: true });
    },
  };
}

async function route(agent: PodDirectory, request: Request, server: Server<SocketData>): Promise<Response | undefined> {
  const url = new URL(request.url);
  const [verb = "", ...parts] = url.pathname.split("/").filter(Boolean).map(decodeURIComponent);
  const query = url.searchParams;
  switch (verb) {
    case "healthz":
      return new Response("ok");
    case "pods":
      return Response.json({ kind: "PodList", apiVersion: "v1", metadata: {}, items: [...agent.workers.values()].map(({ pod }) => pod) });
    case "stats":
      return Response.json({
        node: { nodeName: agent.nodeName },
        pods: [...agent.workers.values()].map(({ pod: { metadata } }) => ({
          podRef: { name: metadata.name, namespace: metadata.namespace, uid: metadata.uid },
        })),
      });
    case "containerLogs":
      return containerLogs(agent, parts, query, request.signal);
    case "exec":
    case "attach": {
      const worker = findPod(agent, parts[0], parts[1]);
      const name = parts.at(-1) ?? "";
      const container = worker.container(name);
      if (!container) throw new HttpError(404, `container not found ("${name}")`);
      if (!container.isRunning) throw new HttpError(500, `container ${name} is not running`);
      const isOn = (...names: string[]) => names.some((one) => /^(1|true)$/.test(query.get(one) ?? ""));
      const common = { container, stdin: isOn("stdin", "input"), tty: isOn("tty") };
      if (verb === "attach") return upgrade(request, server, remoteCommandProtocols, () => new AttachSession(common));
      const command = query.getAll("command");
      if (command.length === 0) throw new HttpError(400, "you must specify at least 1 command parameter");
      return upgrade(
        request,
        server,
        remoteCommandProtocols,
        () => new ExecSession({ ...common, command, stdout: isOn("stdout", "output"), stderr: isOn("stderr", "error") }),
      );
    }
    case "portForward": {
      const worker = findPod(agent, parts[0], parts[1]);
      if (!worker.sandbox.isReady) throw new HttpError(500, `pod ${parts[1]} is not running`);
      const namespacePath = worker.sandbox.networkNamespace(worker.pod);
      const dial = (port: number, handlers: Parameters<typeof dialLoopback>[2]) => dialLoopback(namespacePath, port, handlers);
      const ports = query
        // The API's name, and the kubelet's.
        .getAll("ports")
        .concat(query.getAll("port"))
        .flatMap((text) => text.split(","))
        .map(Number)
        .filter((port) => port > 0 && port < 65_536);
      return upgrade(request, server, portForwardProtocols, (protocol) =>
        protocol.startsWith("SPDY")
          ? new SpdyForwardSession({ dial, describe: `${parts[0]}/${parts[1]}` })
          : new ChannelForwardSession({ dial, ports }),
      );
    }
  }
  throw new HttpError(404, `no such path: ${url.pathname}`);
}

/** @throws {HttpError} when the client offers no protocol that is spoken here. */
function upgrade(
  request: Request,
  server: Server<SocketData>,
  known: readonly string[],
  make: (protocol: string) => Session,
): Response | undefined {
  const offered = (request.headers.get("sec-websocket-protocol") ?? "").split(",").map((one) => one.trim());
  const protocol = known.find((one) => offered.includes(one));
  if ((request.headers.get("upgrade") ?? "").toLowerCase() !== "websocket")
    throw new HttpError(400, "Upgrade request required: only WebSocket is spoken here");
  if (!protocol) throw new HttpError(403, `no known subprotocol among ${JSON.stringify(offered)}; known are ${known.join(", ")}`);
  const isUpgraded = server.upgrade(request, { headers: { "sec-websocket-protocol": protocol }, data: { session: make(protocol) } });
  if (!isUpgraded) throw new HttpError(400, "the request is not a WebSocket handshake");
  return undefined;
}

function findPod(agent: PodDirectory, namespace = "", name = ""): PodWorker {
  const worker = agent.pod(namespace, name);
  if (!worker) throw new HttpError(404, `pod ${JSON.stringify(`${name}_${namespace}`)} not found`);
  return worker;
}

function containerLogs(
  agent: PodDirectory,
  [namespace, name, container = ""]: string[],
  query: URLSearchParams,
  signal: AbortSignal,
): Response {
  const worker = findPod(agent, namespace, name);
  const { pod, sandbox } = worker;
  if (![...(pod.spec.initContainers ?? []), ...pod.spec.containers].some((one) => one.name === container))
    throw new HttpError(400, `container ${container} is not valid for pod ${name}`);
  const isOn = (flag: string) => /^(1|true)$/.test(query.get(flag) ?? "");
  const number = (field: string) => {
    const text = query.get(field);
    if (text === null || text === "") return undefined;
    const value = Number(text);
    if (!Number.isInteger(value) || value < 0)
      throw new HttpError(400, `${field}: ${JSON.stringify(text)} is not a whole number of at least 0`);
    return value;
  };
  const current = worker.container(container);
  const attempts = sandbox.attempts(container);
  const attempt = isOn("previous") ? attempts.filter((one) => one < (current?.record.attempt ?? 0)).at(-1) : current?.record.attempt;
  if (attempt === undefined) {
    throw new HttpError(
      400,
      isOn("previous")
        ? `previous terminated container ${JSON.stringify(container)} in pod ${JSON.stringify(name)} not found`
        : `container ${JSON.stringify(container)} in pod ${JSON.stringify(name)} is waiting to start: ${waitingReason(worker, container)}`,
    );
  }
  const sinceTime = query.get("sinceTime");
  const sinceSeconds = number("sinceSeconds");
  const since = sinceSeconds !== undefined ? Date.now() - sinceSeconds * 1000 : sinceTime ? Date.parse(sinceTime) : undefined;
  if (Number.isNaN(since)) throw new HttpError(400, `sinceTime: ${JSON.stringify(sinceTime)} is not a time`);
  const isOver = () => attempt !== current?.record.attempt || !(current instanceof ContainerProcess) || !current.isRunning;
  const pieces = readLog(
    sandbox.attemptDirectory(container, attempt),
    { follow: isOn("follow"), timestamps: isOn("timestamps"), tailLines: number("tailLines"), limitBytes: number("limitBytes"), since },
    { isOver, signal, now: Date.now },
  );
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await pieces.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    cancel: () => void pieces.return(),
  });
  return new Response(body, { headers: { "content-type": "text/plain" } });
}

function waitingReason({ pod }: PodWorker, container: string): string {
  const statuses = [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])];
  return statuses.find((one) => one.name === container)?.state.waiting?.reason ?? "ContainerCreating";
}
