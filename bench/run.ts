// What every measure works with: the systems of this run, their chains, and cells taken in turns.
import type { Authority } from "./certificates.ts";
import type { Lab } from "./lab.ts";
import { type Cell, saturation, saturationHttp2, waitForAnswer } from "./measure.ts";
import type { Plan } from "./plan.ts";
import type { Row } from "./report.ts";
import type { Chain, Kind, System } from "./systems/system.ts";

export type Run = {
  readonly lab: Lab;
  readonly authority: Authority;
  readonly systems: readonly System[];
  readonly plan: Plan;
  /** Progress. */
  readonly say: (line: string) => void;
};

export type Measure = {
  /** Rows of goals.md it can fill. */
  readonly ids: readonly string[];
  /** Fills those of `wanted`. */
  measure(run: Run, wanted: ReadonlySet<string>): Promise<Row[]>;
};

/** Name of a system → its chain, in the order of the run. */
export type Chains = ReadonlyMap<string, Chain>;

let started = 0;

/** Starts chains, checks that they do what is measured, and removes them afterwards. */
export async function withChains<T>(run: Run, systems: readonly System[], kind: Kind, use: (chains: Chains) => Promise<T>): Promise<T> {
  const { lab, say } = run;
  const chains = new Map<string, Chain>();
  try {
    for (const system of systems) {
      const pods = lab.pods(String(++started));
      await lab.startServer(pods.server, { http2: kind === "http2" });
      lab.redirect(pods.client);
      lab.redirect(pods.server);
      const chain = await system.start(lab, run.authority, pods, kind);
      chains.set(system.name, chain);
      await waitForAnswer(lab, chain, 30_000, kind === "http2");
      const wrong = system.check?.(lab, chain, kind) ?? null;
      if (wrong !== null) throw new Error(`${system.name}: ${wrong}`);
      say(`${system.name} ${system.version()} answers (${kind})`);
    }
    return await use(chains);
  } finally {
    await lab.remove([...chains.values()].flatMap((chain) => [chain.client, chain.server]));
  }
}

export async function warmUp(run: Run, chains: Chains, kind: Kind, seconds: number): Promise<void> {
  for (const chain of chains.values())
    await (kind === "http2" ? saturationHttp2(run.lab, chain, "get", seconds) : saturation(run.lab, chain, seconds));
}

/** A/B/A/B: every system once, then again. */
export async function interleave<T>(
  chains: Chains,
  repeats: number,
  take: (chain: Chain, name: string, turn: number) => Promise<T>,
): Promise<Map<string, T[]>> {
  const taken = new Map<string, T[]>([...chains.keys()].map((name) => [name, []]));
  for (let turn = 1; turn <= repeats; turn++) for (const [name, chain] of chains) taken.get(name)?.push(await take(chain, name, turn));
  return taken;
}

export function interleaveCells(
  run: Run,
  what: string,
  chains: Chains,
  repeats: number,
  take: (chain: Chain) => Promise<Cell>,
): Promise<Map<string, Cell[]>> {
  return interleave(chains, repeats, async (chain, name, turn) => {
    const cell = await take(chain);
    const note = cell.faults.length > 0 ? `  void: ${cell.faults.join("; ")}` : "";
    run.say(
      `${what} ${turn}/${repeats}  ${name.padEnd(12)} ${cell.a.toFixed(1).padStart(7)} + ${cell.b.toFixed(1).padStart(6)} µs  ${Math.round(cell.rate)}/s  generator ${Math.round(cell.generatorShare * 100)} %${note}`,
    );
    return cell;
  });
}
