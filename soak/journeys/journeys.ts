// Journeys through two proxies that a mesh must survive: a retried gRPC call, a WebSocket, a session with a database whose server
// speaks first, a long bidirectional stream, a large upload. Each is checked for content, and must be seen in the metrics of both
// proxies and, where it is HTTP, in tap.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Mesh, SIDES, type Side } from "../mesh.ts";
import { type Sample, samplesOf } from "../metrics.ts";
import { PORTS, SERVICES } from "../state.ts";
import type { Tapped } from "../tap.ts";
import { MARIADB_PORT, mariadbSession, startMariadb } from "./mariadb.ts";

export type JourneysOptions = {
  readonly streamSeconds: number;
  readonly uploadBytes: number;
  /** With a real database; needs its programs. */
  readonly mariadb: boolean;
  readonly cores: number;
  readonly prefix: string;
  readonly say: (line: string) => void;
};

export type JourneyResult = {
  readonly name: string;
  readonly compared: string;
  /** Series that grew meanwhile: `+N name{labels}`. */
  readonly metrics: Readonly<Record<Side, readonly string[]>>;
  readonly tapped: Readonly<Record<Side, readonly Tapped[]>>;
  /** Highest RSS of the proxies meanwhile, and before, MB. */
  readonly peak: Readonly<Record<Side, number>>;
  readonly before: Readonly<Record<Side, number>>;
  readonly faults: readonly string[];
};

type Journey = {
  readonly name: string;
  readonly run: (mesh: Mesh, options: JourneysOptions) => Promise<string>;
  /** Names and labels of series that must have grown, of each proxy, and by how much at least. */
  readonly expected: Readonly<Record<Side, readonly Expected[]>>;
  /** Path of its requests; null: bytes, which tap does not show. */
  readonly path: string | null;
  /** Of tap: requests that must have ended with this; how many at least. */
  readonly ends?: { readonly grpcStatus?: number; readonly status?: number; readonly atLeast: number }[];
  /** RSS may rise by so much, MB. */
  readonly maxGrowth: number;
};

type Expected = { readonly name: string; readonly labels: Readonly<Record<string, string>>; readonly atLeast: number };

const grew = (name: string, labels: Readonly<Record<string, string>>, atLeast = 1): Expected => ({ name, labels, atLeast });
const A = { direction: "outbound", tls: "true" } as const;
const B = { direction: "inbound", tls: "true" } as const;
const MEBIBYTE = 1024 * 1024;
/** What other work of the proxies may add while a journey goes on, MB. */
const MAX_GROWTH = 60;

function client(name: string, amount: (options: JourneysOptions) => number = () => 0): Journey["run"] {
  return async (mesh, options) => {
    const argv = [process.execPath, join(import.meta.dir, "client.ts"), name, mesh.pair.service, String(amount(options))];
    return (JSON.parse(await mesh.output(mesh.pair.client, argv)) as { compared: string }).compared;
  };
}

const JOURNEYS: readonly Journey[] = [
  {
    name: "retried gRPC call",
    run: client("retried"),
    path: "/soak.Echo/Flaky",
    expected: {
      a: [
        grew(
          "response_total",
          { ...A, authority: `grpc.soak.svc.cluster.local:${PORTS.grpc}`, grpc_status: "14", classification: "failure" },
          10,
        ),
        grew(
          "response_total",
          { ...A, authority: `grpc.soak.svc.cluster.local:${PORTS.grpc}`, grpc_status: "0", classification: "success" },
          10,
        ),
        grew("route_response_total", { rt_route: "retried", classification: "success" }, 10),
        grew("route_actual_response_total", { rt_route: "retried", classification: "failure" }, 10),
        grew("route_retryable_total", { rt_route: "retried" }, 10),
      ],
      b: [
        grew("response_total", { ...B, srv_name: "grpc", grpc_status: "14" }, 10),
        grew("response_total", { ...B, srv_name: "grpc", grpc_status: "0" }, 10),
      ],
    },
    ends: [
      { grpcStatus: 14, atLeast: 10 },
      { grpcStatus: 0, atLeast: 10 },
    ],
    maxGrowth: MAX_GROWTH,
  },
  {
    name: "WebSocket",
    run: client("websocket"),
    path: "/journey/ws",
    expected: {
      a: [grew("response_total", { ...A, status_code: "101" }), grew("tcp_write_bytes_total", { ...A, peer: "dst" }, 1_000_000)],
      b: [
        grew("response_total", { ...B, srv_name: "web", status_code: "101" }),
        grew("tcp_read_bytes_total", { ...B, peer: "src", srv_name: "web" }, 1_000_000),
      ],
    },
    ends: [{ status: 101, atLeast: 1 }],
    maxGrowth: MAX_GROWTH,
  },
  {
    name: "MariaDB session, its server speaks first",
    run: mariadbSession,
    path: null,
    expected: {
      a: [
        grew("tcp_open_total", { direction: "outbound", peer: "src", target_port: String(MARIADB_PORT) }),
        grew("tcp_open_total", { ...A, peer: "dst", authority: `mariadb.soak.svc.cluster.local:${MARIADB_PORT}` }),
        grew("tcp_read_bytes_total", { ...A, peer: "dst", authority: `mariadb.soak.svc.cluster.local:${MARIADB_PORT}` }, 1_000_000),
      ],
      b: [grew("tcp_write_bytes_total", { ...B, peer: "src", target_port: String(MARIADB_PORT), srv_name: "mariadb" }, 1_000_000)],
    },
    maxGrowth: MAX_GROWTH,
  },
  {
    name: "upload",
    run: client("upload", (options) => options.uploadBytes),
    path: "/journey/upload",
    expected: {
      a: [
        grew("response_total", {
          ...A,
          authority: `upload.soak.svc.cluster.local:${PORTS.upload}`,
          status_code: "200",
          classification: "success",
        }),
      ],
      b: [grew("response_total", { ...B, srv_name: "upload", status_code: "200", classification: "success" })],
    },
    ends: [{ status: 200, atLeast: 1 }],
    // Whatever its size: a proxy keeps what is on its way.
    maxGrowth: MAX_GROWTH,
  },
  {
    name: "bidirectional gRPC stream",
    run: client("stream", (options) => options.streamSeconds),
    path: "/soak.Echo/Bidi",
    expected: {
      a: [
        grew("response_total", {
          ...A,
          authority: `grpc.soak.svc.cluster.local:${PORTS.grpc}`,
          grpc_status: "0",
          classification: "success",
        }),
      ],
      b: [grew("response_total", { ...B, srv_name: "grpc", grpc_status: "0", classification: "success" })],
    },
    ends: [{ grpcStatus: 0, atLeast: 1 }],
    maxGrowth: MAX_GROWTH,
  },
];

export async function journeys(options: JourneysOptions): Promise<JourneyResult[]> {
  const mesh = await Mesh.start({
    cores: options.cores,
    prefix: options.prefix,
    addresses: 1,
    certificateLifetimeMs: 24 * 3_600_000,
    services: [
      ...SERVICES,
      { port: MARIADB_PORT, name: "mariadb.soak.svc.cluster.local", opaque: true, targetPort: MARIADB_PORT, onPod: true },
    ],
    meshedServers: { [MARIADB_PORT]: { name: "mariadb", opaque: true } },
  });
  try {
    await mesh.join();
    if (options.mariadb) await startMariadb(mesh);
    const results: JourneyResult[] = [];
    for (const journey of JOURNEYS) {
      if (journey.run === mariadbSession && !options.mariadb) continue;
      options.say(`${journey.name} …`);
      results.push(await travel(mesh, journey, options));
    }
    return results;
  } finally {
    await mesh.close();
  }
}

async function travel(mesh: Mesh, journey: Journey, options: JourneysOptions): Promise<JourneyResult> {
  const faults: string[] = [];
  const { path } = journey;
  const taps = path === null ? null : { a: await mesh.tap("a", path), b: await mesh.tap("b", path) };
  const seriesBefore = { a: await mesh.metricsText("a"), b: await mesh.metricsText("b") };
  const before = { a: resetPeak(mesh.pids.a), b: resetPeak(mesh.pids.b) };
  const compared = await journey.run(mesh, options).catch((error: Error) => {
    faults.push(error.message);
    return "";
  });
  const peak = { a: peakOf(mesh.pids.a), b: peakOf(mesh.pids.b) };
  const metrics = {} as Record<Side, string[]>;
  const tapped = { a: [] as Tapped[], b: [] as Tapped[] };
  for (const side of SIDES) {
    const grown = await grownUntil(mesh, side, samplesOf(seriesBefore[side]), journey.expected[side]);
    metrics[side] = grown.filter(({ sample }) => journey.expected[side].some((one) => fits(sample, one))).map(({ line }) => line);
    for (const one of journey.expected[side]) {
      const by = grown.filter(({ sample }) => fits(sample, one)).reduce((total, { sample }) => total + sample.value, 0);
      if (by < one.atLeast) faults.push(`proxy ${side}: ${one.name}${JSON.stringify(one.labels)} grew by ${by}, not ${one.atLeast}`);
    }
    const growth = peak[side] - before[side];
    if (growth > journey.maxGrowth) faults.push(`proxy ${side}: RSS rose by ${growth.toFixed(0)} MB`);
    if (taps === null) continue;
    await Bun.sleep(TAP_SETTLE_MS);
    tapped[side] = taps[side].lines
      .drain()
      .map((line) => JSON.parse(line) as Tapped | string)
      .filter((event): event is Tapped => typeof event !== "string");
    taps[side].child.kill();
    await taps[side].child.exited;
    for (const end of journey.ends ?? []) {
      const seen = tapped[side].filter((event) =>
        end.status !== undefined ? event.status === end.status : event.grpcStatus === end.grpcStatus,
      ).length;
      if (seen < end.atLeast) faults.push(`proxy ${side}: tap showed ${seen} of ${JSON.stringify(end)}`);
    }
  }
  return { name: journey.name, compared, metrics, tapped, peak, before, faults };
}

/** Events may be on their way a moment longer than the answer. */
const TAP_SETTLE_MS = 300;
const GROW_TIMEOUT_MS = 5000;

function fits(sample: Sample, { name, labels }: Expected): boolean {
  return sample.name === name && Object.entries(labels).every(([key, value]) => sample.labels[key] === value);
}

/** What grew, as soon as it is what is expected, or as it is after a while: connections end a moment after their last answer. */
async function grownUntil(
  mesh: Mesh,
  side: Side,
  before: readonly Sample[],
  expected: readonly Expected[],
): Promise<{ sample: Sample; line: string }[]> {
  const keyOf = ({ name, labels }: Sample): string =>
    `${name}{${Object.entries(labels)
      .map(([key, value]) => `${key}="${value}"`)
      .join(",")}}`;
  const was = new Map(before.map((sample) => [keyOf(sample), sample.value]));
  const deadline = performance.now() + GROW_TIMEOUT_MS;
  for (;;) {
    const grown = (await mesh.metrics(side))
      .map((sample) => ({ ...sample, value: sample.value - (was.get(keyOf(sample)) ?? 0) }))
      .filter((sample) => sample.value > 0)
      .map((sample) => ({ sample, line: `+${sample.value} ${keyOf(sample)}` }));
    const all = expected.every(
      (one) => grown.filter(({ sample }) => fits(sample, one)).reduce((total, { sample }) => total + sample.value, 0) >= one.atLeast,
    );
    if (all || performance.now() > deadline) return grown;
    await Bun.sleep(200);
  }
}

const MB_OF_KB = 1024 / 1e6;

/** Forgets the highest RSS so far (proc(5), clear_refs); returns the present one, MB. */
function resetPeak(pid: number): number {
  writeFileSync(`/proc/${pid}/clear_refs`, "5");
  return statusOf(pid, "VmRSS");
}

function peakOf(pid: number): number {
  return statusOf(pid, "VmHWM");
}

function statusOf(pid: number, field: string): number {
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1]) * MB_OF_KB;
}

/** For people: per journey what was compared, the series of both proxies that show it, and the tap events of the first requests. */
export function journeysText(results: readonly JourneyResult[]): string {
  const lines: string[] = [];
  for (const { name, compared, metrics, tapped, before, peak, faults } of results) {
    lines.push(`${faults.length === 0 ? "ok  " : "FAIL"}  ${name}: ${compared}`);
    for (const side of SIDES) {
      lines.push(`      proxy ${side}: RSS ${before[side].toFixed(0)} MB before, ${peak[side].toFixed(0)} MB at most`);
      lines.push(...metrics[side].map((line) => `        ${line}`));
      const ids = [...new Set(tapped[side].map((event) => event.id))];
      const shown = tapped[side].filter((event) => ids.slice(0, MAX_SHOWN_REQUESTS).includes(event.id));
      if (ids.length > 0)
        lines.push(
          `        tap: ${tapped[side].length} events of ${ids.length} requests${ids.length > MAX_SHOWN_REQUESTS ? "; the first:" : ":"}`,
        );
      lines.push(...shown.map((event) => `          ${JSON.stringify(event)}`));
    }
    lines.push(...faults.map((fault) => `      ${fault}`));
  }
  return `${lines.join("\n")}\n`;
}

const MAX_SHOWN_REQUESTS = 2;

export const FULL = { streamSeconds: 600, uploadBytes: 1024 * MEBIBYTE } as const;
export const SHORT = { streamSeconds: 10, uploadBytes: 64 * MEBIBYTE } as const;
