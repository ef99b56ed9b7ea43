// A control plane for one service in one pod's namespace: real gRPC, fixed answers. The proxies under test use it as they use
// the real one: identity by CSR, discovery and policy by watches. SIGUSR2 begins and ends churn of the endpoints.
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
  /** The identity that is let in; null: everyone. */
  readonly clientIdentity: string | null;
  /** What the profile and the Server say of the port; `http2` is said by the Server only. */
  readonly protocol: "detect" | "http2" | "opaque";
  /** A second address of the same endpoint, which comes and goes while churn is on. */
  readonly churnIp: string;
};

/** Where proxies take direct connections. */
const INBOUND_PORT = 4143;
const TEN_SECONDS = { seconds: 10n, nanos: 0 };
/** Endpoint changes ten times a second (goals P5). */
const CHURN_MS = 100;

export function routes(
  config: ControlPlaneConfig,
  authority: Authority,
  churning: () => boolean = () => false,
): (router: ConnectRouter) => void {
  const ipv4 = (text: string): number => text.split(".").reduce((value, part) => value * 256 + Number(part), 0);
  const everywhere = [{ net: { ip: { ip: { case: "ipv4" as const, value: 0 } }, prefixLen: 0 } }];
  const address = (ip: string) => ({ ip: { ip: { case: "ipv4" as const, value: ipv4(ip) } }, port: config.endpointPort });
  const add = (ip: string) =>
    create(UpdateSchema, {
      update: {
        case: "add",
        value: {
          metricLabels: { namespace: "bench", service: "web" },
          addrs: [
            {
              addr: address(ip),
              weight: 10000,
              metricLabels: { pod: "web-0", deployment: "web", serviceaccount: "web" },
              tlsIdentity: { strategy: { case: "dnsLikeIdentity", value: { name: config.endpointIdentity } } },
              protocolHint:
                config.protocol === "opaque"
                  ? { opaqueTransport: { inboundPort: INBOUND_PORT } }
                  : { protocol: { case: "h2" as const, value: {} } },
            },
          ],
        },
      },
    });
  const remove = (ip: string) => create(UpdateSchema, { update: { case: "remove", value: { addrs: [address(ip)] } } });
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
          opaqueProtocol: config.protocol === "opaque",
          retryBudget: { retryRatio: 0.2, minRetriesPerSecond: 10, ttl: TEN_SECONDS },
        });
        await ended(context.signal);
      },
      async *get(_request, { signal }) {
        yield add(config.endpointIp);
        let there = false;
        while (!signal.aborted) {
          await pause(CHURN_MS, signal);
          if (!churning() && !there) continue;
          yield there ? remove(config.churnIp) : add(config.churnIp);
          there = !there;
        }
      },
    });
    const policy = (port: number) =>
      create(ServerSchema, {
        protocol: {
          kind:
            port !== config.endpointPort || config.protocol === "detect"
              ? { case: "detect", value: { timeout: TEN_SECONDS } }
              : { case: config.protocol, value: {} },
        },
        labels: { name: port === config.endpointPort ? "web" : "admin" },
        authorizations: [
          {
            labels: { name: port === config.endpointPort ? "web-client" : "admin-everyone" },
            networks: everywhere,
            authentication:
              port === config.endpointPort && config.clientIdentity !== null
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

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener(
      "abort",
      () => {
        clearTimeout(timer);
        resolve();
      },
      { once: true },
    );
  });
}

if (import.meta.main) {
  const [port = "0", file = ""] = process.argv.slice(2);
  const config = (await Bun.file(file).json()) as ControlPlaneConfig;
  const authority = await Authority.import(config.rootPem, config.rootKey);
  let churning = false;
  process.on("SIGUSR2", () => {
    churning = !churning;
  });
  http2.createServer(connectNodeAdapter({ routes: routes(config, authority, () => churning) })).listen(Number(port), "127.0.0.1");
}
