// Lists of ports in annotations and flags (spec control-plane §3.4): numbers, ranges `a-b`, and names of ports.

/** A set of ports kept as ranges: `0-65535` costs one entry. */
export class PortSet {
  readonly #ranges: readonly (readonly [low: number, high: number])[];

  constructor(ranges: readonly (readonly [low: number, high: number])[]) {
    this.#ranges = ranges;
  }

  has(port: number): boolean {
    return this.#ranges.some(([low, high]) => port >= low && port <= high);
  }

  get isEmpty(): boolean {
    return this.#ranges.length === 0;
  }

  /** Every port, in the order of the list, each once. */
  expand(): number[] {
    const seen = new Set<number>();
    for (const [low, high] of this.#ranges) for (let port = low; port <= high; port++) seen.add(port);
    return [...seen];
  }

  /** Equal for equal lists, for comparison. */
  get key(): string {
    return this.#ranges.map(([low, high]) => `${low}-${high}`).join(",");
  }
}

/** Most items that are read of one list; the rest is reported as invalid. */
export const maxPortItems = 1024;

export type PortList = { readonly ports: PortSet /** Items that name no port, as written. */; readonly invalid: readonly string[] };

/**
 * Reads a list. `names` turns the name of a port into its numbers; a name is looked for before a number. A trailing comma is allowed.
 * Invalid items are left out and reported.
 */
export function parsePortList(text: string, names: (name: string) => readonly number[] = () => []): PortList {
  const ranges: [number, number][] = [];
  const invalid: string[] = [];
  const items = text.split(",").map((item) => item.trim());
  if (items.at(-1) === "") items.pop();
  for (const [index, item] of items.entries()) {
    if (index >= maxPortItems) {
      invalid.push(`${item} (more than ${maxPortItems} items)`);
      break;
    }
    const named = names(item);
    if (named.length > 0) {
      for (const port of named) ranges.push([port, port]);
      continue;
    }
    const range = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(item);
    const low = Number(range?.[1]);
    const high = Number(range?.[2] ?? range?.[1]);
    if (!range || low > 65535 || high > 65535 || high < low) invalid.push(item);
    else ranges.push([low, high]);
  }
  return { ports: new PortSet(ranges), invalid };
}

type NamedPort = { readonly name?: string; readonly containerPort: number };

/** Numbers of the container ports of a name, over all the containers. */
export function containerPortNames(
  containers: readonly { readonly ports?: readonly NamedPort[] }[] | undefined,
): (name: string) => number[] {
  return (name) =>
    name === ""
      ? []
      : (containers ?? []).flatMap((container) =>
          (container.ports ?? []).filter((port) => port.name === name).map((port) => port.containerPort),
        );
}
