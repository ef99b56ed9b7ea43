// gRPC edge of the policy index: io.linkerd.proxy.inbound.InboundServerPolicies (spec control-plane §5.5).
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { InboundServerPolicies, type PortSpec, type Server } from "#api/inbound_pb";
import { follow, shutdownSignal } from "../../runtime/index.ts";
import { serverMessage } from "./messages.ts";
import type { InboundServer, PolicyIndex } from "./policy-index.ts";

export function policyRoutes(index: PolicyIndex): (router: ConnectRouter) => void {
  // One message object for all streams of the same value.
  const messages = new WeakMap<InboundServer, Server>();
  const messageOf = (server: InboundServer): Server => {
    let message = messages.get(server);
    if (!message) messages.set(server, (message = serverMessage(server)));
    return message;
  };
  const lookup = (spec: PortSpec) => {
    const cell = index.watch(parsePortSpec(spec));
    if (cell.value) return { cell, first: cell.value };
    cell.release();
    throw new ConnectError("unknown server", Code.NotFound);
  };
  return (router) =>
    router.service(InboundServerPolicies, {
      getPort(spec) {
        const { cell, first } = lookup(spec);
        cell.release();
        return messageOf(first);
      },
      async *watchPort(spec, context) {
        const { cell } = lookup(spec);
        const signal = AbortSignal.any([context.signal, context.values.get(shutdownSignal)]);
        for await (const server of follow(cell, signal)) {
          // The pod is gone: the stream has nothing more to say.
          if (!server) return;
          yield messageOf(server);
        }
      },
    });
}

/** Longest workload token, in characters: two names with their frame. Also bounds what an error says back in a header. */
export const maxWorkloadLength = 1024;

/**
 * `ns:pod` (2.11) or `{"ns":…,"pod":…}` (later proxies).
 * @throws {ConnectError} InvalidArgument
 */
export function parsePortSpec({ workload, port }: { workload: string; port: number }): { namespace: string; pod: string; port: number } {
  let namespace = "";
  let pod = "";
  if (workload.length > maxWorkloadLength)
    throw new ConnectError(`Invalid workload: longer than ${maxWorkloadLength} characters`, Code.InvalidArgument);
  if (workload.startsWith("{")) {
    try {
      const parsed = JSON.parse(workload) as { ns?: unknown; pod?: unknown };
      namespace = typeof parsed.ns === "string" ? parsed.ns : "";
      pod = typeof parsed.pod === "string" ? parsed.pod : "";
    } catch {
      // Refused below.
    }
  } else {
    const colon = workload.indexOf(":");
    namespace = workload.slice(0, Math.max(0, colon));
    pod = colon < 0 ? "" : workload.slice(colon + 1);
  }
  if (namespace === "" || pod === "") throw new ConnectError(`Invalid workload: ${workload}`, Code.InvalidArgument);
  if (port < 1 || port > 65535) throw new ConnectError(`Invalid port: ${port}`, Code.InvalidArgument);
  return { namespace, pod, port };
}
