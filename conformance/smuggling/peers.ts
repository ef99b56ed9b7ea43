// The same bytes to two parsers that the world trusts: HAProxy (Debian) and llhttp (node:http). Evidence, not an oracle: where
// they differ from this proxy, the result file says so.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { installPrograms } from "../../bench/tools.ts";
import { FOLLOWING, type RequestCase, SMUGGLED } from "./case.ts";
import { CONTROLS } from "./controls.ts";
import { inbound } from "./doors.ts";
import { Recorder } from "./recorder.ts";
import { REQUESTS } from "./requests.ts";
import { SAMPLES } from "./samples.ts";

type Peer = { readonly name: string; dial(): Socket; stop(): void };

const PATH = `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`;
/** How long a peer may be silent before it counts as waiting for more. */
const QUIET_MS = 400;
const PARALLEL = 16;

/** Installs what is missing. */
export function preparePeers(): void {
  installPrograms(["haproxy"], (line) => console.log(line));
}

function haproxy(directory: string, app: number): Peer {
  const socket = join(directory, "front.sock");
  const config = join(directory, "haproxy.cfg");
  writeFileSync(
    config,
    `defaults
  mode http
  timeout connect 1s
  timeout client 5s
  timeout server 5s
frontend front
  bind unix@${socket}
  default_backend back
backend back
  server app 127.0.0.1:${app}
`,
  );
  const binary = Bun.which("haproxy", { PATH }) ?? "haproxy";
  const version = /HAProxy version ([0-9.]+)/.exec(Bun.spawnSync([binary, "-v"]).stdout.toString())?.[1] ?? "";
  const child = Bun.spawn([binary, "-db", "-f", config], { stdin: "ignore", stdout: "ignore", stderr: "ignore" });
  return { name: `HAProxy ${version}`, dial: () => connect({ path: socket, allowHalfOpen: true }), stop: () => child.kill("SIGKILL") };
}

async function llhttp(): Promise<Peer> {
  const node = Bun.which("node") ?? "node";
  const versions = JSON.parse(Bun.spawnSync([node, "-p", "JSON.stringify(process.versions)"]).stdout.toString()) as Record<string, string>;
  const child = Bun.spawn([node, join(import.meta.dir, "node-server.cjs")], { stdin: "ignore", stdout: "pipe", stderr: "ignore" });
  const reader = child.stdout.getReader();
  const { value } = await reader.read();
  const port = Number(new TextDecoder().decode(value));
  return {
    name: `llhttp ${versions["llhttp"] ?? ""}`,
    dial: () => connect({ port, host: "127.0.0.1", allowHalfOpen: true }),
    stop: () => child.kill("SIGKILL"),
  };
}

/** What a peer made of a case: how many requests it served, and whether the one behind it was among them. */
type Reading = { readonly served: number; readonly second: boolean };

function read(peer: Peer, one: RequestCase): Promise<Reading> {
  const behind = one.verdict.kind === "accepted" ? FOLLOWING : SMUGGLED;
  const { promise, resolve } = Promise.withResolvers<Reading>();
  const socket = peer.dial();
  let text = "";
  let timer: ReturnType<typeof setTimeout> | undefined;
  const done = (): void => {
    clearTimeout(timer);
    socket.destroy();
    resolve({ served: text.split(/HTTP\/1\.[01] 200 /).length - 1, second: /\/(smuggled|following)/.test(text) });
  };
  const wait = (): void => {
    clearTimeout(timer);
    timer = setTimeout(done, QUIET_MS);
  };
  socket.on("connect", () => {
    socket.write(Buffer.from(one.bytes + behind, "latin1"));
    wait();
  });
  socket.on("data", (chunk) => {
    text += chunk.toString("latin1");
    wait();
  });
  socket.on("end", done);
  socket.on("close", done);
  socket.on("error", done);
  return promise;
}

async function readAll(peer: Peer, cases: readonly RequestCase[]): Promise<Reading[]> {
  const out: Reading[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let i = next++; i < cases.length; i = next++) out[i] = await read(peer, cases[i] as RequestCase);
  };
  await Promise.all(Array.from({ length: PARALLEL }, worker));
  return out;
}

async function reachable(peer: Peer): Promise<void> {
  const one: RequestCase = {
    group: "",
    name: "",
    source: "",
    bytes: "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    verdict: { kind: "refused", status: 400 },
  };
  for (let i = 0; i < 50; i++) if ((await read(peer, one)).served > 0) return;
  throw new Error(`${peer.name} does not answer`);
}

/** The chapter of the result file. */
export async function comparePeers(): Promise<string[]> {
  const directory = mkdtempSync(join(tmpdir(), "smuggling-"));
  const recorder = await Recorder.start();
  recorder.answer = ({ start }) => {
    const target = start.split(" ")[1] ?? "";
    return `HTTP/1.1 200 OK\r\ncontent-length: ${start.startsWith("HEAD ") ? 0 : target.length}\r\n\r\n${target}`;
  };
  const door = await inbound();
  door.recorder.answer = recorder.answer;
  const peers: Peer[] = [];
  try {
    peers.push({ name: "this proxy", dial: () => connect({ port: door.port, host: "127.0.0.1", allowHalfOpen: true }), stop() {} });
    peers.push(haproxy(directory, recorder.port), await llhttp());
    for (const peer of peers) await reachable(peer);
    const cases = [...SAMPLES, ...REQUESTS, ...CONTROLS];
    const readings = [];
    for (const peer of peers) readings.push(await readAll(peer, cases));
    return chapter(
      peers.map(({ name }) => name),
      cases,
      readings,
    );
  } finally {
    for (const peer of peers) peer.stop();
    await door.stop();
    recorder.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Why this proxy may be the most lenient of the three. */
const LENIENT = "heads of up to 64 KiB are taken, as hyper takes 400 KiB; the others stop at 16 KiB, which is a bound and no reading";

function chapter(names: readonly string[], cases: readonly RequestCase[], readings: readonly (readonly Reading[])[]): string[] {
  const serves = (peer: number, i: number): boolean => (readings[peer]?.[i]?.served ?? 0) > 0;
  const valid = cases.map(({ verdict }) => verdict.kind === "accepted");
  const all = cases.map((_, i) => i);
  const label = (i: number): string => `${cases[i]?.group}: ${cases[i]?.name} (${cases[i]?.source})`;
  const list = (title: string, which: readonly number[]): string[] =>
    which.length === 0
      ? ["", `${title}: none.`]
      : ["", `${title}: ${which.length}.`, "", ...which.map((i) => `- ${label(i).replaceAll("<", "&lt;")}`)];
  const lines = [
    "## Beside other parsers",
    "",
    `The requests of the suite to ${names.slice(1).join(" and ")} as well, each with a second request behind it. "Served": answered with 200.`,
    "",
    `| | ${names.join(" | ")} |`,
    `| --- | ${names.map(() => "---").join(" | ")} |`,
    `| to be refused (${valid.filter((v) => !v).length}): served all the same | ${names.map((_, p) => all.filter((i) => !valid[i] && serves(p, i)).length).join(" | ")} |`,
    `| of these, the second request too | ${names.map((_, p) => all.filter((i) => !valid[i] && serves(p, i) && readings[p]?.[i]?.second).length).join(" | ")} |`,
    `| valid (${valid.filter(Boolean).length}): not served | ${names.map((_, p) => all.filter((i) => valid[i] && !serves(p, i)).length).join(" | ")} |`,
  ];
  lines.push(
    ...list(
      `Served here and by neither of the others (${LENIENT})`,
      all.filter((i) => serves(0, i) && !serves(1, i) && !serves(2, i)),
    ),
  );
  lines.push(
    ...list(
      "Refused here and served by both of the others",
      all.filter((i) => !serves(0, i) && serves(1, i) && serves(2, i)),
    ),
  );
  lines.push(
    ...list(
      `Refused here, served by ${names[1]} alone`,
      all.filter((i) => !serves(0, i) && serves(1, i) && !serves(2, i)),
    ),
  );
  lines.push(
    ...list(
      `Refused here, served by ${names[2]} alone`,
      all.filter((i) => !serves(0, i) && !serves(1, i) && serves(2, i)),
    ),
  );
  lines.push(
    ...list(
      `Served here, not by ${names[1]}`,
      all.filter((i) => serves(0, i) && !serves(1, i) && serves(2, i)),
    ),
  );
  lines.push(
    ...list(
      `Served here, not by ${names[2]}`,
      all.filter((i) => serves(0, i) && serves(1, i) && !serves(2, i)),
    ),
  );
  return lines;
}
