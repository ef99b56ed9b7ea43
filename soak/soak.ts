// A soak: mixed load through two proxies for a while, during churn of endpoints, rotation of certificates, changes of policy and
// restarts of the control plane. No answer may be wrong, nothing may grow.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { memory } from "../bench/cost.ts";
import { PROXY_UID } from "../bench/lab.ts";
import { median } from "../bench/statistics.ts";
import { CLIENT_ID } from "../bench/systems/system.ts";
import type { LoadReport } from "./load.ts";
import { Mesh, SIDES, type Side, tell } from "./mesh.ts";
import { sum } from "./metrics.ts";
import { type Slope, slopeOf } from "./slope.ts";
import { PORTS } from "./state.ts";

export type SoakOptions = {
  readonly seconds: number;
  /** Requests a second beside the sessions. */
  readonly rate: number;
  readonly cores: number;
  readonly prefix: string;
  /** Instances that are up at a time. */
  readonly instances: number;
  readonly churnMs: number;
  readonly certificateLifetimeMs: number;
  readonly policyMs: number;
  readonly restartMs: number;
  /** How long a control plane is away. */
  readonly outageMs: number;
  readonly sampleMs: number;
  /** Taps both proxies for so long, then lets them be for as long. */
  readonly tapMs: number;
  /** Idle parts of the proxies go after this; also what the end waits for. */
  readonly idleMs: number;
  readonly say: (line: string) => void;
};

/** Of one proxy. */
export type Handles = {
  readonly fds: number;
  readonly openConnections: number;
  /** Requests that have begun and not ended, by its metrics. */
  readonly liveRequests: number;
};

export type ProxySample = Handles & { readonly second: number; readonly rss: number; readonly pss: number };

export type SoakResult = {
  readonly seconds: number;
  readonly load: LoadReport;
  readonly events: { readonly churn: number; readonly policyChanges: number; readonly restarts: number };
  readonly certificates: Readonly<Record<Side, number>>;
  readonly refused: number;
  /** Tap events seen, of each proxy. */
  readonly tapped: Readonly<Record<Side, number>>;
  /** How long after its removal an instance got its last request, ms: the median instance and the worst. */
  readonly staleMs: { readonly median: number; readonly max: number };
  readonly samples: Readonly<Record<Side, readonly ProxySample[]>>;
  readonly memory: Readonly<Record<Side, MemoryTrend>>;
  readonly handles: Readonly<Record<Side, { readonly before: Handles; readonly after: Handles }>>;
  /** Empty when all is well. */
  readonly faults: readonly string[];
};

export type MemoryTrend = {
  /** Of the second half, % of its mean per hour; `margin`: half of the 95 % interval. */
  readonly percentPerHour: number;
  readonly margin: number;
  /** Medians of the first and the last quarter, MB. */
  readonly firstQuarter: number;
  readonly lastQuarter: number;
};

/** Of instances that are about to be gone; when all are taken, none leaves for a while. */
const SPARE_ADDRESSES = 20;
/** News of a policy takes this long at most until it holds everywhere. */
const POLICY_SETTLE_MS = 2000;
/** The connection to the destination service, which the first lookup opens; and one that the runtime may have at the time. */
const SPARE_FDS = 2;
/** Of all operations; more, and the asked rate was not kept. */
const MAX_LATE_SHARE = 0.01;
const UNRELATED_ID = "unrelated.other.serviceaccount.identity.linkerd.cluster.local";

export async function soak(options: SoakOptions): Promise<SoakResult> {
  const { say } = options;
  const idle = `${options.idleMs}ms`;
  const mesh = await Mesh.start({
    cores: options.cores,
    prefix: options.prefix,
    addresses: options.instances + SPARE_ADDRESSES,
    certificateLifetimeMs: options.certificateLifetimeMs,
    env: {
      LINKERD2_PROXY_LOG: "warn,linkerd=info",
      LINKERD2_PROXY_IDENTITY_MIN_REFRESH: "1s",
      LINKERD2_PROXY_INBOUND_ROUTER_MAX_IDLE_AGE: idle,
      LINKERD2_PROXY_OUTBOUND_ROUTER_MAX_IDLE_AGE: idle,
    },
  });
  try {
    const before = { a: await handlesOf(mesh, "a"), b: await handlesOf(mesh, "b") };
    for (let i = 0; i < options.instances; i++) await mesh.join();
    say(`proxies ${mesh.pids.a} and ${mesh.pids.b}, ${options.instances} instances`);
    return await underLoad(mesh, options, before);
  } finally {
    await mesh.close();
  }
}

async function underLoad(mesh: Mesh, options: SoakOptions, before: Record<Side, Handles>): Promise<SoakResult> {
  const { say } = options;
  const faults: string[] = [];
  const load = mesh.program(mesh.pair.client, join("soak", "load.ts"), [mesh.pair.service, String(options.rate)]);
  const outsider = mesh.program(mesh.pair.client, join("soak", "outsider.ts"), [mesh.pair.server.ip, String(PORTS.http)], PROXY_UID);
  const samples: Record<Side, ProxySample[]> = { a: [], b: [] };
  const start = performance.now();
  const elapsed = (): number => performance.now() - start;
  const taps = new Taps(mesh, options.tapMs);
  const disturbances = new Disturbances(mesh, options, (word) => tell(load.child, `guarded ${word}`));
  let report: LoadReport | null = null;
  let nextSample = 0;
  while (elapsed() < options.seconds * 1000) {
    await disturbances.step(elapsed());
    await taps.step(elapsed());
    for (const line of load.lines.drain()) report = JSON.parse(line) as LoadReport;
    if (load.child.exitCode !== null) throw new Error(`the load ended by itself, ${load.child.exitCode}`);
    if (elapsed() >= nextSample) {
      nextSample += options.sampleMs;
      for (const side of SIDES) samples[side].push({ second: Math.round(elapsed() / 1000), ...(await sampleOf(mesh, side)) });
      say(progress(elapsed() / 1000, report, samples));
    }
    await Bun.sleep(20);
  }
  const seconds = elapsed() / 1000;
  await disturbances.end();
  await taps.end();
  tell(load.child, "end");
  for (let line = await load.lines.next(); line !== null; line = await load.lines.next()) report = JSON.parse(line) as LoadReport;
  if (report === null) throw new Error("the load has said nothing");
  const refused = Number(outsider.lines.drain().at(-1));
  if (outsider.child.exitCode !== null) faults.push(`a client without identity was not refused: ${refused}`);
  outsider.child.kill();
  await outsider.child.exited;

  if (report.errors > 0) faults.push(`${report.errors} errors, such as ${report.reasons[0]?.kind}: ${report.reasons[0]?.message}`);
  const total = Object.values(report.right).reduce((a, b) => a + b, 0);
  if (report.late > total * MAX_LATE_SHARE) faults.push(`${report.late} operations could not begin in time: the machine is too busy`);
  for (const side of SIDES)
    if (seconds * 1000 > 2 * options.tapMs && taps.events[side] === 0) faults.push(`proxy ${side}: nothing was tapped`);
  if (!(refused > 0)) faults.push("the client without identity was never answered");
  for (const [kind, count] of Object.entries(report.right)) if (count === 0) faults.push(`no ${kind} succeeded`);

  const handles = {} as Record<Side, { before: Handles; after: Handles }>;
  const certificates = { a: 0, b: 0 };
  for (const side of SIDES) {
    handles[side] = { before: before[side], after: await settled(mesh, side, before[side], options.idleMs) };
    const { after } = handles[side];
    if (after.fds > before[side].fds + SPARE_FDS)
      faults.push(`proxy ${side}: ${before[side].fds} file descriptors before, ${after.fds} after`);
    if (after.openConnections > before[side].openConnections)
      faults.push(`proxy ${side}: ${before[side].openConnections} connections before, ${after.openConnections} after`);
    if (after.liveRequests !== 0) faults.push(`proxy ${side}: ${after.liveRequests} requests live at the end`);
    certificates[side] = sum(await mesh.metrics(side), "identity_cert_refresh_count");
    const lived = seconds * 1000 > options.certificateLifetimeMs;
    if (lived && certificates[side] < 2) faults.push(`proxy ${side}: ${certificates[side]} certificates in ${Math.round(seconds)} s`);
    const log = (await mesh.log(side)).split("\n").filter((line) => / ERROR |internal error/.test(line));
    if (log.length > 0) faults.push(`proxy ${side} logged ${log.length} errors, such as ${log[0]}`);
    if (faults.length > 0) say(`proxy ${side} said last:\n${(await mesh.log(side)).split("\n").slice(-20).join("\n")}`);
  }
  return {
    seconds,
    load: report,
    events: disturbances.counts,
    certificates,
    refused,
    tapped: taps.events,
    staleMs: { median: median(mesh.lastRequestsMs), max: Math.max(0, ...mesh.lastRequestsMs) },
    samples,
    memory: { a: trendOf(samples.a), b: trendOf(samples.b) },
    handles,
    faults,
  };
}

/** Everything that happens to the mesh while it works. */
class Disturbances {
  readonly counts = { churn: 0, policyChanges: 0, restarts: 0 };
  readonly #mesh: Mesh;
  readonly #options: SoakOptions;
  readonly #guarded: (word: "allowed" | "denied" | "either") => void;
  #churnAt: number;
  #policyAt: number;
  #restartAt: number;
  #outage: { side: Side; until: number } | null = null;
  #settledAt: number | null = null;
  #allowed = true;

  constructor(mesh: Mesh, options: SoakOptions, guarded: (word: "allowed" | "denied" | "either") => void) {
    this.#mesh = mesh;
    this.#options = options;
    this.#guarded = guarded;
    this.#churnAt = options.churnMs;
    this.#policyAt = options.policyMs;
    this.#restartAt = options.restartMs;
    guarded("allowed");
  }

  /** Does what is due. */
  async step(now: number): Promise<void> {
    if (this.#settledAt !== null && now >= this.#settledAt) {
      this.#settledAt = null;
      this.#guarded(this.#allowed ? "allowed" : "denied");
    }
    if (this.#outage !== null) {
      // What a proxy cannot hear must not happen to its endpoints.
      if (now < this.#outage.until) return;
      await this.#mesh.startControlPlane(this.#outage.side);
      this.#outage = null;
      // Proxies come back with backoff; churn goes on when they have heard the present state.
      this.#churnAt = now + POLICY_SETTLE_MS;
      this.#policyAt = Math.max(this.#policyAt, now + POLICY_SETTLE_MS);
      return;
    }
    if (now >= this.#churnAt) {
      this.#churnAt = now + this.#options.churnMs;
      await this.#churn();
    }
    if (now >= this.#policyAt) {
      this.#policyAt = now + this.#options.policyMs;
      this.#changePolicy(now);
    }
    if (now >= this.#restartAt && this.#settledAt === null) {
      this.#restartAt = now + this.#options.restartMs;
      const side: Side = this.counts.restarts++ % 2 === 0 ? "a" : "b";
      await this.#mesh.stopControlPlane(side);
      this.#outage = { side, until: now + this.#options.outageMs };
    }
  }

  async end(): Promise<void> {
    if (this.#outage !== null) await this.#mesh.startControlPlane(this.#outage.side);
    this.#outage = null;
  }

  /** Another instance comes, the oldest one leaves. */
  async #churn(): Promise<void> {
    if (!(await this.#mesh.join())) return;
    this.#mesh.leave();
    this.counts.churn++;
  }

  /** By turns: an authorization of someone else, which must make no difference, and the guarded port's only one. */
  #changePolicy(now: number): void {
    const { servers } = this.#mesh.state;
    const unrelated = this.counts.policyChanges++ % 2 === 0;
    if (unrelated) {
      const toggled = Object.fromEntries(
        Object.entries(servers).map(([port, server]) => {
          const clients = server.clients.filter((client) => client !== UNRELATED_ID);
          const added = clients.length === server.clients.length && server.clients.includes(CLIENT_ID);
          return [port, { ...server, clients: added ? [UNRELATED_ID, ...clients] : clients }];
        }),
      );
      this.#mesh.update({ servers: toggled });
      return;
    }
    const guarded = servers[PORTS.guarded];
    if (guarded === undefined) return;
    this.#allowed = !this.#allowed;
    this.#guarded("either");
    this.#settledAt = now + POLICY_SETTLE_MS;
    const others = guarded.clients.filter((client) => client !== CLIENT_ID);
    this.#mesh.update({
      servers: { ...servers, [PORTS.guarded]: { ...guarded, clients: this.#allowed ? [...others, CLIENT_ID] : [...others, UNRELATED_ID] } },
    });
  }
}

/** Part of the time both proxies are tapped. */
class Taps {
  readonly events: Record<Side, number> = { a: 0, b: 0 };
  readonly #mesh: Mesh;
  readonly #tapMs: number;
  #open: { side: Side; tap: Awaited<ReturnType<Mesh["tap"]>> }[] = [];
  #turnAt: number;

  constructor(mesh: Mesh, tapMs: number) {
    this.#mesh = mesh;
    this.#tapMs = tapMs;
    this.#turnAt = tapMs;
  }

  async step(now: number): Promise<void> {
    this.#count();
    if (now < this.#turnAt) return;
    this.#turnAt = now + this.#tapMs;
    if (this.#open.length > 0) await this.end();
    else for (const side of SIDES) this.#open.push({ side, tap: await this.#mesh.tap(side, "/echo/") });
  }

  async end(): Promise<void> {
    this.#count();
    for (const { tap } of this.#open) {
      tap.child.kill();
      await tap.child.exited;
    }
    this.#open = [];
  }

  #count(): void {
    for (const { side, tap } of this.#open) this.events[side] += tap.lines.drain().length;
  }
}

async function handlesOf(mesh: Mesh, side: Side): Promise<Handles> {
  const samples = await mesh.metrics(side);
  return {
    fds: readdirSync(`/proc/${mesh.pids[side]}/fd`).length,
    // The scrape itself is a connection, and so is nothing else that the load did not open.
    openConnections: sum(samples, "tcp_open_connections") - sum(samples, "tcp_open_connections", { target_port: "4191" }),
    liveRequests: live(samples, side),
  };
}

function live(samples: Parameters<typeof sum>[0], side: Side): number {
  const labels = { direction: side === "a" ? "outbound" : "inbound" };
  const scrapes = { ...labels, target_port: "4191" };
  const begun = sum(samples, "request_total", labels) - sum(samples, "request_total", scrapes);
  return begun - (sum(samples, "response_total", labels) - sum(samples, "response_total", scrapes));
}

async function sampleOf(mesh: Mesh, side: Side): Promise<Handles & { rss: number; pss: number }> {
  const { rss, pss } = memory(mesh.pids[side]);
  return { ...(await handlesOf(mesh, side)), rss, pss };
}

/** Waits until what was before is again; gives what there is when it does not become so. */
async function settled(mesh: Mesh, side: Side, before: Handles, idleMs: number): Promise<Handles> {
  // Connection pools, then routes, then endpoints go one after another.
  const deadline = performance.now() + 3 * idleMs + 30_000;
  for (;;) {
    const now = await handlesOf(mesh, side);
    const back = now.fds <= before.fds + SPARE_FDS && now.openConnections <= before.openConnections && now.liveRequests === 0;
    if (back || performance.now() > deadline) return now;
    await Bun.sleep(500);
  }
}

function trendOf(samples: readonly ProxySample[]): MemoryTrend {
  const second = samples.slice(Math.floor(samples.length / 2));
  const { slope, margin, mean }: Slope = slopeOf(second.map((sample) => [sample.second / 3600, sample.rss]));
  const quarter = Math.max(1, Math.floor(samples.length / 4));
  return {
    percentPerHour: (slope / mean) * 100,
    margin: (margin / mean) * 100,
    firstQuarter: median(samples.slice(0, quarter).map((sample) => sample.rss)),
    lastQuarter: median(samples.slice(-quarter).map((sample) => sample.rss)),
  };
}

function progress(second: number, report: LoadReport | null, samples: Readonly<Record<Side, readonly ProxySample[]>>): string {
  const right = report === null ? 0 : Object.values(report.right).reduce((a, b) => a + b, 0);
  const side = (name: Side): string => {
    const last = samples[name].at(-1);
    return `${name} ${last?.rss.toFixed(0)} MB ${last?.fds} fds ${last?.liveRequests} live`;
  };
  return `${String(Math.round(second)).padStart(5)} s  ${right} right, ${report?.errors ?? 0} wrong, p50 ${report?.p50 ?? 0} p99 ${report?.p99 ?? 0} ms  ${side("a")}  ${side("b")}`;
}
