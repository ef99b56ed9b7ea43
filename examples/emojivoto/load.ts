// load: asks one address at a fixed rate and counts the answers, a line of JSON a second on standard output. Environment: TARGET
// (http://host:port/path), RATE (requests per second; default 50), TIMEOUT_MS (default 5000).
import { terminated } from "./serve.ts";

/** Requests that may wait for their answer at once; what would be more counts as failed ("overload"). */
const MAX_IN_FLIGHT = 1000;
const TICK_MS = 10;

/** Totals since the start. `failures` holds each kind of failure with its count. */
export type Counts = { sent: number; ok: number; failed: number; inFlight: number; failures: Record<string, number> };

export async function main(_args: string[], env: Record<string, string | undefined>): Promise<number> {
  const target = env["TARGET"];
  if (!target || !URL.canParse(target)) throw new Error(`TARGET: "${target ?? ""}" is not a URL (http://host:port/path)`);
  const positive = (name: string, fallback: number) => {
    const value = Number(env[name] ?? fallback);
    if (!(value > 0)) throw new Error(`${name}: "${env[name]}" is not a positive number`);
    return value;
  };
  const rate = positive("RATE", 50);
  const timeoutMs = positive("TIMEOUT_MS", 5000);
  const counts: Counts = { sent: 0, ok: 0, failed: 0, inFlight: 0, failures: {} };
  const fail = (kind: string) => {
    counts.failed++;
    counts.failures[kind] = (counts.failures[kind] ?? 0) + 1;
  };
  const ask = async () => {
    counts.sent++;
    if (counts.inFlight >= MAX_IN_FLIGHT) return fail("overload");
    counts.inFlight++;
    try {
      const response = await fetch(target, { signal: AbortSignal.timeout(timeoutMs) });
      await response.arrayBuffer();
      if (response.ok) counts.ok++;
      else fail(`${response.status} ${response.headers.get("l5d-proxy-error") ?? ""}`.trim());
    } catch (error) {
      fail((error as { code?: string }).code ?? (error as Error).name);
    } finally {
      counts.inFlight--;
    }
  };
  const start = performance.now();
  // Open loop: what is due is sent, however long the answers take.
  const ticker = setInterval(() => {
    const due = Math.floor(((performance.now() - start) / 1000) * rate);
    while (counts.sent < due) void ask();
  }, TICK_MS);
  const printer = setInterval(() => console.log(JSON.stringify(counts)), 1000);
  await terminated();
  clearInterval(ticker);
  clearInterval(printer);
  console.log(JSON.stringify(counts));
  return 0;
}
