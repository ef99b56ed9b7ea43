// Mutual-TLS connections at proxy B: what one costs that comes with one request (P8), whether proxy A saves them (P8), and what an
// idle one weighs (P10). The client speaks TLS itself, with proxy A's certificate, and goes past proxy A.
import { join } from "node:path";
import type { ConnectionsResult, ConnectionsTls } from "../connections.ts";
import { activeOpens, memory } from "../cost.ts";
import { PROXY_UID } from "../lab.ts";
import { type ConnectionsTarget, connectionsAtRate, connectionsCommand, parseLine } from "../load.ts";
import { type Cell, charge } from "../measure.ts";
import { costRow, type Row, valuesRow } from "../report.ts";
import { type Chains, interleaveCells, type Measure, type Run, withChains } from "../run.ts";
import { envoy } from "../systems/envoy.ts";
import { type Chain, CLIENT_ID, SERVER_ID } from "../systems/system.ts";

/** New connections a second; all systems can take that many on half a core. */
const RATE = 120;
const HOLD_RATE = 250;
/** Of an application that opens a connection per request. */
const CLIENT_CONNECTIONS = 200;
/** Brings code and tables into memory before idle connections are weighed. */
const WARM_CONNECTIONS = 50;
/** Until a proxy that compiles as it goes has compiled what a connection needs. */
const WARM_SECONDS = 10;
const SETTLE_MS = 6000;

export const connections: Measure = {
  ids: ["P8", "P10"],
  async measure(run, wanted) {
    const rows: Row[] = [];
    const tls = await tlsFile(run);
    if (wanted.has("P8")) rows.push(...(await withChains(run, run.systems, "http1", (chains) => accepted(run, chains, tls))));
    if (wanted.has("P10")) rows.push(await idle(run, tls));
    return rows;
  },
};

async function tlsFile(run: Run): Promise<string> {
  const file = join(run.lab.directory, "connections-tls.json");
  const { certificate, key } = await run.authority.issue(CLIENT_ID);
  await Bun.write(file, JSON.stringify({ certificate, key, ca: run.authority.pem, serverName: SERVER_ID } satisfies ConnectionsTls));
  return file;
}

const target = (chain: Chain, tls: string): ConnectionsTarget => ({ ip: chain.server.ip, port: 8080, tls });

async function accepted(run: Run, chains: Chains, tls: string): Promise<Row[]> {
  const { lab, plan } = run;
  run.say("warming up");
  for (const chain of chains.values()) await connectionsAtRate(lab, chain.client, target(chain, tls), WARM_SECONDS, RATE);
  const cells: ReadonlyMap<string, readonly Cell[]> = await interleaveCells(run, "connections", chains, plan.repeats, (chain) =>
    charge(chain, () => connectionsAtRate(lab, chain.client, target(chain, tls), plan.connectionSeconds, RATE)),
  );
  const reused = new Map<string, number[]>();
  const faults = new Map<string, string[]>();
  for (const [name, chain] of chains) {
    const before = activeOpens(chain.a);
    const result = await connectionsAtRate(lab, chain.client, { ip: chain.service, port: 80, tls: null }, CLIENT_CONNECTIONS / RATE, RATE);
    // Those of the client, which are redirected to proxy A, are opened in the same namespace.
    const opened = activeOpens(chain.a) - before - CLIENT_CONNECTIONS;
    run.say(`reuse  ${name.padEnd(12)} ${opened} new connections for ${result.requests} requests`);
    const complete = result.requests === CLIENT_CONNECTIONS;
    reused.set(name, complete ? [(1 - opened / CLIENT_CONNECTIONS) * 100] : []);
    if (!complete) faults.set(name, [...result.faults]);
  }
  return [
    costRow(
      {
        id: "P8",
        what: "accepted mTLS connection, one request",
        unit: "CPU ms, proxy B",
        bar: [{ peer: envoy.name, max: 0.8 }],
        goal: [{ peer: envoy.name, max: 0.4 }],
        scale: (cell) => cell.b / 1000,
      },
      cells,
    ),
    valuesRow(
      { id: "P8", what: "reused by A, client opens one per request", unit: "%", bar: [{ min: 95 }], goal: [{ min: 95 }] },
      reused,
      faults,
    ),
  ];
}

/** Fresh chains each time: memory that was once used may not be given back. */
async function idle(run: Run, tls: string): Promise<Row> {
  const { lab, plan } = run;
  const all = new Map<string, number[]>(run.systems.map(({ name }) => [name, []]));
  const faults = new Map<string, string[]>();
  for (let turn = 1; turn <= plan.memoryRepeats; turn++)
    await withChains(run, run.systems, "http1", async (chains) => {
      for (const chain of chains.values()) await connectionsAtRate(lab, chain.client, target(chain, tls), 1, WARM_CONNECTIONS);
      await Bun.sleep(SETTLE_MS);
      const before = new Map([...chains].map(([name, { b }]) => [name, memory(b)]));
      const held: { stdin: { end(): unknown }; exited: Promise<number> }[] = [];
      for (const [name, chain] of chains) {
        const argv = connectionsCommand("hold", target(chain, tls), plan.idleConnections, HOLD_RATE);
        const child = Bun.spawn(lab.command(chain.client, lab.otherCore, argv, PROXY_UID), {
          stdin: "pipe",
          stdout: "pipe",
          stderr: "inherit",
        });
        held.push(child);
        const { value } = await child.stdout.getReader().read();
        const line = new TextDecoder().decode(value);
        const result = parseLine<ConnectionsResult>(line);
        if (result?.answered !== plan.idleConnections) faults.set(name, [...(faults.get(name) ?? []), result?.reason ?? line]);
      }
      await Bun.sleep(SETTLE_MS);
      for (const [name, { b }] of chains) {
        const [was, is] = [before.get(name) ?? memory(b), memory(b)];
        const kb = (now: number, then: number): number => ((now - then) * 1000) / plan.idleConnections;
        const pss = kb(is.pss, was.pss);
        run.say(
          `idle connections ${turn}/${plan.memoryRepeats}  ${name.padEnd(12)} ${pss.toFixed(1)} KB each (RSS ${kb(is.rss, was.rss).toFixed(1)})`,
        );
        if (!faults.has(name)) all.get(name)?.push(pss);
      }
      for (const child of held) child.stdin.end();
      await Promise.all(held.map((child) => child.exited));
    });
  const what = `idle mTLS connection, of ${plan.idleConnections}`;
  return valuesRow({ id: "P10", what, unit: "KB PSS", bar: [{ max: 25 }], goal: [{ max: 12 }] }, all, faults);
}
