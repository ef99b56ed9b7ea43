// A cluster for one test file: embedded, with networks that no other has, a home of its own, and an end that leaves nothing.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { layout } from "../cluster/config.ts";
import { clusterNames, missingTools } from "../cluster/network/index.ts";
import { tools } from "../cluster/tools.ts";
import { run, World } from "./world.ts";

const root = join(import.meta.dir, "..");
const fairlead = join(root, "bin", "fairlead");
const prefix = "fairlead-e2e-";
/** Runs at the same time on one machine; each has networks and a port of its own. */
const MAX_SLOTS = 4;

export type TestCluster = {
  readonly name: string;
  readonly stateDir: string;
  /** A folder of the test's own, gone after {@link stop}. */
  readonly folder: string;
  /** The node's network namespace. */
  readonly nodeNamespace: string;
  readonly podCidr: string;
  readonly serviceCidr: string;
  readonly world: World;
  readonly helm: string;
  readonly stop: () => Promise<void>;
};

/** Why a cluster cannot be had here; null when it can. */
export function whyNoCluster(commands: readonly string[] = []): string | null {
  if (process.platform !== "linux") return "the embedded cluster needs Linux";
  if (process.getuid?.() !== 0) return "the embedded cluster needs root";
  const missing = [...missingTools().map(({ binary }) => binary), ...commands.filter((command) => !Bun.which(command))];
  return missing.length > 0 ? `not installed: ${missing.join(", ")}` : null;
}

/** `images`: argument vectors by image name. @throws {Error} with what `fairlead local start` said; what it began is undone. */
export async function startCluster({ images }: { images: Readonly<Record<string, readonly string[]>> }): Promise<TestCluster> {
  await sweep();
  const slot = await freeSlot();
  const name = slot === 0 ? "e2e" : `e2e-${slot}`;
  const podCidr = `10.244.${72 + slot}.0/24`;
  const serviceCidr = `10.102.${64 * slot}.0/18`;
  const folder = mkdtempSync(join(tmpdir(), `${prefix}${process.pid}-`));
  const stateDir = join(folder, "state");
  writeFileSync(join(folder, "cluster"), name);
  const env = { ...(process.env as Record<string, string>), HOME: folder };
  const stop = async () => {
    const ran = await run([fairlead, "local", "reset", `--name=${name}`, `--state-dir=${stateDir}`], { env });
    if (ran.status !== 0) throw new Error(`fairlead local reset: ${ran.stderr || ran.stdout}`);
    rmSync(folder, { recursive: true, force: true });
  };
  const networks = [
    `--api-port=${17443 + slot}`,
    `--link-cidr=10.250.${72 + slot}.0/30`,
    `--pod-cidr=${podCidr}`,
    `--service-cidr=${serviceCidr}`,
  ];
  const table = Object.entries(images).map(([image, argv]) => `--image=${image}=${JSON.stringify(argv)}`);
  const ran = await run([fairlead, "local", "start", `--name=${name}`, `--state-dir=${stateDir}`, ...networks, ...table], { env });
  if (ran.status !== 0) {
    await stop();
    throw new Error(`fairlead local start: ${ran.stderr || ran.stdout}`);
  }
  const { kubectl, helm } = await tools();
  const world = new World({ kubeconfig: layout(stateDir).kubeconfig, kubectl, env });
  return { name, stateDir, folder, nodeNamespace: clusterNames(name).nodeNamespace, podCidr, serviceCidr, world, helm, stop };
}

/** Ends the clusters of runs that were killed. */
async function sweep(): Promise<void> {
  for (const entry of readdirSync(tmpdir())) {
    const pid = Number(new RegExp(`^${prefix}(\\d+)-`).exec(entry)?.[1] ?? Number.NaN);
    if (Number.isNaN(pid) || existsSync(`/proc/${pid}`)) continue;
    const folder = join(tmpdir(), entry);
    const name = await Bun.file(join(folder, "cluster"))
      .text()
      .catch(() => "");
    if (name) await run([fairlead, "local", "reset", `--name=${name}`, `--state-dir=${join(folder, "state")}`]);
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The first slot that no living run has. */
async function freeSlot(): Promise<number> {
  const taken = new Set<string>();
  for (const entry of readdirSync(tmpdir()))
    if (entry.startsWith(prefix))
      taken.add(
        await Bun.file(join(tmpdir(), entry, "cluster"))
          .text()
          .catch(() => ""),
      );
  for (let slot = 0; slot < MAX_SLOTS; slot++) if (!taken.has(slot === 0 ? "e2e" : `e2e-${slot}`)) return slot;
  throw new Error(`${MAX_SLOTS} clusters of this test run already`);
}

/** The process id of a container's program. @throws {Error} when the node has no record of it. */
export function mainProcess(stateDir: string, podUid: string, container: string): number {
  const runs = join(layout(stateDir).node, "pods", podUid, "containers", container);
  const last = Math.max(...readdirSync(runs).map(Number).filter(Number.isInteger));
  const { main } = JSON.parse(readFileSync(join(runs, String(last), "state.json"), "utf8")) as { main?: { pid: number } };
  if (!main) throw new Error(`${runs}/${last}: the program was not started`);
  return main.pid;
}

/** A program that tells what happens as lines of JSON, by `kubectl exec -i`. Ends with its standard input. */
export class Talk<Event extends object> {
  readonly events: Event[] = [];
  readonly #child: Bun.Subprocess<"pipe", "pipe", "pipe">;
  readonly #done: Promise<void>;
  #news = Promise.withResolvers<void>();

  constructor(argv: readonly string[], env: Record<string, string>) {
    this.#child = Bun.spawn([...argv], { stdin: "pipe", stdout: "pipe", stderr: "pipe", env });
    this.#done = this.#read();
  }

  /** The first event from `since` (default: the first of all) that holds; waits for it. @throws {Error} when the program ends without it or it takes longer. */
  async next(
    what: string,
    holds: (event: Event) => boolean,
    { since = 0, timeoutMs = 20_000 }: { since?: number; timeoutMs?: number } = {},
  ): Promise<Event> {
    const deadline = AbortSignal.timeout(timeoutMs);
    const expired = new Promise<"expired">((resolve) => deadline.addEventListener("abort", () => resolve("expired"), { once: true }));
    for (let at = since; ; ) {
      for (; at < this.events.length; at++) if (holds(this.events[at] as Event)) return this.events[at] as Event;
      const woken = await Promise.race([this.#news.promise, this.#done.then(() => "ended" as const), expired]);
      if (woken === undefined || at < this.events.length) continue;
      throw new Error(
        `${what}: ${woken === "ended" ? "the program ended" : `not seen within ${timeoutMs / 1000} s`}; it told ${JSON.stringify(this.events)} ${woken === "ended" ? await new Response(this.#child.stderr).text() : ""}`,
      );
    }
  }

  async stop(): Promise<void> {
    await this.#child.stdin.end();
    await Promise.race([this.#child.exited, Bun.sleep(2000)]);
    this.#child.kill();
    await this.#child.exited;
  }

  async #read(): Promise<void> {
    let rest = "";
    const decoder = new TextDecoder();
    for await (const bytes of this.#child.stdout) {
      const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
      rest = lines.pop() as string;
      for (const line of lines) if (line.startsWith("{")) this.events.push(JSON.parse(line) as Event);
      this.#news.resolve();
      this.#news = Promise.withResolvers();
    }
  }
}

export type Answer = { readonly status: number; readonly headers: Readonly<Record<string, string>>; readonly body: string };

/** What `curl -i` printed: the last answer, with names of headers in lower case. */
export function parseAnswer(text: string): Answer {
  const [head = "", ...rest] = text.split("\r\n\r\n");
  const [first = "", ...lines] = head.split("\r\n");
  const status = Number(/^HTTP\/\S+ (\d{3})/.exec(first)?.[1]);
  if (Number.isNaN(status)) throw new Error(`not an HTTP answer: ${text.slice(0, 200)}`);
  const headers = Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim()]),
  );
  return { status, headers, body: rest.join("\r\n\r\n") };
}
