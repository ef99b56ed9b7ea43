// The control plane's word: where names lead, who may call, and certificates. Every client of it is made here (spec proxy §1.6).
import { Resolver } from "node:dns/promises";
import { unary } from "#grpc";
import type { Log } from "#log";
import type { Config, ControlService } from "../config/index.ts";
import { isLocalControl } from "../config/index.ts";
import type { Discovery, PolicyStore } from "../contracts.ts";
import type { HttpEngines } from "../http/engines.ts";
import type { CertifierOptions } from "../identity/index.ts";
import type { ResponseFamilies } from "../metrics/scopes.ts";
import type { Runtime } from "../runtime.ts";
import type { TlsStore } from "../tls/index.ts";
import { methods } from "./api.ts";
import { ControlDiscovery } from "./discovery.ts";
import { Policies } from "./policies.ts";
import type { Dns } from "./resolve.ts";
import { ServiceClient } from "./service.ts";

export type ControlOptions = {
  readonly config: Config;
  readonly runtime: Runtime;
  readonly engines: HttpEngines;
  /** Null: identity is disabled. */
  readonly tls: TlsStore | null;
  /** `control_*`. */
  readonly families: ResponseFamilies;
  readonly log: Log;
  /** Default: the system's resolver. */
  readonly dns?: Dns;
};

export type Control = {
  readonly discovery: Discovery;
  readonly policies: PolicyStore;
  /** Connections to the trace collector; null when none is configured. */
  readonly collector: ServiceClient | null;
  /** One Certify call on a connection of its own. Rejects when identity is disabled. */
  readonly certify: CertifierOptions["certify"];
  stop(): void;
};

/** How long one Certify call may take, the connection included, ms. */
const CERTIFY_TIMEOUT_MS = 10_000;
const DEFAULT_MIN_TTL_MS = 1000;
const DEFAULT_MAX_TTL_MS = 60_000;

/** Windows of control-plane connections, bytes (spec proxy §1.6): one message may tell of ten thousand endpoints. */
const STREAM_WINDOW = 2 * 1024 * 1024;
const CONNECTION_WINDOW = 5 * 1024 * 1024;

export function createControl({
  config,
  runtime,
  engines: shared,
  tls,
  families,
  log,
  dns: resolver = systemDns,
}: ControlOptions): Control {
  const windows = { initialStreamWindow: STREAM_WINDOW, initialConnectionWindow: CONNECTION_WINDOW };
  const engines: HttpEngines = { ...shared, http2: { ...shared.http2, ...windows } };
  const logger = log.logger("linkerd::control");
  const { random } = runtime;
  const client = (service: ControlService): ServiceClient => {
    const side = isLocalControl(service.addr) ? config.inbound : config.outbound;
    return new ServiceClient({
      service,
      runtime,
      engines,
      tls,
      families,
      dns: resolver,
      connectTimeoutMs: side.connectTimeoutMs,
      keepaliveMs: side.connectKeepaliveMs,
      userTimeoutMs: side.connectUserTimeoutMs,
      backoff: side.backoff,
      minTtlMs: config.dns.minTtlMs ?? DEFAULT_MIN_TTL_MS,
      maxTtlMs: config.dns.maxTtlMs ?? DEFAULT_MAX_TTL_MS,
      log: logger,
    });
  };
  const { backoff } = config.outbound;
  const destination = client(config.destination.service);
  const discovery = new ControlDiscovery({
    service: destination,
    contextToken: config.destination.context,
    profileNetworks: config.destination.profileNetworks,
    profileSuffixes: config.destination.profileSuffixes,
    backoff,
    random,
    // Loaded by the first profile with routes: most proxies never meet one.
    regex: async () => (await import("re2js")).RE2JS,
    warn: (problem, path) => logger.warn(problem, { path }),
  });
  const { controller } = config.policy;
  const policyService = controller === null ? null : client(controller.service);
  const collector = config.trace === null ? null : client(config.trace.service);
  const policies = new Policies({ config: config.policy, service: policyService, backoff, random, log: logger });
  return {
    discovery,
    policies,
    collector,
    certify: async (request) => {
      if (config.identity === null) throw new Error("identity is disabled");
      return certify(client(config.identity.service), request);
    },
    stop() {
      policies.stop();
      destination.close();
      policyService?.close();
      collector?.close();
    },
  };
}

function certify(service: ServiceClient, request: Parameters<Control["certify"]>[0]): ReturnType<Control["certify"]> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      service.close();
      reject(new Error(`no answer of the identity service within ${CERTIFY_TIMEOUT_MS / 1000}s`));
    }, CERTIFY_TIMEOUT_MS);
    service.acquire((channel) => {
      unary(channel, methods.certify, request)
        .then(resolve, reject)
        .finally(() => {
          clearTimeout(timer);
          service.close();
        });
    });
  });
}

/** A resolver for each question: its cache would go on saying that a name does not exist (spec proxy §1.6). */
const systemDns: Dns = {
  srv: (name) => new Resolver().resolveSrv(name),
  a: async (name) => (await new Resolver().resolve4(name, { ttl: true })).map(({ address, ttl }) => ({ address, ttlMs: ttl * 1000 })),
};
