// Sequences of requests through the whole inbound HTTP stack of the proxy: real engines, connections, authorization, translation
// between versions, pools and queues; a client and an application that do what the input says (spec proxy §14, last row).
import { OutputPool, ResponseHead, wantsUpgrade } from "#http";
import { Http1Server, HttpDate, requestHeadCache } from "#http1";
import { Http2Server } from "#http2";
import type { ServerPolicy } from "#policy";
import { DrainRegistry } from "../../proxy/drain.ts";
import { createEngines, type HttpEngines } from "../../proxy/http/engines.ts";
import { noObservers } from "../../proxy/http/observe.ts";
import { responsePlans } from "../../proxy/http/plans.ts";
import { HttpServerConnection } from "../../proxy/http/server.ts";
import { SingleEndpoint } from "../../proxy/http/single.ts";
import { InboundClient } from "../../proxy/inbound/client.ts";
import type { InboundContext } from "../../proxy/inbound/context.ts";
import { InboundHttpService } from "../../proxy/inbound/http.ts";
import { FakeDiscovery, FakePolicy, fakeInboundTelemetry, Ledger, profile } from "../../proxy/testing/fakes.ts";
import { drain, type Exchange, Handler } from "../harness/exchange.ts";
import { Host } from "../harness/host.ts";
import { Flag, FrameType, frame, Peer, PREFACE, requestFields, someFields } from "../harness/http2.ts";
import { Wire, World } from "../harness/world.ts";
import { Choices } from "../input.ts";
import { bytesOf, check, type Target } from "../target.ts";

const CLIENT_ID = "web.ns.serviceaccount.identity.linkerd.cluster.local";
const DST = { ip: "10.0.0.1", port: 8080 };

const target: Target = {
  name: "inbound-requests",
  what: "requests through the inbound stack: the application gets well-formed allowed requests with the true client id; nothing is left over",
  maxBytes: 700,
  seeds: [
    "\x00\x00\x00\x07\x01\x01\x02\x03",
    "\x01\x00\x00\x02\x01\x05\x01\x01\x08\x02",
    "\x04\x02\x00\x00\x00\x02\x01\x02\x06",
    "\x05\x01\x00\x40\x01\x00\x02\x05hello\x01\x02\x03",
    "\x08\x00\x0b\x2fHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokmore",
    "\x00\x00\x09\x3eGET / HTTP/1.1\r\nHost: a\r\nl5d-client-id: x\r\nl5d-client-id: y\r\n\r\n",
  ],
  dictionary: [
    "GET / HTTP/1.1\r\nHost: a\r\n",
    "\r\n\r\n",
    "l5d-client-id: x\r\n",
    "l5d-orig-proto",
    "HTTP/1.1 200 OK\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Upgrade: websocket\r\n",
    "Connection: upgrade\r\n",
    "0\r\n\r\n",
  ],
  async run(input) {
    const scene = new Scene(new Choices(input));
    await scene.run();
  },
};
export default target;

const POLICIES: readonly ServerPolicy[] = ["none", "meshed", "deny"].map((name) => ({
  name: `srv-${name}`,
  protocol: { kind: "detect", timeoutMs: 1000 },
  authorizations:
    name === "deny"
      ? []
      : [
          {
            name,
            networks: [{ net: { family: 4, base: 0, prefix: 0 }, except: [] }],
            authentication: name === "none" ? { kind: "none" } : { kind: "identities", exact: new Set([CLIENT_ID]), suffixes: [] },
          },
        ],
}));

/** The application at one connection. */
type App = { readonly wire: Wire; readonly engine: Http1Server | Http2Server | null; readonly handler: Handler | null };

class Scene {
  readonly #choices: Choices;
  readonly #world = new World();
  readonly #ledger = new Ledger();
  readonly #discovery = new FakeDiscovery();
  readonly #drains = new DrainRegistry();
  readonly #service: InboundHttpService;
  readonly #policy: FakePolicy;
  readonly #engines: HttpEngines;
  readonly #http2: boolean;
  readonly #meshed: boolean;
  /** The application answers in bytes of the input. */
  readonly #hostile: boolean;
  readonly #apps: App[] = [];
  readonly #waiting: Exchange[] = [];
  readonly #dials: { connect(): void; fail(): void }[] = [];
  readonly #client: Wire;
  readonly #peer: Peer;
  #nextId = 1;
  #clientGone = false;
  #policyChanged = false;
  #closed = 0;

  constructor(choices: Choices) {
    this.#choices = choices;
    const options = choices.byte();
    this.#http2 = (options & 1) === 1;
    this.#meshed = (options & 2) === 0;
    this.#hostile = (options & 8) !== 0;
    const { runtime } = this.#world;
    this.#policy = new FakePolicy(POLICIES[choices.byte() % POLICIES.length] as ServerPolicy);
    this.#engines = createEngines({
      streamWindow: 65_535,
      connectionWindow: 1_048_576,
      now: () => this.#world.nowMs,
      wallMs: () => 784887151000,
    });
    this.#discovery.profiles.set("a.svc.cluster.local:80", (options & 16) !== 0 ? null : profile({ fqn: "a.svc.cluster.local" }));
    const context = {
      runtime,
      engines: this.#engines,
      settings: {
        dispatchTimeoutMs: 1000,
        queueCapacity: 3,
        maxInFlight: 20,
        cacheIdleMs: 5000,
        poolIdleMs: 3000,
        maxIdleConnections: 2,
        profileTimeoutMs: 500,
        backoff: { minMs: 100, maxMs: 500, jitter: 0 },
      },
      discovery: this.#discovery,
      telemetry: fakeInboundTelemetry(this.#ledger),
      observers: noObservers(),
      drains: this.#drains,
      plans: responsePlans({ peerClose: "ignore", stripProxyError: false }),
      log: () => {},
    } as unknown as InboundContext;
    this.#service = new InboundHttpService(
      context,
      (_context, client, labels, name) =>
        new SingleEndpoint({
          runtime,
          engines: this.#engines,
          dial: (protocol, onConnect, onError) => this.#dial(protocol, onConnect, onError),
          backoff: { minMs: 100, maxMs: 500, jitter: 0 },
          upgrade: false,
          identity: null,
          authorityOverride: null,
          defaultAuthority: "10.0.0.1:8080",
          plans: context.plans,
          scope: context.telemetry.endpoint({ ...labels, authority: name?.name ?? null }),
          observed: {
            observers: context.observers,
            direction: "inbound",
            addr: client.dst,
            labels: [],
            authorityOverride: null,
            tls: { kind: "none", reason: "loopback" },
            clientTls: client.tls,
          },
          stack: context.telemetry.stack("http", "endpoint"),
          poolIdleMs: 3000,
          maxIdle: 2,
          layer: "HTTP Logical",
          failFastMs: 1000,
          queueCapacity: 3,
        }),
    );
    this.#peer = new Peer({ ofServer: true, connectionWindow: 1_048_576, lazy: true });
    this.#client = new Wire(this.#world, IGNORE, { ip: "10.0.0.9", port: 40_000 }, DST);
    const client = new InboundClient({
      dst: DST,
      ip: "10.0.0.9",
      tls: this.#meshed
        ? ({ kind: "established", clientId: CLIENT_ID, serverName: "app", alpn: null } as never)
        : { kind: "none", reason: "no_tls_from_remote" },
      policy: this.#policy,
    });
    new HttpServerConnection({
      runtime,
      engines: this.#engines,
      connection: this.#client.connection,
      version: this.#http2 ? "http2" : "http1",
      initial: null,
      service: this.#service,
      drains: this.#drains,
      tracer: null,
      onClose: () => this.#closed++,
      context: client,
    });
    if (this.#http2) this.#say(PREFACE + this.#peer.settings([]));
  }

  async run(): Promise<void> {
    for (let i = 0; i < MAX_STEPS && !this.#choices.done; i++) {
      await this.#step();
      await this.#settle();
    }
    await this.#end();
  }

  async #step(): Promise<void> {
    const choices = this.#choices;
    switch (choices.below(16)) {
      case 0:
      case 1:
        this.#request();
        break;
      case 2:
        this.#body();
        break;
      case 3:
      case 4: {
        const exchange = this.#waiting.shift();
        if (exchange !== undefined) this.#answer(exchange);
        break;
      }
      case 5: {
        const dial = this.#dials.shift();
        if (choices.byte() % 4 === 0) dial?.fail();
        else dial?.connect();
        break;
      }
      case 6:
        await this.#world.pass(choices.byte() * 10);
        break;
      case 7:
        this.#waiting.shift()?.stream.reset(8);
        break;
      case 8: {
        const app = this.#app();
        if (app !== null && choices.bool()) app.wire.reset();
        else app?.wire.end();
        break;
      }
      case 9:
        this.#say(choices.text());
        break;
      case 10:
        if (this.#http2) this.#say(this.#peer.reset(1 + 2 * choices.below(8), 8));
        break;
      case 11:
        // Also where the application is no hostile one: then what it answers is not looked at any more.
        if (this.#hostile) this.#app()?.wire.deliver(choices.text());
        break;
      case 12:
        this.#policy.set(POLICIES[choices.below(POLICIES.length)] as ServerPolicy);
        this.#policyChanged = true;
        break;
      case 13:
        // The client does not read for a while.
        if (this.#client.room === Number.POSITIVE_INFINITY) this.#client.room = choices.below(64);
        else this.#client.drain(Number.POSITIVE_INFINITY);
        break;
      case 14:
        if (choices.below(4) === 0) {
          this.#clientGone = true;
          if (choices.bool()) this.#client.reset();
          else this.#client.end();
        }
        break;
      default:
        if (choices.below(4) === 0) void this.#drains.members()[0]?.drain();
    }
  }

  /** A request of the client, mostly a good one. */
  #request(): void {
    const choices = this.#choices;
    const shape = choices.byte();
    if (!this.#http2) {
      const method = ["GET", "POST", "HEAD", "CONNECT"][shape & 3];
      const lines = [
        `${method} ${method === "CONNECT" ? "a:80" : shape & 4 ? "http://a.svc.cluster.local/x" : "/"} HTTP/1.${shape & 8 ? "0" : "1"}`,
      ];
      lines.push(`Host: ${method === "CONNECT" ? "a:80" : shape & 16 || shape & 4 ? "a.svc.cluster.local" : "b"}`);
      if (shape & 32) lines.push(`l5d-client-id: ${choices.text(8)}`, "l5d-client-id: forged");
      if (shape & 64)
        lines.push(
          ["Connection: close", "Connection: upgrade\r\nUpgrade: websocket", "Connection: l5d-client-id", "Expect: 100-continue"][
            choices.below(4)
          ] as string,
        );
      const chunked = shape & 128;
      if (method === "POST") lines.push(chunked ? "Transfer-Encoding: chunked" : "Content-Length: 5");
      this.#say(`${lines.join("\r\n")}\r\n\r\n`);
      return;
    }
    const id = this.#nextId;
    this.#nextId += 2;
    this.#peer.open(id);
    const fields = requestFields(choices);
    if (shape & 1) fields.push("l5d-orig-proto", choices.of(["HTTP/1.1", "HTTP/1.0", "HTTP/1.1; absolute-form", "x"]));
    if (shape & 2) fields.push("l5d-client-id", "forged");
    if (shape & 4) fields.push("content-type", "application/grpc");
    if (shape & 8) fields.push("l5d-dst-canonical", "a.svc.cluster.local:80");
    this.#say(frame(FrameType.HEADERS, Flag.END_HEADERS | (shape & 16 ? 0 : Flag.END_STREAM), id, this.#peer.block(fields)));
  }

  #body(): void {
    const choices = this.#choices;
    const text = choices.text(40);
    if (!this.#http2) this.#say(choices.bool() ? text : `${text.length.toString(16)}\r\n${text}\r\n`);
    else {
      const id = 1 + 2 * choices.below(8);
      if (choices.below(4) === 0)
        this.#say(frame(FrameType.HEADERS, Flag.END_HEADERS | Flag.END_STREAM, id, this.#peer.block(someFields(choices))));
      else this.#say(this.#peer.data(choices.byte() & 1, id, text));
    }
  }

  #say(bytes: string): void {
    if (this.#clientGone) return;
    this.#client.deliver(bytes);
  }

  #app(): App | null {
    const which = this.#choices.byte();
    return this.#apps.length === 0 ? null : (this.#apps[this.#apps.length - 1 - (which % this.#apps.length)] as App);
  }

  #dial(
    protocol: "http1" | "http2",
    onConnect: (connection: Wire["connection"]) => void,
    onError: (error: { kind: "io"; message: string } & never) => void,
  ): () => void {
    let over = false;
    const once =
      (f: () => void): (() => void) =>
      () => {
        if (!over) f();
        over = true;
      };
    this.#dials.push({
      connect: once(() => {
        const app = this.#start(protocol);
        onConnect(app.wire.connection);
      }),
      fail: once(() => onError({ kind: "io", message: "Connection refused (os error 111)", errno: "ECONNREFUSED" } as never)),
    });
    return () => {
      over = true;
    };
  }

  #start(protocol: "http1" | "http2"): App {
    const wire = new Wire(this.#world, IGNORE, DST, { ip: "127.0.0.1", port: 50_000 });
    const handler = this.#hostile ? null : new Handler((exchange) => this.#arrived(exchange));
    const host = new Host();
    const pool = new OutputPool();
    const engine =
      handler === null
        ? null
        : protocol === "http1"
          ? new Http1Server({ handler, host, pool, cache: requestHeadCache(), date: new HttpDate({ now: () => 0 }) })
          : new Http2Server({ handler, host, options: { pool, now: () => this.#world.nowMs } });
    const app = { wire, engine, handler };
    this.#apps.push(app);
    return app;
  }

  /** A request at the application. */
  #arrived(exchange: Exchange): void {
    const { head } = exchange;
    const ids = head.all("l5d-client-id");
    check(this.#meshed ? ids.length === 1 && ids[0] === CLIENT_ID : ids.length === 0, () => `l5d-client-id: ${JSON.stringify(ids)}`);
    if (this.#http2) check(!head.has("l5d-orig-proto"), "l5d-orig-proto at the application");
    exchange.in.onChunk = (n) => exchange.stream.consume(n);
    this.#waiting.push(exchange);
  }

  #answer(exchange: Exchange): void {
    const choices = this.#choices;
    const shape = choices.byte();
    const version = exchange.head.version === "HTTP/2" ? "HTTP/2" : "HTTP/1.1";
    if (shape & 1) exchange.stream.informational(new ResponseHead({ version, status: 103, reason: null, fields: ["link", "a"] }));
    const wanted = choices.of([200, 204, 304, 404, 500, 101]);
    const upgrade = wantsUpgrade(exchange.head) && exchange.head.method !== "CONNECT" && exchange.in.ended;
    const status = wanted === 101 && !upgrade ? 200 : wanted;
    const fields = shape & 2 ? ["content-type", "text/plain", "l5d-proxy-error", "x"] : [];
    if (status === 101) fields.push("connection", "upgrade", "upgrade", "websocket");
    exchange.stream.respond(new ResponseHead({ version, status, reason: null, fields }), (shape & 4) !== 0);
    if ((shape & 4) !== 0 || status === 101) return;
    if (shape & 8) exchange.stream.write(bytesOf("content"), false);
    if (shape & 16) exchange.stream.trailers(["grpc-status", "0"]);
    else if (shape & 32) exchange.stream.reset(2);
    else exchange.stream.write(new Uint8Array(0), true);
  }

  /** Carries bytes between the proxy and both ends until nothing moves. */
  async #settle(): Promise<void> {
    for (let moved = true, i = 0; moved; i++) {
      check(i < 200, "bytes go round for ever");
      moved = false;
      await this.#world.turn();
      for (const { wire, engine, handler } of this.#apps) {
        const bytes = wire.take();
        if (engine === null || handler === null) continue;
        if (bytes !== "") {
          moved = true;
          engine.receive(bytesOf(bytes));
        }
        check(handler.faults.length === 0, () => `the application is sent what it must refuse: ${handler.faults[0]}`);
        if (wire.closed) continue;
        const answer = drain(engine);
        if (answer === "") continue;
        moved = true;
        wire.deliver(answer);
      }
      const bytes = this.#client.take();
      if (bytes === "") continue;
      if (this.#http2) this.#peer.read(bytes);
      else
        check(
          this.#told !== "" || bytes.startsWith("HTTP/1.") || "HTTP/1.".startsWith(bytes),
          () => `an answer that begins with ${JSON.stringify(bytes.slice(0, 20))}`,
        );
      this.#told += bytes.slice(0, 1);
    }
    this.#world.checkFaults();
    if (!this.#policyChanged && this.#policy.current().authorizations.length === 0)
      check(this.#apps.length === 0, "a denied request reaches the application");
  }

  #told = "";

  /** Everyone goes, time passes: the proxy must be as it was before. */
  async #end(): Promise<void> {
    const world = this.#world;
    this.#client.drain(Number.POSITIVE_INFINITY);
    await this.#settle();
    this.#client.reset();
    for (const dial of this.#dials.splice(0)) dial.connect();
    await this.#settle();
    check(this.#closed === 1, () => `told ${this.#closed} times that the connection is gone`);
    check(this.#drains.size === 0, "a connection that is gone is still waited for");
    check(this.#service.inFlight === 0, () => `${this.#service.inFlight} requests are still in flight`);
    this.#service.close();
    await world.pass(60_000);
    await this.#settle();
    for (const { wire } of this.#apps) wire.end();
    await world.pass(60_000);
    await this.#settle();
    check(world.runtime.wheel.size === 0, () => `${world.runtime.wheel.size} timers are left`);
    for (const { wire } of this.#apps) check(wire.closed || wire.ended, "a connection to the application is left open");
    const created = this.#ledger.sum("stack", "create");
    const dropped = this.#ledger.sum("stack", "drop");
    check(created === dropped, () => `${created} stacks were made, ${dropped} dropped`);
  }
}

const IGNORE = { onData() {}, onFlush() {}, onDrain() {}, onEnd() {}, onClose() {} };
const MAX_STEPS = 60;
