// Opaque connections to the application: authorized at the start and with every change of the policy (spec proxy §8.3).
import type { SocketAddr } from "#addr";
import { dial } from "../tcp/dial.ts";
import { Tunnel } from "../tcp/tunnel.ts";
import type { ConnectError, Connection } from "../transport/index.ts";
import type { InboundClient } from "./client.ts";
import type { InboundContext } from "./context.ts";

type Connect = (onConnect: (connection: Connection) => void, onError: (error: ConnectError) => void) => () => void;

export type InboundTcpOptions = {
  readonly context: InboundContext;
  readonly client: InboundClient;
  readonly connection: Connection;
  readonly initial: Uint8Array | null;
  /** The application, unless a gateway knows better. */
  readonly connect?: Connect;
};

/** A connection of an ordinary port. */
export function serveTcp(options: InboundTcpOptions): void {
  const { context, client, connection } = options;
  const { telemetry } = context;
  const labels = { target: client.dst, tls: client.tls, serverName: client.verdict().serverName };
  const { authorizationName } = client.verdict();
  if (authorizationName === null) {
    telemetry.deny("tcp", labels).add();
    context.log("info", "connection denied", { server: labels.serverName, client: client.ip });
    connection.abort();
    return;
  }
  telemetry.allow("tcp", { ...labels, authorizationName }).add();
  let over = false;
  const tunnel = new Tunnel({
    client: connection,
    initial: options.initial,
    drains: context.drains,
    dial: options.connect ?? application(context, client.dst),
    onError: (error) => telemetry.tcpError(error.kind === "loop" ? "unexpected" : "i/o", client.dst),
    onClose: () => {
      over = true;
      unsubscribe?.();
    },
  });
  const unsubscribe = over
    ? null
    : client.policy.onChange(() => {
        const verdict = client.verdict();
        if (verdict.authorizationName !== null || over) return;
        telemetry.terminate({ ...labels, serverName: verdict.serverName }).add();
        context.log("info", "connection terminated: no longer authorized", { server: verdict.serverName, client: client.ip });
        tunnel.cut();
      });
}

/** A local connection that came directly: checked once, not counted, not cut (spec proxy §3.4). */
export function serveDirectTcp(options: InboundTcpOptions): void {
  const { context, client, connection } = options;
  if (client.verdict().authorizationName === null) {
    context.log("info", "direct connection denied", { server: client.verdict().serverName, client: client.ip });
    connection.abort();
    return;
  }
  new Tunnel({
    client: connection,
    initial: options.initial,
    drains: context.drains,
    dial: application(context, client.dst),
    onError: (error) => context.telemetry.tcpError(error.kind === "loop" ? "unexpected" : "i/o", client.dst),
  });
}

function application(context: InboundContext, addr: SocketAddr): Connect {
  return (onConnect, onError) =>
    dial(
      context.dial,
      { addr, serverName: null, header: null, tls: { kind: "none", reason: "loopback" } },
      null,
      context.telemetry.connect(),
      onConnect,
      onError,
    );
}
