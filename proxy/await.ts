// Waits until this pod's proxy is ready: the hook that keeps the application from starting before it (spec proxy §1.5).
import { parseArgs } from "node:util";

type Env = Record<string, string | undefined>;

const POLL_MS = 100;
const usage = `usage: fairlead proxy-await [--timeout=DURATION] [--port=PORT] [--backoff=DURATION]
  --timeout   give up after this long, exit status 69 (default 120s)
  --port      the proxy's admin port (default 4191)
  --backoff   time between two questions (default ${POLL_MS}ms)
`;
/** EX_UNAVAILABLE, as linkerd-await has it. */
const EXIT_TIMEOUT = 69;
const EXIT_USAGE = 64;

/** Exit status 0 once `/ready` answers 200, or at once when `LINKERD_DISABLED` is set. */
export async function main(args: string[], env: Env): Promise<number> {
  let timeoutMs: number;
  let port: number;
  let backoffMs: number;
  try {
    const { values } = parseArgs({
      args: args.map((arg) => (/^-[tp]\w/.test(arg) ? `${arg.slice(0, 2)}=${arg.slice(2)}` : arg)),
      options: { timeout: { type: "string", default: "120s" }, port: { type: "string", short: "p", default: "4191" }, backoff: { type: "string", default: `${POLL_MS}ms` } },
    });
    timeoutMs = duration("--timeout", values.timeout);
    backoffMs = duration("--backoff", values.backoff);
    port = Number(values.port);
    if (!Number.isInteger(port) || port < 1 || port > 65535) throw new Error(`--port: "${values.port}" is not a port (1 to 65535)`);
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n${usage}`);
    return EXIT_USAGE;
  }
  if (env["LINKERD_DISABLED"] || env["LINKERD_AWAIT_DISABLED"]) return 0;
  const deadline = performance.now() + timeoutMs;
  while (performance.now() < deadline) {
    if (await ready(port)) return 0;
    await Bun.sleep(backoffMs);
  }
  process.stderr.write(`the proxy on port ${port} was not ready within ${timeoutMs / 1000}s\n`);
  return EXIT_TIMEOUT;
}

async function ready(port: number): Promise<boolean> {
  try {
    const response = await fetch(`http://127.0.0.1:${port}/ready`, { signal: AbortSignal.timeout(1000), keepalive: false });
    await response.arrayBuffer();
    return response.status === 200;
  } catch {
    return false;
  }
}

/** `2m`, `90s`, `500ms`. */
function duration(flag: string, text: string): number {
  const match = /^(\d+)(ms|s|m|h)$/.exec(text);
  if (!match) throw new Error(`${flag}: "${text}" is not a duration (such as 500ms, 90s, 2m)`);
  return Number(match[1]) * ({ ms: 1, s: 1000, m: 60_000, h: 3_600_000 }[match[2] as "ms" | "s" | "m" | "h"] as number);
}
