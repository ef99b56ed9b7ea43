// Load on a chain: wrk and h2load for as much as it takes, the open-loop generator at a fixed rate, TLS connections one by one.
// All count wrong answers.
import { join } from "node:path";
import type { ConnectionsResult } from "./connections.ts";
import { ANSWER, GRPC_MESSAGE, GRPC_PATH, type Lab, type Pod, PROXY_UID } from "./lab.ts";
import type { OpenLoopResult } from "./open-loop.ts";
import { root } from "./tools.ts";

export const CONNECTIONS = 32;
/** Of HTTP/2 clients, as many streams over fewer connections. */
const H2LOAD_CONNECTIONS = 4;
const H2LOAD_STREAMS = 32;
/** The generator must not be what is measured: a run in which it used more of its core is void. */
export const MAX_GENERATOR_SHARE = 0.8;
/** Achieved against asked rate, below which a run is void. */
export const MIN_RATE_SHARE = 0.99;

export type LoadResult = {
  readonly requests: number;
  readonly seconds: number;
  /** Share of a core the generator used. */
  readonly generatorShare: number;
  /** Why the run does not count; empty when it does. */
  readonly faults: readonly string[];
};

export async function saturate(lab: Lab, pod: Pod, url: string, seconds: number, connections = CONNECTIONS): Promise<LoadResult> {
  const { out, share } = await runLoad(lab, pod, ["wrk", "-t1", `-c${connections}`, `-d${seconds}s`, "--timeout", "10s", url]);
  return { ...parseWrk(out), generatorShare: share, faults: [...parseWrk(out).faults, ...shareFault(share)] };
}

/** What an HTTP/2 client asks: a small document, or a unary gRPC call. */
export type Http2Kind = "get" | "grpc";

export async function saturateHttp2(lab: Lab, pod: Pod, ip: string, kind: Http2Kind, seconds: number): Promise<LoadResult> {
  const message = join(lab.directory, "grpc-message");
  await Bun.write(message, GRPC_MESSAGE);
  const call = ["-d", message, "-H", "content-type: application/grpc", "-H", "te: trailers", `http://${ip}${GRPC_PATH}`];
  const argv = [
    "h2load",
    "-t1",
    `-c${H2LOAD_CONNECTIONS}`,
    `-m${H2LOAD_STREAMS / H2LOAD_CONNECTIONS}`,
    "-D",
    String(seconds),
    ...(kind === "grpc" ? call : [`http://${ip}/`]),
  ];
  const { out, share } = await runLoad(lab, pod, argv);
  const result = parseH2load(out, kind === "grpc" ? GRPC_MESSAGE.length : ANSWER.length);
  return { ...result, generatorShare: share, faults: [...result.faults, ...shareFault(share)] };
}

/** New connections, `rate` a second, each with one request; past the proxy of the client's pod when they begin with TLS. */
export async function connectionsAtRate(lab: Lab, pod: Pod, target: ConnectionsTarget, seconds: number, rate: number): Promise<LoadResult> {
  const { out, share } = await runLoad(
    lab,
    pod,
    connectionsCommand("once", target, seconds * rate, rate),
    target.tls === null ? 0 : PROXY_UID,
  );
  const result = parseLine<ConnectionsResult>(out);
  if (result === null) return { requests: 0, seconds, generatorShare: share, faults: [`connections: ${out.trim()}`] };
  const faults = shareFault(share);
  if (result.wrong > 0) faults.push(`${result.wrong} of ${result.sent} answers were wrong: ${result.reason}`);
  const achieved = result.answered / result.seconds;
  if (achieved < rate * MIN_RATE_SHARE) faults.push(`${Math.round(achieved)} of ${rate} connections a second`);
  return { requests: result.answered, seconds: result.seconds, generatorShare: share, faults };
}

/** `path` of a server at `ip`, port 80. */
export async function atRate(
  lab: Lab,
  pod: Pod,
  ip: string,
  path: string,
  seconds: number,
  rate: number,
  connections = CONNECTIONS,
): Promise<LoadResult & { latency: OpenLoopResult | null }> {
  const argv = [
    process.execPath,
    join(root, "bench", "open-loop.ts"),
    ip,
    "80",
    path,
    String(rate),
    String(seconds),
    String(connections),
    String(ANSWER.length),
  ];
  const { out, share } = await runLoad(lab, pod, argv);
  const result = parseLine<OpenLoopResult>(out);
  if (result === null) return { requests: 0, seconds, generatorShare: share, faults: [`open-loop: ${out.trim()}`], latency: null };
  const faults = shareFault(share);
  if (result.wrong > 0) faults.push(`${result.wrong} of ${result.sent} answers were wrong`);
  const achieved = result.answered / result.seconds;
  if (achieved < rate * MIN_RATE_SHARE) faults.push(`${Math.round(achieved)} of ${rate} requests a second`);
  return { requests: result.answered, seconds: result.seconds, generatorShare: share, faults, latency: result };
}

/** The last line of a generator of our own; null when it said something else. */
export function parseLine<T extends object>(out: string): T | null {
  try {
    return JSON.parse(out.trim().split("\n").at(-1) ?? "") as T;
  } catch {
    return null;
  }
}

/** The output of wrk. */
export function parseWrk(out: string): { requests: number; seconds: number; faults: string[] } {
  const match = /(\d+) requests in ([\d.]+)(m?s|m)/.exec(out);
  if (match === null) return { requests: 0, seconds: 0, faults: [`wrk: ${out.trim()}`] };
  const faults = [...out.matchAll(/(Non-2xx or 3xx responses: \d+|Socket errors: .*)/g)].map((m) => m[1] as string);
  return { requests: Number(match[1]), seconds: Number(match[2]) * seconds(match[3]), faults };
}

/** The output of h2load with `-D`. `bodyBytes`: of each answer. */
export function parseH2load(out: string, bodyBytes: number): { requests: number; seconds: number; faults: string[] } {
  const head = /finished in ([\d.]+)(m?s|m),/.exec(out);
  const counts = /requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout/.exec(out);
  const data = /headers \(space savings [\d.-]+%\), [\d.]+\w+ \((\d+)\) data/.exec(out);
  if (head === null || counts === null || data === null) return { requests: 0, seconds: 0, faults: [`h2load: ${out.trim().slice(-500)}`] };
  const [done, succeeded, ...bad] = counts.slice(1).map(Number) as [number, number, number, number, number];
  const faults: string[] = [];
  if (succeeded !== done || bad.some((n) => n > 0)) faults.push(counts[0]);
  const status = /status codes: (\d+) 2xx, .*/.exec(out);
  if (Number(status?.[1]) < done) faults.push(status?.[0] ?? "no status codes");
  // Of answers still on their way at the end some bytes are counted, their requests are not.
  const excess = Number(data[1]) - done * bodyBytes;
  if (excess < 0 || excess > H2LOAD_STREAMS * bodyBytes) faults.push(`${data[1]} bytes in ${done} answers of ${bodyBytes}`);
  return { requests: done, seconds: Number(head[1]) * seconds(head[2]), faults };
}

function seconds(unit: string | undefined): number {
  return unit === "ms" ? 0.001 : unit === "m" ? 60 : 1;
}

function shareFault(share: number): string[] {
  return share > MAX_GENERATOR_SHARE ? [`the generator used ${Math.round(share * 100)} % of its core`] : [];
}

/** Where connections go, and the mutual TLS they begin with (a file of ConnectionsTls); null: plain. */
export type ConnectionsTarget = { readonly ip: string; readonly port: number; readonly tls: string | null };

export function connectionsCommand(mode: "once" | "hold", target: ConnectionsTarget, count: number, rate: number): string[] {
  const { ip, port, tls } = target;
  const numbers = [count, rate, ANSWER.length].map(String);
  return [process.execPath, join(root, "bench", "connections.ts"), mode, ip, String(port), tls ?? "-", ...numbers];
}

async function runLoad(lab: Lab, pod: Pod, argv: readonly string[], uid = 0): Promise<{ out: string; share: number }> {
  const start = performance.now();
  const child = Bun.spawn(lab.command(pod, lab.otherCore, argv, uid), {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: { PATH: `${process.env.PATH}:/usr/sbin:/sbin` },
  });
  const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  await child.exited;
  const elapsedMicros = (performance.now() - start) * 1000;
  return { out: out + err, share: Number(child.resourceUsage()?.cpuTime.total ?? 0n) / elapsedMicros };
}
