// The stages of an accepted connection up to the point where it is known what it carries (spec proxy §3.3, §3.5).
import type { SocketAddr } from "#addr";
import { Timer } from "#stack";
import type { InboundTelemetry, ServerTls } from "../telemetry.ts";
import { detectTls, terminateTls } from "../tls/index.ts";
import type { Connection, TlsSession } from "../transport/index.ts";
import type { InboundContext } from "./context.ts";

export type TlsStage = {
  readonly context: Pick<InboundContext, "runtime" | "tls"> & { readonly telemetry: Pick<InboundTelemetry, "tcpError"> };
  readonly connection: Connection;
  readonly dst: SocketAddr;
  readonly timeoutMs: number;
  /** ALPN to offer, null = none. */
  readonly alpn: Uint8Array | null;
  /** Plaintext follows; `session` is there when mesh TLS was terminated. Not called when the connection is dropped. */
  readonly next: (tls: ServerTls, initial: Uint8Array | null, session: TlsSession | null) => void;
};

/** Detects TLS, terminates it when it is for us. What does not get through is dropped and counted. */
export function acceptTls(stage: TlsStage): void {
  const { context, connection, dst, timeoutMs } = stage;
  const { tls, telemetry } = context;
  if (tls === null) {
    stage.next({ kind: "disabled" }, null, null);
    return;
  }
  detectTls({
    runtime: context.runtime,
    connection,
    timeoutMs,
    onTimeout() {
      telemetry.tcpError("tls detection timeout", dst);
      connection.abort();
    },
    onDetected(detected, initial) {
      if (detected.kind === "plain" || detected.serverName === null || initial === null) {
        stage.next({ kind: "none", reason: "no_tls_from_remote" }, initial, null);
        return;
      }
      if (detected.serverName !== tls.localName) {
        stage.next({ kind: "opaque", sni: detected.serverName }, initial, null);
        return;
      }
      const server = tls.server();
      if (server === null) {
        // Before the first certificate nobody can be answered (only the admin port is open then).
        connection.abort();
        return;
      }
      const timer = new Timer(context.runtime.wheel, {
        onTimer() {
          telemetry.tcpError("tls detection timeout", dst);
          connection.abort();
        },
      });
      timer.start(timeoutMs);
      terminateTls({
        connection,
        context: server,
        initialData: initial,
        alpn: stage.alpn,
        onSession(session) {
          timer.stop();
          connection.tls = session;
          stage.next({ kind: "established", clientId: session.peerId }, null, session);
        },
        onFailure() {
          timer.stop();
          telemetry.tcpError("i/o", dst);
        },
      });
    },
  });
}
