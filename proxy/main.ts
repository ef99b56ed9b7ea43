// The proxy's composition, read top to bottom: configuration, mechanisms, identity, control, the two sides, their doors, drain
// (spec proxy §1). `main` resolves with the exit status: 64 for a configuration that cannot be used, 1 when something cannot be
// bound or a thread is lost, 0 after a drained shutdown.
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { formatSocketAddr } from "#addr";
import { LineOutput, Log } from "#log";
import { createAdminHandler, registerProcessMetrics } from "./admin/index.ts";
import { BackgroundThreads, ownThreads } from "./background.ts";
import { type Config, type ControlService, formatControlAddr, parseConfig } from "./config/index.ts";
import { DataPlane, type Traffic } from "./data-plane.ts";
import { Certifier, type KeyMaterial, loadKeyMaterial, sleepUnlessMoved } from "./identity/index.ts";
import { Admin } from "./inbound/admin.ts";
import { LOOK_MS } from "./memory.ts";
import { TapServer } from "./tap/index.ts";

type Env = Record<string, string | undefined>;

const EXIT_CONFIG = 64;
const EXIT_FAILURE = 1;
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
    log.logger("linkerd::app").error("the proxy cannot go on", { error: error instanceof Error ? error.message : String(error) });
    return EXIT_FAILURE;
  }
}

async function run(config: Config, log: Log): Promise<number> {
  // What loading the code left behind: uncollected it makes the heap larger for good, 0.4 MB of a proxy's memory.
  Bun.gc(true);
  const stop = shutdownSignal();
  // Identity: the key stays, the certificate is renewed.
  const certifier: Certifier | null =
    config.identity === null ? null : createCertifier(config.identity, log, (request) => plane.control.certify(request));
  const workers = Math.min(config.cores, availableParallelism());
  const { processConfig, spawnWorker, WorkerPool } = workers > 1 ? await import("./workers/index.ts") : NO_WORKERS;
  const plane = new DataPlane({ config: processConfig(config), log, identity: certifier });
  const traffic: Traffic =
    WorkerPool === null ? plane : await WorkerPool.start({ count: workers, spawn: spawnWorker, plane, identity: certifier });
  return Promise.race([traffic.failed, serve({ config, log, stop, certifier, plane, traffic })]);
}

/** Without workers their code is not loaded. */
const NO_WORKERS = { processConfig: (config: Config) => config, spawnWorker: null, WorkerPool: null };

type Parts = {
  readonly config: Config;
  readonly log: Log;
  readonly stop: ReturnType<typeof shutdownSignal>;
  /** Null: identity is disabled. */
  readonly certifier: Certifier | null;
  /** Of this thread. */
  readonly plane: DataPlane;
  readonly traffic: Traffic;
};

async function serve({ config, log, stop, certifier, plane, traffic }: Parts): Promise<number> {
  const app = log.logger("linkerd::app");

  // What is asked of the proxy itself.
  const { tls } = plane;
  registerProcessMetrics(plane.registry, { identity: certifier, exports: plane.exporter?.counts ?? null });
  let ready = certifier === null;
  const admin = new Admin({
    context: plane.inbound.context,
    handler: createAdminHandler({
      page: () => traffic.page(),
      log,
      onFilter: (text) => traffic.setFilter(text),
      live: () => traffic.live(),
      ready: () => ready,
      shutdown: config.shutdown.endpoint ? stop.now : null,
    }),
    addr: () => config.admin,
  });
  const tap =
    config.tap === null || tls === null
      ? null
      : new TapServer({ runtime: plane.runtime, engines: plane.engines, tls, registry: traffic.taps, permitted: config.tap.service });

  // The doors: all bound before anything is served; those of the proxy itself open at once, the others with the first certificate.
  const { acceptKeepaliveMs: keepaliveMs, acceptUserTimeoutMs: userTimeoutMs } = config.inbound;
  const { accept, dial } = plane.descriptors;
  const tapDoor =
    config.tap === null || tap === null
      ? null
      : plane.door({
          at: config.tap.listen,
          keepaliveMs,
          userTimeoutMs,
          onAccept: (connection) => tap.accept(connection),
          maxDescriptor: accept,
        });
  const adminDoor = plane.door({
    at: config.admin,
    keepaliveMs,
    userTimeoutMs,
    onAccept: (connection) => admin.accept(connection),
    maxDescriptor: dial,
  });
  await traffic.bind({ inbound: config.inbound.listen, outbound: config.outbound.listen });
  adminDoor.open();
  tapDoor?.open();
  announce(config, (line) => app.info(line));

  void certifier?.run();
  const waiting = setInterval(() => app.warn("Waiting for identity to be initialized..."), WAITING_LOG_MS);
  await Promise.race([certifier?.ready ?? Promise.resolve(), stop.requested]);
  clearInterval(waiting);
  if (!stop.asked()) {
    await traffic.open();
    ready = true;
  }

  const memory = plane.memoryKeeper();
  const background = new BackgroundThreads(ownThreads);
  const looking = setInterval(() => {
    memory.look();
    background.look();
  }, LOOK_MS);

  // Until someone asks for the end; then what is in progress is finished, without a deadline unless one is set (spec proxy §1.8).
  await stop.requested;
  clearInterval(looking);
  app.info("shutting down");
  const { graceMs } = config.shutdown;
  const late = (): void => {
    app.warn("the time to shut down is over; what is left is cut");
    traffic.cut();
  };
  const grace = graceMs === null ? undefined : setTimeout(late, graceMs);
  adminDoor.stop();
  tapDoor?.stop();
  await traffic.drainInbound();
  // The application may have had to ask others for the answers it still owed: its way out stays open until here.
  await traffic.drainOutbound();
  clearTimeout(grace);
  // Those who looked saw the last requests too.
  tap?.close();
  await traffic.close();
  certifier?.stop();
  return 0;
}

/** What the log says of the addresses (spec proxy §1.5). */
function announce(config: Config, say: (line: string) => void): void {
  say(`Admin interface on ${formatSocketAddr(config.admin)}`);
  say(`Inbound interface on ${formatSocketAddr(config.inbound.listen)}`);
  say(`Outbound interface on ${formatSocketAddr(config.outbound.listen)}`);
  say(config.tap === null ? "Tap DISABLED" : `Tap interface on ${formatSocketAddr(config.tap.listen)}`);
  if (config.identity !== null) {
    say(`Local identity is ${config.identity.localName}`);
    say(`Identity verified via ${verified(config.identity.service)}`);
  }
  say(`Destinations resolved via ${verified(config.destination.service)}`);
}

const verified = ({ addr, name }: ControlService): string => `${formatControlAddr(addr)}${name === null ? "" : ` (${name})`}`;

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
    sleep: (ms, signal) => sleepUnlessMoved({ wall: () => Date.now(), monotonic: () => performance.now() }, ms, signal),
    log: log.logger("linkerd::identity"),
  });
}

/** SIGTERM, SIGINT, or the admin port's word. */
function shutdownSignal(): { readonly requested: Promise<void>; readonly asked: () => boolean; readonly now: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  let asked = false;
  const now = (): void => {
    asked = true;
    resolve();
  };
  // For good: a second signal is nothing special, and must not be the runtime's to handle.
  process.on("SIGTERM", now);
  process.on("SIGINT", now);
  return { requested: promise, asked: () => asked, now };
}
