// A relay between two proxies that harms the bytes on their way: cut short, one by one, a bit turned, held up. It stands in the pod
// outside the mesh; the first proxy is told that the endpoint is there.
import type { Pod } from "./namespaces.ts";
import { dialFrom, type PodServer, type PodSocket, serveIn } from "./sockets.ts";

/** Direction of bytes: of the one who connected, or of the other. */
export type Direction = "forth" | "back";

export type Harm =
  | { readonly kind: "none" }
  /** Each byte is a write of its own. */
  | { readonly kind: "bytewise" }
  /** After so many bytes of a direction both sides are reset. */
  | { readonly kind: "reset"; readonly direction: Direction; readonly after: number }
  /** The same, with FIN. */
  | { readonly kind: "end"; readonly direction: Direction; readonly after: number }
  /** The bit of this number is turned. */
  | { readonly kind: "flip"; readonly direction: Direction; readonly bit: number };

export class ByteRelay {
  /** Of connections made from now on. */
  harm: Harm = { kind: "none" };
  readonly #server: PodServer;
  readonly #open = new Set<PodSocket>();
  #held = false;
  #release: (() => void)[] = [];

  constructor(pod: Pod, port: number, to: { host: string; port: number }) {
    this.#server = serveIn(pod, port, (client) => void this.#relay(pod, client, to));
  }

  get accepted(): number {
    return this.#server.accepted;
  }

  /** Nothing passes until {@link release}; nobody is told. */
  hold(): void {
    this.#held = true;
  }

  release(): void {
    this.#held = false;
    for (const go of this.#release.splice(0)) go();
  }

  /** Resets every connection. */
  cut(): void {
    for (const socket of this.#open) socket.reset();
  }

  stop(): void {
    this.cut();
    this.#server.stop();
  }

  async #relay(pod: Pod, client: PodSocket, to: { host: string; port: number }): Promise<void> {
    const { harm } = this;
    const waiting: Uint8Array[] = [];
    client.onData = (chunk) => void waiting.push(new Uint8Array(chunk));
    const server = await dialFrom(pod, to).catch(() => null);
    if (server === null) {
      client.reset();
      return;
    }
    const both = [client, server] as const;
    for (const socket of both) {
      this.#open.add(socket);
      void socket.closed.then(() => {
        this.#open.delete(socket);
        for (const other of both) other.reset();
      });
    }
    const early = waiting.splice(0);
    this.#pump(client, server, "forth", harm, early, both);
    this.#pump(server, client, "back", harm, [], both);
  }

  #pump(from: PodSocket, to: PodSocket, direction: Direction, harm: Harm, early: Uint8Array[], both: readonly PodSocket[]): void {
    let passed = 0;
    let chain = Promise.resolve();
    const pass = (bytes: Uint8Array): void => {
      const chunk = new Uint8Array(bytes);
      chain = chain.then(async () => {
        if (this.#held) await new Promise<void>((resolve) => this.#release.push(resolve));
        await this.#pass(chunk, passed, to, direction, harm, both);
        passed += chunk.length;
      });
    };
    for (const chunk of early) pass(chunk);
    from.onData = pass;
    from.onEnd = () => void chain.then(() => to.finish());
  }

  async #pass(
    chunk: Uint8Array,
    passed: number,
    to: PodSocket,
    direction: Direction,
    harm: Harm,
    both: readonly PodSocket[],
  ): Promise<void> {
    if (harm.kind === "bytewise") {
      for (let i = 0; i < chunk.length; i++) {
        await to.write(chunk.subarray(i, i + 1));
        // A segment each, and so a read each.
        if (i % 8 === 7) await new Promise((resolve) => setImmediate(resolve));
      }
      return;
    }
    if (harm.kind === "flip" && harm.direction === direction) {
      const at = Math.floor(harm.bit / 8) - passed;
      if (at >= 0 && at < chunk.length) chunk[at] = (chunk[at] as number) ^ (1 << (harm.bit % 8));
    }
    if ((harm.kind === "reset" || harm.kind === "end") && harm.direction === direction && passed + chunk.length >= harm.after) {
      await to.write(chunk.subarray(0, Math.max(0, harm.after - passed)));
      for (const socket of both) {
        if (harm.kind === "reset") socket.reset();
        else socket.close();
      }
      return;
    }
    await to.write(chunk);
  }
}
