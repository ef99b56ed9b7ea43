// Load on a chain: wrk for as much as it takes, the open-loop generator at a fixed rate. Both count wrong answers.
import { join } from "node:path";
import { ANSWER, type Lab, type Pod } from "./lab.ts";
import type { OpenLoopResult } from "./open-loop.ts";
import { root } from "./tools.ts";

export const CONNECTIONS = 32;
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

/** `path` of a server at `ip`, port 80. */
export async function atRate(
  lab: Lab,
  pod: Pod,
  ip: string,
  path: string,
  seconds: number,
  rate: number,
): Promise<LoadResult & { latency: OpenLoopResult | null }> {
  const argv = [
    process.execPath,
    join(root, "bench", "open-loop.ts"),
    ip,
    "80",
    path,
    String(rate),
    String(seconds),
    String(CONNECTIONS),
    String(ANSWER.length),
  ];
  const { out, share } = await runLoad(lab, pod, argv);
  const result = parseOpenLoop(out);
  if (result === null) return { requests: 0, seconds, generatorShare: share, faults: [`open-loop: ${out.trim()}`], latency: null };
  const faults = shareFault(share);
  if (result.wrong > 0) faults.push(`${result.wrong} of ${result.sent} answers were wrong`);
  const achieved = result.answered / result.seconds;
  if (achieved < rate * MIN_RATE_SHARE) faults.push(`${Math.round(achieved)} of ${rate} requests a second`);
  return { requests: result.answered, seconds: result.seconds, generatorShare: share, faults, latency: result };
}

export function parseOpenLoop(out: string): OpenLoopResult | null {
  try {
    return JSON.parse(out.trim().split("\n").at(-1) ?? "") as OpenLoopResult;
  } catch {
    return null;
  }
}

/** The output of wrk. */
export function parseWrk(out: string): { requests: number; seconds: number; faults: string[] } {
  const match = /(\d+) requests in ([\d.]+)(m?s|m)/.exec(out);
  if (match === null) return { requests: 0, seconds: 0, faults: [`wrk: ${out.trim()}`] };
  const unit = match[3] === "ms" ? 0.001 : match[3] === "m" ? 60 : 1;
  const faults = [...out.matchAll(/(Non-2xx or 3xx responses: \d+|Socket errors: .*)/g)].map((m) => m[1] as string);
  return { requests: Number(match[1]), seconds: Number(match[2]) * unit, faults };
}

function shareFault(share: number): string[] {
  return share > MAX_GENERATOR_SHARE ? [`the generator used ${Math.round(share * 100)} % of its core`] : [];
}

async function runLoad(lab: Lab, pod: Pod, argv: readonly string[]): Promise<{ out: string; share: number }> {
  const start = performance.now();
  const child = Bun.spawn(lab.command(pod, lab.otherCore, argv), {
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
