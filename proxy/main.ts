// The proxy's composition, read top to bottom: configuration, mechanisms, identity, control, the two sides, their doors, drain
// (spec proxy §1). `main` resolves with the exit status: 64 for a configuration that cannot be used, 1 when something cannot be
// bound, 0 after a drained shutdown.
import { readFileSync } from "node:fs";
import { formatSocketAddr, type SocketAddr } from "#addr";
import { LineOutput, Log } from "#log";
import { Registry } from "#metrics";
import { createAdminHandler, registerProcessMetrics } from "./admin/index.ts";
import { BackgroundThreads, ownThreads } from "./background.ts";
import { type Config, matchesSuffix, parseConfig } from "./config/index.ts";
import { type Control, createControl } from "./control/index.ts";
import { descriptorLimits, maxOpenFiles } from "./descriptors.ts";
import { DrainRegistry } from "./drain.ts";
import { OutboundGateway } from "./gateway/index.ts";
import { createEngines } from "./http/engines.ts";
import { Certifier, type KeyMaterial, loadKeyMaterial } from "./identity/index.ts";
import { Admin } from "./inbound/admin.ts";
import { Inbound } from "./inbound/index.ts";
import { LOOK_MS, MemoryKeeper } from "./memory.ts";
import { createTelemetry, ResponseFamilies } from "./metrics/scopes.ts";
import { createObservation } from "./observe.ts";
import { Outbound } from "./outbound/index.ts";
import { createRuntime } from "./runtime.ts";
import { TapServer } from "./tap/index.ts";
import type { DialContext } from "./tcp/dial.ts";
import { TlsStore } from "./tls/index.ts";
import { describeNode, parseAttributes, SpanExporter, Tracer } from "./tracing/index.ts";
import { type Connection, Listener, openOriginalDst } from "./transport/index.ts";

type Env = Record<string, string | undefined>;

const EXIT_CONFIG = 64;
const EXIT_BIND = 1;
/** How often a proxy that waits for its first certificate says so, ms. */
const WAITING_LOG_MS = 15_000;

export async function main(_args: string[], env: Env): Promise<number> {
  const parsed = parseConfig(env, { keys: loadKeyMaterial, read: (file) => readFileSync(file) });
  if ("errors" in parsed) {
    for (const error of parsed.errors) process.stderr.write(`ERROR ${error}\n`);
    process.stderr.write("Invalid configuration\n");
    return EXIT_CONFIG;
  }
  const { config } = parsed;
  const output = new LineOutput(process.stdout);
  const log = new Log({ ...config.log, write: (line) => output.write(line), uptimeMs: () => performance.now() });
  output.onLost = (lines) => log.logger("linkerd::app").warn("log lines were lost: nobody read them, or there was no room", { lines });
  for (const directive of log.invalid) process.stderr.write(`invalid log directive ignored: ${directive}\n`);
  for (const { level, text } of parsed.notes) log.logger("linkerd::app").log(level, text);
  try {
    return await run(config, log);
  } catch (error) {
    log.logger("linkerd::app").error("cannot start", { error: error instanceof Error ? error.message : String(error) });
    return EXIT_BIND;
  }
}

async function run(config: Config, log: Log): Promise<number> {
  const app = log.logger("linkerd::app");

  // Mechanisms every part shares.
  const fault = (error: unknown): void =>
    app.error("internal error; the connection it happened on is lost", {
      error: error instanceof Error ? (error.stack ?? error.message) : String(error),
    });
  process.on("uncaughtException", fault);
  process.on("unhandledRejection", fault);
  const runtime = createRuntime(fault);
  const engines = createEngines({ ...config.http2, now: () => performance.now(), wallMs: () => Date.now() });
  const registry = new Registry();
  const controlFamilies = new ResponseFamilies("control_", "control plane", config.metricsRetainIdleMs);
  const telemetry = createTelemetry(registry, { retainIdleMs: config.metricsRetainIdleMs, now: () => performance.now() });
  telemetry.groupControl(controlFamilies);
  const drains = { inbound: new DrainRegistry(), outbound: new DrainRegistry() };
  const stop = shutdownSignal();

  // Identity: the key stays, the certificate is renewed; connections take the newest one.
  const certifier: Certifier | null =
    config.identity === null ? null : createCertifier(config.identity, log, (request) => control.certify(request));
  const tls =
    certifier === null ? null : new TlsStore({ identity: certifier, onError: (message) => log.logger("linkerd::identity").error(message) });

  // The control plane's word: where names are, who may call.
  const control: Control = createControl({ config, runtime, engines, tls, families: controlFamilies, log });

  // Those who look at requests: taps, and the collector's spans.
  const exporter = createExporter(config, control, runtime.random, log);
  const { observers, taps } = createObservation({
    tracer: exporter === null ? null : createTracer((span) => exporter.add(span)),
    now: () => performance.now(),
  });

  // Both sides.
  const descriptors = descriptorLimits(maxOpenFiles());
  const dialing = (side: Config["inbound"] | Config["outbound"]): Omit<DialContext, "refusePort" | "refuseLoopback"> => ({
    runtime,
    tls,
    timeoutMs: side.connectTimeoutMs,
    keepaliveMs: side.connectKeepaliveMs,
    maxDescriptor: descriptors.dial,
  });
  const originalDst = originalDestination();
  const shared = { queueCapacity: config.bufferCapacity };
  const outboundLog = log.logger("linkerd::app::outbound").within("outbound");
  const outbound = new Outbound({
    runtime,
    engines,
    drains: drains.outbound,
    discovery: control.discovery,
    telemetry: telemetry.outbound,
    observers,
    dial: { ...dialing(config.outbound), refusePort: null, refuseLoopback: true },
    settings: { ...config.outbound, ...shared, ingress: config.ingress, localIps: config.inbound.allowedIps ?? new Set() },
    originalDst,
    log: (level, message, fields) => outboundLog.log(level, message, fields),
  });
  const inboundLog = log.logger("linkerd::app::inbound").within("inbound");
  const inbound = new Inbound({
    runtime,
    engines,
    drains: drains.inbound,
    tls,
    policies: control.policies,
    discovery: control.discovery,
    telemetry: telemetry.inbound,
    observers,
    gateway: new OutboundGateway({
      named: outbound.named,
      localId: certifier?.localName ?? null,
      allows: (name) => matchesSuffix(config.gatewaySuffixes, name),
    }),
    dial: { ...dialing(config.inbound), refusePort: config.inbound.listen.port, refuseLoopback: false },
    settings: { ...config.inbound, ...shared, port: config.inbound.listen.port, profileTimeoutMs: config.destination.profileTimeoutMs },
    originalDst,
    log: (level, message, fields) => inboundLog.log(level, message, fields),
  });
  registerProcessMetrics(registry, { identity: certifier, exports: exporter?.counts ?? null });
  let ready = certifier === null;
  const admin = new Admin({
    context: inbound.context,
    handler: createAdminHandler({ registry, log, ready: () => ready, shutdown: stop.now }),
    addr: () => config.admin,
  });

  const tap =
    config.tap === null || tls === null ? null : new TapServer({ runtime, engines, tls, registry: taps, permitted: config.tap.service });

  // The doors: all bound before anything is served; the admin door opens at once, the others with the first certificate.
  const door = (
    at: SocketAddr,
    keepaliveMs: number | null,
    onAccept: (connection: Connection) => void,
    maxDescriptor = descriptors.accept,
  ): Listener =>
    new Listener({
      ...at,
      flushQueue: runtime.flushQueue,
      keepaliveMs,
      maxDescriptor,
      onAccept,
      onDrop: (reason, count) => app.warn("dropping connections", { reason, count, at: formatSocketAddr(at) }),
    });
  const adminDoor = door(config.admin, null, (connection) => admin.accept(connection), descriptors.dial);
  const inboundDoor = door(config.inbound.listen, config.inbound.acceptKeepaliveMs, (connection) => inbound.accept(connection));
  const outboundDoor = door(config.outbound.listen, config.outbound.acceptKeepaliveMs, (connection) => outbound.accept(connection));
  const tapDoor = config.tap === null || tap === null ? null : door(config.tap.listen, null, (connection) => tap.accept(connection));
  adminDoor.open();
  tapDoor?.open();
  app.info(`Admin interface on ${formatSocketAddr(config.admin)}`);
  app.info(`Inbound interface on ${formatSocketAddr(config.inbound.listen)}`);
  app.info(`Outbound interface on ${formatSocketAddr(config.outbound.listen)}`);
  app.info(config.tap === null ? "Tap DISABLED" : `Tap interface on ${formatSocketAddr(config.tap.listen)}`);
  if (certifier !== null) app.info(`Local identity is ${certifier.localName}`);
  app.info(`Destinations resolved via ${config.destination.service.addr.host}:${config.destination.service.addr.port}`);

  void certifier?.run();
  const waiting = setInterval(() => app.warn("Waiting for identity to be initialized..."), WAITING_LOG_MS);
  await Promise.race([certifier?.ready ?? Promise.resolve(), stop.requested]);
  clearInterval(waiting);
  if (!stop.asked()) {
    ready = true;
    outboundDoor.open();
    inboundDoor.open();
  }

  const memory = new MemoryKeeper({
    turns: () => runtime.flushQueue.turns,
    rss: () => process.memoryUsage.rss(),
    now: () => performance.now(),
    collect: () => Bun.gc(true),
  });
  const background = new BackgroundThreads(ownThreads);
  const looking = setInterval(() => {
    memory.look();
    background.look();
  }, LOOK_MS);

  // Until someone asks for the end; then what is in progress is finished, without a deadline of our own (spec proxy §1.8).
  await stop.requested;
  clearInterval(looking);
  app.info("shutting down", { connections: drains.inbound.size + drains.outbound.size });
  inboundDoor.stop();
  adminDoor.stop();
  tapDoor?.stop();
  await drains.inbound.drain();
  // The application may have had to ask others for the answers it still owed: its way out stays open until here.
  outboundDoor.stop();
  await drains.outbound.drain();
  // Those who looked saw the last requests too; what is said last leaves at the end of this turn.
  tap?.close();
  exporter?.close();
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  certifier?.stop();
  control.stop();
  return 0;
}

/** Null without a collector. */
function createExporter(config: Config, control: Control, random: () => number, log: Log): SpanExporter | null {
  const { collector } = control;
  if (config.trace === null || collector === null) return null;
  const logger = log.logger("linkerd::opencensus");
  const { attributesPath } = config.trace;
  let attributes: Record<string, string> = {};
  try {
    if (attributesPath !== null) attributes = parseAttributes(readFileSync(attributesPath, "utf8"));
  } catch (error) {
    logger.warn("trace attributes cannot be read", { path: attributesPath, error: (error as Error).message });
  }
  return new SpanExporter({
    acquire: (use) => collector.acquire(use),
    node: describeNode({ hostname: config.hostname, pid: process.pid, startMs: performance.timeOrigin, attributes }),
    backoff: config.outbound.backoff,
    random,
    schedule(run, ms) {
      const timer = setTimeout(run, ms);
      return () => clearTimeout(timer);
    },
    onProblem: (message) => logger.debug("span export ended", { error: message }),
  });
}

function createTracer(sink: ConstructorParameters<typeof Tracer>[0]["sink"]): Tracer {
  return new Tracer({
    sink,
    wallMs: () => performance.timeOrigin + performance.now(),
    random: (bytes) => crypto.getRandomValues(bytes as Uint8Array<ArrayBuffer>),
  });
}

function createCertifier(
  config: NonNullable<Config["identity"]>,
  log: Log,
  certify: ConstructorParameters<typeof Certifier>[0]["certify"],
): Certifier {
  return new Certifier({
    ...config,
    ...(config.keys as KeyMaterial),
    readToken: () => Bun.file(config.tokenFile).bytes(),
    certify,
    now: () => Date.now(),
    sleep: (ms, signal) =>
      new Promise((resolve) => {
        const timer = setTimeout(resolve, ms);
        signal.addEventListener("abort", () => {
          clearTimeout(timer);
          resolve();
        });
      }),
    log: log.logger("linkerd::identity"),
  });
}

/** The kernel's word on where a connection was bound for. */
function originalDestination(): (connection: Connection) => SocketAddr | null {
  const read = openOriginalDst();
  return ({ socket }) => read((socket as unknown as { fd: number }).fd, socket.remoteFamily === "IPv6" ? "IPv6" : "IPv4");
}

/** SIGTERM, SIGINT, or the admin port's word. */
function shutdownSignal(): { readonly requested: Promise<void>; readonly asked: () => boolean; readonly now: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  let asked = false;
  const now = (): void => {
    asked = true;
    resolve();
  };
  process.once("SIGTERM", now);
  process.once("SIGINT", now);
  return { requested: promise, asked: () => asked, now };
}
