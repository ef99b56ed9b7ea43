// gRPC interop: the standard cases with four client stacks, through no proxy, one and two.
import { compile } from "../../scripts/build.ts";
import type { CaseResult, Suite } from "../suite.ts";
import { casesOf, inParallel, result } from "../targets/clients.ts";
import type { Cast, Scene } from "../targets/pods.ts";
import { type SceneTarget, ways } from "../targets/ways.ts";
import { exceptions } from "./exceptions.ts";
import { install, type Programs, versions } from "./install.ts";
import { BAD_SERVER_CASES, cast, PORTS, type ServerName } from "./scene.ts";

const STANDARD = [
  "empty_unary",
  "large_unary",
  "client_streaming",
  "server_streaming",
  "ping_pong",
  "empty_stream",
  "custom_metadata",
  "status_code_and_message",
  "special_status_message",
  "unimplemented_method",
  "unimplemented_service",
  "cancel_after_begin",
  "cancel_after_first_response",
  "timeout_on_sleeping_server",
] as const;
/** Cases of grpc-go's client beyond the standard ones. */
const GO_ONLY = ["orca_per_rpc", "orca_oob", "rpc_soak", "channel_soak"] as const;
/** Ours, on stacks that are libraries. */
const MORE = ["half_duplex", "parallel_100"] as const;
const SERVER_COMPRESSED = ["server_compressed_unary", "server_compressed_streaming"] as const;
const DEADLINES = ["no_deadline", "long_deadline"] as const;
const CALLS = ["cancellation_reaches_server", "deadline_reaches_server", "half_close_of_client", "end_by_server"] as const;
const LONG = "bidi_30_seconds";

type Client = "grpc-go" | "grpc-go-http2" | "grpc-js" | "grpcio" | "connect-node";
type Plan = { readonly client: Client; readonly server: ServerName; readonly cases: readonly string[] };

const PLAN: readonly Plan[] = [
  // The longest first: they take time, not work.
  { client: "grpc-js", server: "grpc-js", cases: [LONG] },
  { client: "grpcio", server: "grpc-js", cases: [LONG] },
  { client: "grpc-js", server: "rst_after_header", cases: ["rst_after_header"] },
  { client: "grpc-go", server: "grpc-go", cases: [...STANDARD, ...GO_ONLY] },
  { client: "grpc-js", server: "grpc-go", cases: [...STANDARD, ...MORE] },
  { client: "grpcio", server: "grpc-go", cases: [...STANDARD, ...MORE] },
  { client: "connect-node", server: "grpc-go", cases: [...STANDARD, ...MORE] },
  { client: "grpc-go", server: "grpc-js", cases: STANDARD },
  { client: "grpc-go", server: "grpcio", cases: STANDARD },
  { client: "grpcio", server: "grpc-js", cases: [...STANDARD, ...MORE] },
  { client: "grpc-js", server: "grpcio", cases: [...STANDARD, ...MORE, ...SERVER_COMPRESSED] },
  { client: "grpc-js", server: "raw", cases: ["client_compressed_unary", ...SERVER_COMPRESSED] },
  { client: "grpcio", server: "raw", cases: ["client_compressed_unary", ...SERVER_COMPRESSED] },
  {
    client: "connect-node",
    server: "raw",
    cases: ["client_compressed_unary", "client_compressed_streaming", ...SERVER_COMPRESSED],
  },
  { client: "grpc-js", server: "raw", cases: DEADLINES },
  { client: "grpcio", server: "raw", cases: DEADLINES },
  { client: "grpc-js", server: "grpc-js", cases: CALLS },
  { client: "grpcio", server: "grpc-js", cases: CALLS },
  { client: "grpcio", server: "rst_after_header", cases: ["rst_after_header"] },
  ...(["rst_during_data", "rst_after_data"] as const).flatMap((name): Plan[] => [
    { client: "grpc-js", server: name, cases: [name] },
    { client: "grpcio", server: name, cases: [name] },
  ]),
  ...BAD_SERVER_CASES.map((name): Plan => {
    // Padding is the server's matter alone: any call shows it.
    if (name === "data_frame_padding") return { client: "grpc-go", server: name, cases: ["large_unary"] };
    return { client: "grpc-go-http2", server: name, cases: [name] };
  }),
];
/** They look at one server's state over several calls, and so not where calls go to two. */
const ONE_SERVER: ReadonlySet<string> = new Set(["orca_oob"]);

/** The balancer of grpc-go's client that hands load reports to its cases. */
const ORCA_CONFIG = JSON.stringify({ loadBalancingConfig: [{ test_backend_metrics_load_balancer: {} }] });

/** Clients at a time. */
const PARALLEL = 5;
const GO_CASE_MS = 60_000;
const LIBRARY_MS = 180_000;

let programs: Programs | null = null;
let scenery: Cast | null = null;

function prepared<T>(value: T | null): T {
  if (value === null) throw new Error("not prepared");
  return value;
}

export const grpc: Suite = {
  name: "grpc",
  get source() {
    const list = Object.entries(versions()).map(([name, version]) => `${name} ${version}`);
    return `The standard cases of gRPC's [interoperability test descriptions](https://github.com/grpc/grpc/blob/master/doc/interop-test-descriptions.md) and "Http2 Interop", with ${list.join(", ")}; grpc-go's clients and server are its own programs.`;
  },
  async prepare() {
    programs = await install();
    scenery = cast(programs, compile("fairlead"));
  },
  targets: ways(() => prepared(scenery), { changing: true }),
  run: (target) => run(target as SceneTarget),
  exceptions,
};

async function run(target: SceneTarget): Promise<CaseResult[]> {
  const { scene, options } = target;
  const results: CaseResult[] = [];
  await inParallel(PARALLEL, PLAN, async ({ client, server, cases: all }) => {
    const cases = all.filter((name) => !options.changing || !ONE_SERVER.has(name));
    const add = (name: string, error: string | null) => results.push(result(target.name, `${client} → ${server}: ${name}`, error));
    if (client === "grpc-go" || client === "grpc-go-http2") for (const name of cases) add(name, await goCase(scene, client, server, name));
    else {
      const { node, python } = prepared(programs);
      const program = client === "grpcio" ? [python, "interop_client.py"] : [node, `${client}-client.mjs`];
      const argv = [...program, `--server_host=${scene.host}`, `--server_port=${PORTS[server]}`, `--test_case=${cases.join(",")}`];
      for (const [name, error] of await casesOf(scene, argv, cases, LIBRARY_MS)) add(name, error);
    }
  });
  results.push(...(await seen(target)));
  return results.sort((a, b) => (a.case < b.case ? -1 : 1));
}

/** One run of a client of grpc-go's: it says nothing and ends with 0 when all is well. */
async function goCase(scene: Scene, client: "grpc-go" | "grpc-go-http2", server: ServerName, name: string): Promise<string | null> {
  const { goClient, goHttp2Client } = prepared(programs);
  const program = client === "grpc-go" ? goClient : goHttp2Client;
  const argv = [program, `--server_host=${scene.host}`, `--server_port=${PORTS[server]}`, `--test_case=${name}`];
  if (name.startsWith("orca_")) argv.push(`--service_config_json=${ORCA_CONFIG}`);
  const { status, stderr } = await scene.client(argv, GO_CASE_MS);
  if (status === 0) return null;
  return status === null
    ? `not done after ${GO_CASE_MS / 1000} s. ${stderr.slice(-500)}`
    : stderr.trim().slice(-1000) || `status ${status}`;
}

/** What the proxies' metrics tell of it. */
async function seen(target: SceneTarget): Promise<CaseResult[]> {
  const { scene, options } = target;
  const results: CaseResult[] = [];
  for (const [who, meshed, direction] of [
    ["a", options.outbound, "outbound"],
    ["b", options.inbound, "inbound"],
  ] as const) {
    if (!meshed) continue;
    const metrics = await scene.metrics(who);
    const statuses = new Map<string, number>();
    for (const line of metrics.split("\n")) {
      if (!line.startsWith("response_total{") || !line.includes(`direction="${direction}"`)) continue;
      const status = /grpc_status="(\d*)"/.exec(line)?.[1] ?? "";
      statuses.set(status, (statuses.get(status) ?? 0) + Number(line.slice(line.lastIndexOf(" ") + 1)));
    }
    const missing = ["0", "2", "12"].filter((status) => !statuses.has(status));
    const error = missing.length === 0 ? null : `response_total has no grpc_status ${missing.join(", ")}: ${JSON.stringify([...statuses])}`;
    results.push(result(target.name, `metrics of the ${direction} proxy: grpc_status`, error));
  }
  if (options.changing) {
    const metrics = await scene.metrics("a");
    const refreshes = Number(/^identity_cert_refresh_count (\d+)/m.exec(metrics)?.[1] ?? 0);
    const error = scene.rounds > 5 && refreshes > 5 ? null : `${scene.rounds} rounds of endpoint changes, ${refreshes} certificates`;
    results.push(result(target.name, "endpoints and certificates changed", error));
  }
  return results;
}
