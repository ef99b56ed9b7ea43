// A link between two pods that a test makes bad and good again (packet-relay.ts).
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { join } from "node:path";
import type { Pod } from "./namespaces.ts";
import type { Impairment } from "./packet-relay.ts";

const READY_MS = 10_000;
const LOOK_MS = 20;

export class ImpairedLink {
  #relay: ChildProcess | null = null;
  #changed: () => void = () => {};

  /** For createPods. */
  readonly join = (a: Pod, b: Pod): void => {
    const relay = spawn(process.execPath, [join(import.meta.dir, "packet-relay.ts"), a.namespace, b.namespace], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#relay = relay;
    relay.stdout.on("data", (chunk: Buffer) => {
      if (chunk.toString().includes("changed")) this.#changed();
    });
    const up = ({ namespace }: Pod): boolean => spawnSync("ip", ["-n", namespace, "link", "show", "eth0"]).status === 0;
    for (const until = performance.now() + READY_MS; !(up(a) && up(b)); Bun.sleepSync(LOOK_MS))
      if (performance.now() > until) throw new Error("the packet relay made no devices");
  };

  /** Resolves when packets are treated so. */
  async set(impairment: Impairment): Promise<void> {
    const changed = new Promise<void>((resolve) => {
      this.#changed = resolve;
    });
    this.#relay?.stdin?.write(`${JSON.stringify(impairment)}\n`);
    await changed;
  }

  close(): void {
    this.#relay?.kill("SIGKILL");
  }
}
