// A control plane that is told what to say: a line of JSON (State) on standard input replaces the one before, and every watch hears
// the difference. Real gRPC; what a watch hears first is all there is, as from the real one.
//   bun soak/control-plane.ts PORT ROOT.json      ROOT.json: {pem, key}; listens once the first state has come
import { readFileSync } from "node:fs";
import http2 from "node:http2";
import { createInterface } from "node:readline";
import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { Destination, DestinationProfileSchema, type Update, UpdateSchema } from "#api/destination_pb";
import { CertifyResponseSchema, Identity } from "#api/identity_pb";
import { InboundServerPolicies, ServerSchema } from "#api/inbound_pb";
import { Authority } from "../bench/certificates.ts";
import type { Server, Service, State } from "./state.ts";

const INBOUND_PORT = 4143;
const TEN_SECONDS = { seconds: 10n, nanos: 0 };

/** The state in use, and whoever waits for the next. */
export class Source {
  #state: State;
  readonly #waiting = new Set<() => void>();

  constructor(state: State) {
    this.#state = state;
  }

  get state(): State {
    return this.#state;
  }

  replace(state: State): void {
    this.#state = state;
    for (const wake of [...this.#waiting]) wake();
  }

  /** Resolves with the next change, or when the call has ended. */
  changed(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#waiting.delete(wake);
        signal.removeEventListener("abort", wake);
        resolve();
      };
      this.#waiting.add(wake);
      signal.addEventListener("abort", wake);
    });
  }

  /** What `pick` says now, and each time it says something else. */
  async *follow<T>(pick: (state: State) => T, signal: AbortSignal): AsyncGenerator<T> {
    let said: string | null = null;
    while (!signal.aborted) {
      const next = pick(this.#state);
      const text = JSON.stringify(next);
      if (text !== said) {
        said = text;
        yield next;
        // It may have changed while this was on its way.
        continue;
      }
      await this.changed(signal);
    }
  }
}

const ipv4 = (text: string): number => text.split(".").reduce((value, part) => value * 256 + Number(part), 0);
const address = (ip: string, port: number) => ({ ip: { ip: { case: "ipv4" as const, value: ipv4(ip) } }, port });
const everywhere = [{ net: { ip: { ip: { case: "ipv4" as const, value: 0 } }, prefixLen: 0 } }];

function added(service: Service, ips: readonly string[], identity: string): Update {
  return create(UpdateSchema, {
    update: {
      case: "add",
      value: {
        metricLabels: { namespace: "soak", service: service.name.split(".")[0] ?? "" },
        addrs: ips.map((ip) => ({
          addr: address(ip, service.targetPort),
          weight: 10_000,
          metricLabels: { deployment: "app", serviceaccount: "app" },
          tlsIdentity: { strategy: { case: "dnsLikeIdentity" as const, value: { name: identity } } },
          protocolHint: service.opaque
            ? { opaqueTransport: { inboundPort: INBOUND_PORT } }
            : { protocol: { case: "h2" as const, value: {} } },
        })),
      },
    },
  });
}

function removed(service: Service, ips: readonly string[]): Update {
  return create(UpdateSchema, { update: { case: "remove", value: { addrs: ips.map((ip) => address(ip, service.targetPort)) } } });
}

function policy({ name, opaque, clients, everyone }: Server) {
  const authorizations = clients.map((client) => ({
    labels: { name: `allow-${client.split(".")[0]}` },
    networks: everywhere,
    authentication: {
      permit: { case: "meshTLS" as const, value: { clients: { case: "identities" as const, value: { identities: [{ name: client }] } } } },
    },
  }));
  const anyone = {
    labels: { name: "allow-everyone" },
    networks: everywhere,
    authentication: { permit: { case: "unauthenticated" as const, value: {} } },
  };
  return create(ServerSchema, {
    protocol: { kind: opaque ? { case: "opaque", value: {} } : { case: "detect", value: { timeout: TEN_SECONDS } } },
    labels: { name },
    authorizations: everyone ? [...authorizations, anyone] : authorizations,
  });
}

export function routes(source: Source, authority: Authority): (router: ConnectRouter) => void {
  const service = (path: string): Service => {
    const { services, serviceAddress } = source.state;
    const found = services.find(({ name, port }) => path === `${name}:${port}` || path === `${serviceAddress}:${port}`);
    if (found === undefined) throw new ConnectError(`no service at ${path}`, Code.InvalidArgument);
    return found;
  };
  return (router) => {
    router.service(Identity, {
      async certify({ identity, certificateSigningRequest }) {
        const validUntil = new Date(Date.now() + source.state.certificateLifetimeMs);
        return create(CertifyResponseSchema, {
          leafCertificate: await authority.sign(identity, certificateSigningRequest, validUntil),
          validUntil: timestampFromDate(validUntil),
        });
      },
    });
    router.service(Destination, {
      async *getProfile({ path }, { signal }) {
        const { name, opaque, retryable } = service(path);
        yield create(DestinationProfileSchema, {
          fullyQualifiedName: name,
          opaqueProtocol: opaque,
          retryBudget: { retryRatio: 0.2, minRetriesPerSecond: 10, ttl: TEN_SECONDS },
          routes:
            retryable === undefined
              ? []
              : [
                  {
                    condition: { match: { case: "path", value: { regex: retryable } } },
                    metricsLabels: { route: "retried" },
                    isRetryable: true,
                  },
                ],
        });
        while (!signal.aborted) await source.changed(signal);
      },
      async *get({ path }, { signal }) {
        const { serverIdentity } = source.state;
        const found = service(path);
        let known: readonly string[] = [];
        for await (const now of source.follow((state) => (found.onPod ? [state.podAddress] : state.instances), signal)) {
          const come = now.filter((ip) => !known.includes(ip));
          const gone = known.filter((ip) => !now.includes(ip));
          known = now;
          if (come.length > 0) yield added(found, come, serverIdentity);
          if (gone.length > 0) yield removed(found, gone);
        }
      },
    });
    router.service(InboundServerPolicies, {
      async *watchPort({ port }, { signal }) {
        if (source.state.servers[port] === undefined) throw new ConnectError(`no server of port ${port}`, Code.NotFound);
        for await (const server of source.follow((state) => state.servers[port], signal)) if (server !== undefined) yield policy(server);
      },
    });
  };
}

if (import.meta.main) {
  const [port = "", file = ""] = process.argv.slice(2);
  const { pem, key } = JSON.parse(readFileSync(file, "utf8")) as { pem: string; key: string };
  const authority = await Authority.import(pem, key);
  let source: Source | null = null;
  for await (const line of createInterface({ input: process.stdin })) {
    const state = JSON.parse(line) as State;
    if (source !== null) source.replace(state);
    else {
      source = new Source(state);
      const server = http2.createServer(connectNodeAdapter({ routes: routes(source, authority) }));
      server.listen(Number(port), "127.0.0.1", () => console.log("listening"));
    }
  }
}
