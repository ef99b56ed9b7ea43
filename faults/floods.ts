// What floods cost (goals R8): the memory of the proxy that is attacked, before, during and after; and the latency of its neighbours,
// quiet and under attack. Every flood of proxy/advisories, from outside the mesh against the inbound proxy, while an application in
// another pod goes on calling through both proxies.
import { ATTACKS } from "../proxy/advisories/attacks.ts";
import type { Pod } from "../proxy/testing/namespaces.ts";
import { Load, ProcessMesh, type ProxyProcess, SERVICE_IP, startLoadApp, until } from "../proxy/testing/processes.ts";
import type { AttackReport } from "./attacker.ts";

export type FloodOptions = {
  readonly tag: string;
  /** Only floods whose name contains this. */
  readonly only: string;
  /** Each attack, and each quiet time before and after it. */
  readonly seconds: number;
  /** Frames a second: a hundred thousand in ten seconds. */
  readonly frameRate: number;
  /** Requests a second of the neighbours. */
  readonly neighbourRate: number;
  readonly say: (line: string) => void;
};

export type Latency = { readonly p50: number; readonly p99: number };

export type FloodResult = {
  readonly row: number;
  readonly name: string;
  readonly attack: AttackReport;
  /** Bytes. `peak`: the highest during the attack. */
  readonly rss: { readonly before: number; readonly peak: number; readonly after: number };
  /** Of neighbours; ms. `quiet`: the mean of before and after. */
  readonly quiet: Latency;
  /** The greater of the two quiet p99s by the smaller: what the machine itself does to them. */
  readonly noise: number;
  readonly attacked: Latency;
  /** Requests of neighbours that failed. */
  readonly failed: Readonly<Record<string, number>>;
  /** CPU of the attacked proxy during the attack, share of a core. */
  readonly cpu: number;
};

export type FloodsResult = {
  readonly options: Omit<FloodOptions, "say" | "tag">;
  readonly floods: readonly FloodResult[];
  readonly alive: boolean;
  readonly internalErrors: readonly string[];
};

const HTTP = 8080;
const GRPC = 8081;
/** What the floods ask for has an application of its own: what that one suffers is not the proxy's. */
const TARGET = 8082;
const WARM_UP_MS = 10_000;
const SAMPLE_MS = 50;
/** A collector that frees lazily, ms. */
const SETTLE_MS = 2000;

export async function floods(options: FloodOptions): Promise<FloodsResult> {
  const { seconds, say } = options;
  const mesh = await ProcessMesh.start({ tag: options.tag, ports: { [HTTP]: {}, [GRPC]: {}, [TARGET]: {} } });
  try {
    await startLoadApp(mesh.pods.b, { delayMs: 0, http1Port: HTTP, grpcPort: GRPC });
    let said = "";
    mesh.pods.b.start([process.execPath, new URL("sink.ts", import.meta.url).pathname, String(TARGET)], {
      stdout: (text) => void (said += text),
    });
    await until("the target listens", () => said.includes("listening"));
    const neighbours = new Load(mesh.pods.a, {
      protocol: "http1",
      host: SERVICE_IP,
      port: HTTP,
      rate: options.neighbourRate,
      connections: 8,
    });
    await until("the neighbours are served", async () => (await neighbours.report()).ok > 0);
    await Bun.sleep(WARM_UP_MS);
    const results: FloodResult[] = [];
    let failedBefore: Readonly<Record<string, number>> = {};
    for (const attack of ATTACKS.filter(({ name }) => name.includes(options.only))) {
      const quiet = async (): Promise<Latency> => {
        await neighbours.report();
        await Bun.sleep(seconds * 1000);
        return latency(await neighbours.report());
      };
      const first = await quiet();
      const before = mesh.b.rssBytes;
      const watch = new Watch(mesh.b);
      const report = await run(mesh.outsider, [attack.name, mesh.pods.b.ip, String(TARGET), String(options.frameRate), String(seconds)]);
      const attacked = await neighbours.report();
      const { peak, cpu } = watch.stop();
      await Bun.sleep(SETTLE_MS);
      const second = await quiet();
      const result: FloodResult = {
        row: attack.row,
        name: attack.name,
        attack: report,
        rss: { before, peak, after: mesh.b.rssBytes },
        quiet: { p50: (first.p50 + second.p50) / 2, p99: (first.p99 + second.p99) / 2 },
        noise: Math.max(first.p99, second.p99) / Math.min(first.p99, second.p99),
        attacked: latency(attacked),
        failed: since(failedBefore, attacked.failed),
        cpu,
      };
      failedBefore = attacked.failed;
      results.push(result);
      say(line(result));
      if (!mesh.b.alive) break;
    }
    await neighbours.stop();
    const { say: _say, tag: _tag, ...shown } = options;
    return { options: shown, floods: results, alive: mesh.b.alive, internalErrors: [...mesh.a.internalErrors, ...mesh.b.internalErrors] };
  } finally {
    mesh.close();
  }
}

const latency = ({ p50, p99 }: Latency): Latency => ({ p50, p99 });

function since(before: Readonly<Record<string, number>>, now: Readonly<Record<string, number>>): Record<string, number> {
  const fresh = Object.entries(now).map(([why, n]) => [why, n - (before[why] ?? 0)] as const);
  return Object.fromEntries(fresh.filter(([, n]) => n > 0));
}

async function run(pod: Pod, args: readonly string[]): Promise<AttackReport> {
  const { status, stdout, stderr } = await pod.output(process.execPath, new URL("attacker.ts", import.meta.url).pathname, ...args);
  if (status !== 0) throw new Error(`the attacker failed: ${stderr}`);
  return JSON.parse(stdout) as AttackReport;
}

/** Memory and CPU of a proxy while something happens. */
class Watch {
  readonly #proxy: ProxyProcess;
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #begun = performance.now();
  readonly #cpuMs: number;
  #peak: number;

  constructor(proxy: ProxyProcess) {
    this.#proxy = proxy;
    this.#cpuMs = proxy.cpuMs;
    this.#peak = proxy.rssBytes;
    this.#timer = setInterval(() => {
      this.#peak = Math.max(this.#peak, proxy.rssBytes);
    }, SAMPLE_MS);
  }

  stop(): { peak: number; cpu: number } {
    clearInterval(this.#timer);
    return { peak: this.#peak, cpu: (this.#proxy.cpuMs - this.#cpuMs) / (performance.now() - this.#begun) };
  }
}

const MB = 1e6;
export const MAX_GROWTH_BYTES = 10 * MB;
export const MAX_LATENCY_RATIO = 2;

/** Goal R8 is met by this flood. */
export function meets({ rss, quiet, attacked, failed }: FloodResult): boolean {
  return rss.after - rss.before < MAX_GROWTH_BYTES && attacked.p99 < MAX_LATENCY_RATIO * quiet.p99 && Object.keys(failed).length === 0;
}

const number = (value: number, digits = 1): string => value.toFixed(digits).padStart(7);

function line(result: FloodResult): string {
  const { rss, quiet, attacked, attack } = result;
  const growth = `${number((rss.peak - rss.before) / MB)} ${number((rss.after - rss.before) / MB)}`;
  const times = `${number(quiet.p50, 2)} ${number(attacked.p50, 2)} ${number(quiet.p99, 2)} ${number(attacked.p99, 2)} ${number(attacked.p99 / quiet.p99, 2)} ${number(result.noise, 2)}`;
  return `${String(result.row).padStart(3)}  ${result.name.slice(0, 72).padEnd(72)} ${String(attack.frames).padStart(7)} ${String(attack.connections).padStart(5)} ${number(rss.before / MB)} ${growth} ${times} ${number(result.cpu * 100, 0)}  ${meets(result) ? "met" : "NOT MET"}${Object.keys(result.failed).length > 0 ? ` failed: ${JSON.stringify(result.failed)}` : ""}`;
}

export function floodsText(result: FloodsResult): string {
  const { options } = result;
  const met = result.floods.filter(meets).length;
  const heading = `row  flood${" ".repeat(68)} frames conns  RSS MB    peak   after     p50  p50 at   p99   p99 at   ratio   noise   CPU %`;
  return `${[
    `Floods at ${options.frameRate} frames a second for ${options.seconds} s each, from outside the mesh, a new connection whenever one is ended.`,
    `Neighbours: ${options.neighbourRate} requests a second through both proxies. RSS of the attacked proxy: before, and its growth at the peak and after. Latency in ms, quiet and under attack; noise: how far the quiet times before and after differ.`,
    `Goal R8: growth < 10 MB, p99 < 2 times that of quiet times, nothing failed: ${met} of ${result.floods.length} met. The process ${result.alive ? "lives" : "DIED"}; ${result.internalErrors.length} internal errors.`,
    "",
    heading,
    ...result.floods.map(line),
  ].join("\n")}\n`;
}
