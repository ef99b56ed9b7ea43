// Families in the order they are printed. A group without any series is left out whole.
import type { Family } from "./family.ts";

export class Registry {
  readonly #groups: (readonly Family[] | (() => string))[] = [];
  readonly #slots = new Map<string, () => string>();

  /** Families that appear together, once one of them has a series. */
  group(...families: readonly Family[]): void {
    this.#groups.push(families);
  }

  /** Text made at each scrape, for what is read elsewhere (the process, the certificate). */
  text(print: () => string): void {
    this.#groups.push(print);
  }

  /** Keeps a place on the page for a text that is known later. */
  slot(name: string): void {
    this.#groups.push(() => this.#slots.get(name)?.() ?? "");
  }

  /** Fills a place that {@link slot} has kept. */
  fill(name: string, print: () => string): void {
    this.#slots.set(name, print);
  }

  /** The whole page. `nowMs` is any monotonic clock. */
  print(nowMs: number): string {
    return this.parts(nowMs).join("");
  }

  /** The page by groups and texts, `` for what is left out: registries made alike have the same ones at the same places. */
  parts(nowMs: number): string[] {
    return this.#groups.map((group) => {
      if (typeof group === "function") return group();
      return group.some(({ size }) => size > 0) ? group.map((family) => family.print(nowMs)).join("") : "";
    });
  }
}
