// A control plane for one service in one pod's namespace: real gRPC, fixed answers. The proxies under test use it as they use
// the real one: identity by CSR, discovery and policy by watches.
//   bun bench/control-plane.ts PORT CONFIG.json
import http2 from "node:http2";
import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { Destination, DestinationProfileSchema, UpdateSchema } from "#api/destination_pb";
import { CertifyResponseSchema, Identity } from "#api/identity_pb";
import { InboundServerPolicies, ServerSchema } from "#api/inbound_pb";
import { Authority } from "./certificates.ts";

export type ControlPlaneConfig = {
  /** The root: certificate and key. */
  readonly rootPem: string;
  readonly rootKey: string;
  /** The service's name, and the address clients ask for. */
  readonly service: string;
  readonly serviceAddress: string;
  /** Its one endpoint. */
  readonly endpointIp: string;
  readonly endpointPort: number;
  readonly endpointIdentity: string;
  /** The identity that is let in. */
  readonly clientIdentity: string;
};

const SECOND = { seconds: 10n, nanos: 0 };

export function routes(config: ControlPlaneConfig, authority: Authority): (router: ConnectRouter) => void {
  const ipv4 = (text: string): number => text.split(".").reduce((value, part) => value * 256 + Number(part), 0);
  const everywhere = [{ net: { ip: { ip: { case: "ipv4" as const, value: 0 } }, prefixLen: 0 } }];
  return (router) => {
    router.service(Identity, {
      async certify(request) {
        return create(CertifyResponseSchema, {
          leafCertificate: await authority.sign(request.identity, request.certificateSigningRequest),
          validUntil: timestampFromDate(authority.notAfter),
        });
      },
    });
    router.service(Destination, {
      async *getProfile(request, context) {
        const known = request.path === `${config.serviceAddress}:80` || request.path.startsWith(config.service);
        if (!known) throw new ConnectError(`no service at ${request.path}`, Code.InvalidArgument);
        yield create(DestinationProfileSchema, {
          fullyQualifiedName: config.service,
          retryBudget: { retryRatio: 0.2, minRetriesPerSecond: 10, ttl: SECOND },
        });
        await ended(context.signal);
      },
      async *get(_request, context) {
        yield create(UpdateSchema, {
          update: {
            case: "add",
            value: {
              metricLabels: { namespace: "bench", service: "web" },
              addrs: [
                {
                  addr: { ip: { ip: { case: "ipv4", value: ipv4(config.endpointIp) } }, port: config.endpointPort },
                  weight: 10000,
                  metricLabels: { pod: "web-0", deployment: "web", serviceaccount: "web" },
                  tlsIdentity: { strategy: { case: "dnsLikeIdentity", value: { name: config.endpointIdentity } } },
                  protocolHint: { protocol: { case: "h2", value: {} } },
                },
              ],
            },
          },
        });
        await ended(context.signal);
      },
    });
    const policy = (port: number) =>
      create(ServerSchema, {
        protocol: { kind: { case: "detect", value: { timeout: SECOND } } },
        labels: { name: port === config.endpointPort ? "web" : "admin" },
        authorizations: [
          {
            labels: { name: port === config.endpointPort ? "web-client" : "admin-everyone" },
            networks: everywhere,
            authentication:
              port === config.endpointPort
                ? {
                    permit: {
                      case: "meshTLS",
                      value: { clients: { case: "identities", value: { identities: [{ name: config.clientIdentity }] } } },
                    },
                  }
                : { permit: { case: "unauthenticated", value: {} } },
          },
        ],
      });
    router.service(InboundServerPolicies, {
      getPort: (request) => policy(request.port),
      async *watchPort(request, context) {
        yield policy(request.port);
        await ended(context.signal);
      },
    });
  };
}

function ended(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

if (import.meta.main) {
  const [port = "0", file = ""] = process.argv.slice(2);
  const config = (await Bun.file(file).json()) as ControlPlaneConfig;
  const authority = await Authority.import(config.rootPem, config.rootKey);
  http2.createServer(connectNodeAdapter({ routes: routes(config, authority) })).listen(Number(port), "127.0.0.1");
}
