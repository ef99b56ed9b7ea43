// The cells of the table: one system, one kind of load, one repeat.
import { cpuTime, type Memory, memory } from "./cost.ts";
import { ANSWER, type Lab, type Pod } from "./lab.ts";
import type { Http2Kind } from "./load.ts";
import { atRate, type LoadResult, saturate, saturateHttp2 } from "./load.ts";
import type { Chain } from "./systems/system.ts";

/** One run of load on one chain. */
export type Cell = {
  /** CPU µs of proxy A and of proxy B per request. */
  readonly a: number;
  readonly b: number;
  /** The kernel's share of both. */
  readonly kernelShare: number;
  readonly rate: number;
  readonly requests: number;
  readonly generatorShare: number;
  readonly faults: readonly string[];
};

/** Charges both proxies for what happens in `load`. */
export async function charge(chain: Chain, load: () => Promise<LoadResult>): Promise<Cell> {
  const before = [cpuTime(chain.a), cpuTime(chain.b)] as const;
  const result = await load();
  const after = [cpuTime(chain.a), cpuTime(chain.b)] as const;
  const [a, b] = [after[0].total - before[0].total, after[1].total - before[1].total];
  const kernel = after[0].kernel - before[0].kernel + after[1].kernel - before[1].kernel;
  return {
    a: a / result.requests,
    b: b / result.requests,
    kernelShare: kernel / (a + b),
    rate: result.requests / result.seconds,
    requests: result.requests,
    generatorShare: result.generatorShare,
    faults: result.requests === 0 ? ["no request was answered", ...result.faults] : result.faults,
  };
}

export function saturation(lab: Lab, chain: Chain, seconds: number): Promise<Cell> {
  return charge(chain, () => saturate(lab, chain.client, `http://${chain.service}/`, seconds));
}

export function rate(lab: Lab, chain: Chain, seconds: number, requestsPerSecond: number): Promise<Cell> {
  return charge(chain, () => atRate(lab, chain.client, chain.service, "/", seconds, requestsPerSecond));
}

/** Latency at a fixed rate, µs from the intended time of sending. */
export type Latency = { readonly p50: number; readonly p99: number; readonly p999: number; readonly faults: readonly string[] };

export async function latency(lab: Lab, client: Pod, ip: string, seconds: number, requestsPerSecond: number): Promise<Latency> {
  const result = await atRate(lab, client, ip, "/", seconds, requestsPerSecond);
  const { p50, p99, p999 } = result.latency ?? { p50: Number.NaN, p99: Number.NaN, p999: Number.NaN };
  return { p50, p99, p999, faults: result.faults };
}

/** 1 MB answers on few connections: the server's file at `/1m`. */
export function bodies(lab: Lab, chain: Chain, seconds: number): Promise<Cell> {
  return charge(chain, () => saturate(lab, chain.client, `http://${chain.service}/1m`, seconds, 8));
}

/** As much as the chain takes of `Http2Kind`, 4 connections with 8 streams each. */
export function saturationHttp2(lab: Lab, chain: Chain, kind: Http2Kind, seconds: number): Promise<Cell> {
  return charge(chain, () => saturateHttp2(lab, chain.client, chain.service, kind, seconds));
}

/** Mean of both proxies. */
export function memoryOf(chain: Chain): Memory {
  const [a, b] = [memory(chain.a), memory(chain.b)];
  return { rss: (a.rss + b.rss) / 2, pss: (a.pss + b.pss) / 2, own: (a.own + b.own) / 2 };
}

/** Waits until the chain gives the right answer to a client that knows nothing of proxies. */
export async function waitForAnswer(lab: Lab, chain: Chain, timeoutMs: number, http2 = false): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  const curl = ["curl", "-sS", "--max-time", "5", ...(http2 ? ["--http2-prior-knowledge"] : []), `http://${chain.service}/`];
  let last = "";
  while (performance.now() < deadline) {
    const done = Bun.spawnSync(lab.command(chain.client, lab.otherCore, curl), { stdout: "pipe", stderr: "pipe" });
    last = `${done.stdout}${done.stderr}`;
    if (last === ANSWER) return;
    await Bun.sleep(200);
  }
  const logs = await Promise.all(chain.logs.map(async (name) => `--- ${name}\n${(await lab.log(name)).slice(-2000)}`));
  throw new Error(`the chain does not answer: ${last}\n${logs.join("\n")}`);
}
