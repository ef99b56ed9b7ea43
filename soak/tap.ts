// Taps a proxy as the tap service does: mutual TLS with its identity, an Observe call after the other. A line of JSON (Tapped) an event.
//   bun soak/tap.ts TLS.json IP PATH-PREFIX     TLS.json: ConnectionsTls of the benchmarks; as a user whose traffic is not redirected
import { readFileSync } from "node:fs";
import net, { type AddressInfo } from "node:net";
import tls from "node:tls";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";
import { ObserveRequestSchema, type TapEvent, TapEvent_ProxyDirection, TapEventSchema } from "#api/tap_pb";
import type { ConnectionsTls } from "../bench/connections.ts";

/** What an event says, in short. */
export type Tapped = {
  readonly event: "request" | "response" | "end";
  /** Of the request, the same in its three events. */
  readonly id: string;
  readonly direction: "inbound" | "outbound";
  readonly method?: string;
  readonly path?: string;
  readonly authority?: string;
  readonly status?: number;
  readonly grpcStatus?: number;
  readonly responseBytes?: number;
  /** Labels of the source and the destination that tell of TLS. */
  readonly sourceTls?: string;
  readonly destinationTls?: string;
};

export const TAP_PORT = 4190;
/** Requests of one Observe call; then the next one is made. */
const LIMIT = 10_000;
const METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "HEAD", "TRACE"];

export function tapped(message: TapEvent): Tapped | null {
  const http = message.event.value;
  if (http === undefined || http.event.case === undefined) return null;
  const { value } = http.event;
  const direction = message.proxyDirection === TapEvent_ProxyDirection.INBOUND ? "inbound" : "outbound";
  const common = { id: `${value.id?.base ?? 0}:${value.id?.stream ?? 0n}`, direction } as const;
  switch (http.event.case) {
    case "requestInit": {
      const { path, authority, method } = http.event.value;
      const kind = method?.type;
      return {
        event: "request",
        ...common,
        method: kind?.case === "registered" ? (METHODS[kind.value] ?? "?") : (kind?.value ?? "?").toString(),
        path,
        authority,
        sourceTls: identityOf(message.sourceMeta?.labels),
        destinationTls: identityOf(message.destinationMeta?.labels),
      };
    }
    case "responseInit":
      return { event: "response", ...common, status: http.event.value.httpStatus };
    case "responseEnd": {
      const { eos, responseBytes } = http.event.value;
      const grpcStatus = eos?.end.case === "grpcStatusCode" ? { grpcStatus: eos.end.value } : {};
      return { event: "end", ...common, responseBytes: Number(responseBytes), ...grpcStatus };
    }
    default:
      return null;
  }
}

function identityOf(labels: Readonly<Record<string, string>> = {}): string {
  return labels["client_id"] ?? labels["server_id"] ?? labels["tls"] ?? "";
}

async function main([file = "", ip = "", prefix = ""]: readonly string[]): Promise<void> {
  const { certificate, key, ca, serverName } = JSON.parse(readFileSync(file, "utf8")) as ConnectionsTls;
  // The client library speaks in clear text to this end of a tunnel: proxies negotiate no ALPN, which it would insist on.
  const tunnel = net.createServer((plain) => {
    const secure = tls.connect({ host: ip, port: TAP_PORT, servername: serverName, cert: certificate, key, ca });
    for (const [from, to] of [
      [plain, secure],
      [secure, plain],
    ] as const) {
      from.on("error", (error: Error) => {
        console.error(`tap of ${ip}: ${error.message}`);
        to.destroy();
      });
      from.on("close", () => to.destroy());
      from.pipe(to);
    }
  });
  await new Promise<void>((resolve) => tunnel.listen(0, "127.0.0.1", resolve));
  const client = new grpc.Client(`127.0.0.1:${(tunnel.address() as AddressInfo).port}`, grpc.credentials.createInsecure());
  const request = create(ObserveRequestSchema, {
    limit: LIMIT,
    match: { match: { case: "http", value: { match: { case: "path", value: { match: { case: "prefix", value: prefix } } } } } },
  });
  for (;;) {
    const call = client.makeServerStreamRequest(
      "/io.linkerd.proxy.tap.Tap/Observe",
      (message: typeof request) => Buffer.from(toBinary(ObserveRequestSchema, message)),
      (bytes: Buffer) => fromBinary(TapEventSchema, bytes),
      request,
    );
    call.on("metadata", () => console.log('"observing"'));
    for await (const message of call as AsyncIterable<TapEvent>) {
      const event = tapped(message);
      if (event !== null) console.log(JSON.stringify(event));
    }
  }
}

if (import.meta.main) await main(process.argv.slice(2));
