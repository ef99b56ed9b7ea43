// One series each: a number, or the counts of a histogram.

/** Upper bounds of latency buckets, ms; the last one, infinity, is implied (spec proxy §9.1). */
export const LATENCY_BOUNDS_MS: readonly number[] = [
  1, 2, 3, 4, 5, 10, 20, 30, 40, 50, 100, 200, 300, 400, 500, 1000, 2000, 3000, 4000, 5000, 10000, 20000, 30000, 40000, 50000,
];

/** What a family knows of every series. */
export abstract class Series {
  readonly labels: string;
  /** Changed since the last scrape. */
  touched = true;
  /** Scrape clock of the last change seen, ms. */
  lastChangeMs = 0;
  /** Set when it has expired: its owner may still count on it, and then it comes back as it was. */
  revive: (() => void) | null = null;

  constructor(labels: string) {
    this.labels = labels;
  }

  /** Lines of the exposition. */
  abstract print(name: string): string;

  protected touch(): void {
    this.touched = true;
    this.revive?.();
    this.revive = null;
  }

  /** False for what must stay though nothing changes. */
  get idle(): boolean {
    return true;
  }

  protected braces(extra = ""): string {
    const inner = extra === "" ? this.labels : this.labels === "" ? extra : `${this.labels},${extra}`;
    return inner === "" ? "" : `{${inner}}`;
  }
}

/** Exact up to 2⁵³. */
export class Counter extends Series {
  value = 0;

  add(n = 1): void {
    this.value += n;
    if (!this.touched) this.touch();
  }

  print(name: string): string {
    return `${name}${this.braces()} ${this.value}\n`;
  }
}

export class Gauge extends Series {
  value = 0;

  /** Connections that are open, say, are there however quiet. */
  override get idle(): boolean {
    return this.value === 0;
  }

  set(value: number): void {
    this.value = value;
    if (!this.touched) this.touch();
  }

  add(n: number): void {
    this.value += n;
    if (!this.touched) this.touch();
  }

  print(name: string): string {
    return `${name}${this.braces()} ${this.value}\n`;
  }
}

/** Bucket counts are kept apart and summed when printed. */
export class Histogram extends Series {
  readonly #bounds: readonly number[];
  readonly #counts: Float64Array;
  #sum = 0;
  #count = 0;

  constructor(labels: string, bounds: readonly number[]) {
    super(labels);
    this.#bounds = bounds;
    this.#counts = new Float64Array(bounds.length + 1);
  }

  get count(): number {
    return this.#count;
  }

  observe(value: number): void {
    const bounds = this.#bounds;
    let i = 0;
    while (i < bounds.length && value > (bounds[i] as number)) i++;
    (this.#counts[i] as number)++;
    this.#sum += value;
    this.#count++;
    if (!this.touched) this.touch();
  }

  print(name: string): string {
    let text = "";
    let total = 0;
    for (let i = 0; i <= this.#bounds.length; i++) {
      total += this.#counts[i] as number;
      text += `${name}_bucket${this.braces(`le="${i < this.#bounds.length ? this.#bounds[i] : "+Inf"}"`)} ${total}\n`;
    }
    return `${text}${name}_count${this.braces()} ${this.#count}\n${name}_sum${this.braces()} ${Math.round(this.#sum)}\n`;
  }
}
