// WebSocket and other upgrades: three stacks with each other, and byte by byte, through no proxy, one and two.
import { join } from "node:path";
import { compile } from "../../scripts/build.ts";
import type { CaseResult, Suite } from "../suite.ts";
import { casesOf, inParallel, result } from "../targets/clients.ts";
import type { Cast } from "../targets/pods.ts";
import { type SceneTarget, ways } from "../targets/ways.ts";
import { exceptions } from "./exceptions.ts";
import { build, install, type Programs, versions } from "./install.ts";

const PORTS = { ws: 9101, websockets: 9102, bun: 9103, raw: 9104 } as const;
type Client = keyof typeof PORTS;

const CASES = [
  "echo_text",
  "echo_binary",
  "echo_16_mib",
  "compressed",
  "subprotocol",
  "server_first",
  "refused",
  "close_by_client",
  "close_by_server",
  "abrupt_end",
  "parallel_200",
  "both_ways",
] as const;
/** What Bun's client has no words for. */
const BEYOND_BUN = ["fragments", "ping_pong"] as const;
const RAW = [
  "first_bytes_with_101",
  "other_protocols_and_tokens",
  "single_bytes",
  "bytes_both_ways",
  "half_close_by_server",
  "reset_by_server",
  "reset_by_client",
  "refused_and_on",
] as const;
/** What a proxy does, and no network. */
const RAW_OF_A_PROXY = ["nothing_before_101", "nothing_before_2xx_to_connect"] as const;

type Plan = { readonly client: Client; readonly server: Client; readonly cases: readonly string[] };
const PLAN: readonly Plan[] = [
  { client: "raw", server: "raw", cases: RAW },
  ...(["ws", "websockets", "bun"] as const).flatMap((server): Plan[] => [
    { client: "ws", server, cases: [...CASES, ...BEYOND_BUN] },
    { client: "websockets", server, cases: [...CASES, ...BEYOND_BUN] },
    { client: "bun", server, cases: CASES },
  ]),
];

/** Clients at a time. */
const PARALLEL = 2;
const CLIENT_MS = 180_000;

let programs: Programs | null = null;
let binary = "";

function prepared(): Programs {
  if (programs === null) throw new Error("not prepared");
  return programs;
}

const bun = (name: string): string[] => [process.execPath, join(import.meta.dir, name)];

function cast(): Cast {
  const { node, python, pythonPath } = prepared();
  return {
    binary,
    ports: Object.values(PORTS),
    env: { PYTHONPATH: pythonPath },
    build,
    servers: (directory) => [
      { name: "ws", argv: [node, join(directory, "ws-server.mjs"), String(PORTS.ws)], listens: "says so" },
      {
        name: "websockets",
        argv: ["env", `PYTHONPATH=${pythonPath}`, python, join(directory, "websockets_server.py"), String(PORTS.websockets)],
        listens: "says so",
      },
      { name: "bun", argv: [...bun("bun-server.ts"), String(PORTS.bun)], listens: "says so" },
      { name: "raw", argv: [node, join(directory, "raw-server.mjs"), String(PORTS.raw)], listens: "says so" },
    ],
  };
}

export const websocket: Suite = {
  name: "websocket",
  get source() {
    const list = Object.entries(versions()).map(([name, version]) => `${name} ${version}`);
    return `Clients and servers of ${list.join(", ")} with each other; upgrades of any protocol and CONNECT byte by byte (RFC 6455, RFC 9110 §7.8 and §9.3.6).`;
  },
  async prepare() {
    programs = await install();
    binary = compile("fairlead");
  },
  targets: ways(cast),
  run: (target) => run(target as SceneTarget),
  exceptions,
};

async function run(target: SceneTarget): Promise<CaseResult[]> {
  const { scene, options } = target;
  const { node, python } = prepared();
  const commands: Readonly<Record<Client, readonly string[]>> = {
    ws: [node, "ws-client.mjs"],
    websockets: [python, "websockets_client.py"],
    bun: bun("bun-client.ts"),
    raw: [node, "raw-client.mjs"],
  };
  const results: CaseResult[] = [];
  await inParallel(PARALLEL, PLAN, async ({ client, server, cases: all }) => {
    const cases = client === "raw" && (options.outbound || options.inbound) ? [...all, ...RAW_OF_A_PROXY] : all;
    const flags = [`--server_host=${scene.host}`, `--server_port=${PORTS[server]}`, `--test_case=${cases.join(",")}`];
    for (const [name, error] of await casesOf(scene, [...commands[client], ...flags], cases, CLIENT_MS))
      results.push(result(target.name, `${client} → ${server}: ${name}`, error));
  });
  return results.sort((a, b) => (a.case < b.case ? -1 : 1));
}
