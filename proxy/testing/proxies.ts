// Proxies in this process: real sockets and certificates on loopback, a control side of fakes, no redirect rules (the
// original destination of each listener is set by the test).
import type { SocketAddr } from "#addr";
import type { ServerPolicy } from "#policy";
import type { AdminHandler } from "../contracts.ts";
import { DrainRegistry } from "../drain.ts";
import { OutboundGateway } from "../gateway/index.ts";
import { createEngines } from "../http/engines.ts";
import { noObservers, type Observers } from "../http/observe.ts";
import { Admin } from "../inbound/admin.ts";
import { Inbound, type InboundSettings } from "../inbound/index.ts";
import { Outbound, type OutboundSettings } from "../outbound/index.ts";
import { createRuntime } from "../runtime.ts";
import type { DialContext } from "../tcp/dial.ts";
import type { Telemetry } from "../telemetry.ts";
import { TlsStore } from "../tls/index.ts";
import { Listener } from "../transport/index.ts";
import {
  FakeDiscovery as Discovery,
  type FakeDiscovery,
  type FakeIdentity,
  FakePolicies,
  FakePolicy,
  fakeInboundTelemetry,
  fakeOutboundTelemetry,
  Ledger,
} from "./fakes.ts";

export type TestProxyOptions = {
  /** Null = identity disabled. */
  readonly identity: FakeIdentity | null;
  readonly inbound?: Partial<InboundSettings>;
  readonly outbound?: Partial<OutboundSettings>;
  readonly dial?: Partial<DialContext>;
  readonly gatewaySuffix?: string;
  readonly admin?: AdminHandler;
  /** Instead of the ledger. */
  readonly telemetry?: Telemetry;
  readonly headTimeoutMs?: number;
  /** Default: nobody looks. */
  readonly observers?: Observers;
};

const BACKOFF = { minMs: 20, maxMs: 50, jitter: 0 };

export class TestProxy {
  readonly ledger = new Ledger();
  readonly discovery: FakeDiscovery = new Discovery();
  readonly policies = new FakePolicies();
  readonly drains = new DrainRegistry();
  readonly inbound: Inbound;
  readonly outbound: Outbound;
  readonly inboundListener: Listener;
  readonly outboundListener: Listener;
  readonly adminListener: Listener | null;
  /** Where outbound connections were bound for. */
  outboundDst: SocketAddr | null = null;
  /** Where inbound connections were bound for; null stands for the inbound port itself. */
  inboundDst: SocketAddr | null = null;

  constructor(options: TestProxyOptions) {
    const runtime = createRuntime((error) => {
      throw error;
    });
    const engines = createEngines({
      streamWindow: 65535,
      connectionWindow: 1048576,
      now: () => performance.now(),
      wallMs: () => Date.now(),
      ...(options.headTimeoutMs === undefined ? {} : { headTimeoutMs: options.headTimeoutMs }),
    });
    const tls = options.identity === null ? null : new TlsStore(options.identity);
    const observers = options.observers ?? noObservers();
    const common = {
      detectTimeoutMs: 2000,
      queueCapacity: 10_000,
      maxInFlight: 100_000,
      maxIdleConnections: Number.POSITIVE_INFINITY,
      backoff: BACKOFF,
    };
    const log = (): void => {};
    const { drains, discovery, policies } = this;
    const dial: DialContext = {
      runtime,
      tls,
      timeoutMs: 1000,
      keepaliveMs: null,
      refusePort: null,
      refuseLoopback: false,
      ...options.dial,
    };
    this.outbound = new Outbound({
      runtime,
      engines,
      discovery,
      drains,
      observers,
      log,
      dial,
      settings: {
        ...common,
        dispatchTimeoutMs: 300,
        cacheIdleMs: 5000,
        informational: true,
        ingress: false,
        localIps: new Set(),
        ...options.outbound,
      },
      telemetry: options.telemetry?.outbound ?? fakeOutboundTelemetry(this.ledger),
      originalDst: () => this.outboundDst,
    });
    const at = { ip: "127.0.0.1", port: 0, flushQueue: runtime.flushQueue, keepaliveMs: null };
    this.outboundListener = new Listener({ ...at, onAccept: (connection) => this.outbound.accept(connection) });
    const inboundListener = new Listener({ ...at, onAccept: (connection) => this.inbound.accept(connection) });
    this.inboundListener = inboundListener;
    const { port } = inboundListener;
    const { gatewaySuffix } = options;
    this.inbound = new Inbound({
      runtime,
      engines,
      tls,
      policies,
      discovery,
      drains,
      observers,
      log,
      dial: { ...dial, refusePort: port },
      gateway: new OutboundGateway({
        named: this.outbound.named,
        localId: options.identity?.localName ?? null,
        allows: (name) => gatewaySuffix !== undefined && name.endsWith(gatewaySuffix),
      }),
      settings: {
        ...common,
        port,
        allowedIps: null,
        dispatchTimeoutMs: 300,
        cacheIdleMs: 20_000,
        poolIdleMs: 3000,
        profileTimeoutMs: 20,
        ...options.inbound,
      },
      telemetry: options.telemetry?.inbound ?? fakeInboundTelemetry(this.ledger),
      originalDst: () => this.inboundDst ?? { ip: "127.0.0.1", port },
    });
    if (options.admin === undefined) this.adminListener = null;
    else {
      const admin = new Admin({
        context: this.inbound.context,
        handler: options.admin,
        addr: () => ({ ip: "127.0.0.1", port: listener.port }),
      });
      const listener = new Listener({ ...at, onAccept: (connection) => admin.accept(connection) });
      listener.open();
      this.adminListener = listener;
    }
    this.inboundListener.open();
    this.outboundListener.open();
  }

  /** The address of the inbound port. */
  get inboundAddr(): SocketAddr {
    return { ip: "127.0.0.1", port: this.inboundListener.port };
  }

  /** Sets the policy of a port; the handle changes it later. */
  policy(port: number, policy: ServerPolicy): FakePolicy {
    const handle = new FakePolicy(policy);
    this.policies.ports.set(port, handle);
    return handle;
  }

  stop(): void {
    this.inboundListener.stop();
    this.outboundListener.stop();
    this.adminListener?.stop();
    this.inbound.close();
    this.outbound.close();
    for (const connection of this.drains.members()) connection.cut();
  }
}
