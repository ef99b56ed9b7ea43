// One series each: a number, or the counts of a histogram.

/** Upper bounds of latency buckets, ms; the last one, infinity, is implied (spec proxy §9.1). */
export const LATENCY_BOUNDS_MS: readonly number[] = [
  1, 2, 3, 4, 5, 10, 20, 30, 40, 50, 100, 200, 300, 400, 500, 1000, 2000, 3000, 4000, 5000, 10000, 20000, 30000, 40000, 50000,
];

/** Somebody who may still count on a series. */
export interface Holder {
  readonly held: boolean;
}

/** What a family knows of every series. */
export abstract class Series {
  readonly labels: string;
  /** Changed since the last scrape. */
  touched = true;
  /** Scrape clock of the last change seen, ms. */
  lastChangeMs = 0;
  #holders: Holder[] = [];

  constructor(labels: string) {
    this.labels = labels;
  }

  /** Lines of the exposition. */
  abstract print(name: string): string;

  /** It stays for as long as one of those who hold it. */
  hold(holder: Holder): void {
    if (this.#holders.includes(holder)) return;
    this.#holders = this.#holders.filter(({ held }) => held);
    this.#holders.push(holder);
  }

  /** False for what must stay though nothing changes. */
  get idle(): boolean {
    return !this.#holders.some(({ held }) => held);
  }

  protected braces(extra = ""): string {
    const inner = extra === "" ? this.labels : this.labels === "" ? extra : `${this.labels},${extra}`;
    return inner === "" ? "" : `{${inner}}`;
  }
}

/** Counters begin again there (spec proxy §9.1). */
const WRAP = 2 ** 53;

/** Exact up to 2⁵³. */
export class Counter extends Series {
  value = 0;

  add(n = 1): void {
    this.value += n;
    this.touched = true;
  }

  print(name: string): string {
    return `${name}${this.braces()} ${this.value % WRAP}\n`;
  }
}

/** As a holder it keeps what belongs to it while it is not zero: the bytes of connections that are open. */
export class Gauge extends Series implements Holder {
  value = 0;

  get held(): boolean {
    return this.value !== 0;
  }

  /** Connections that are open, say, are there however quiet. */
  override get idle(): boolean {
    return !this.held && super.idle;
  }

  set(value: number): void {
    this.value = value;
    this.touched = true;
  }

  add(n: number): void {
    this.value += n;
    this.touched = true;
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
    this.touched = true;
  }

  print(name: string): string {
    let text = "";
    let total = 0;
    for (let i = 0; i <= this.#bounds.length; i++) {
      total += this.#counts[i] as number;
      text += `${name}_bucket${this.braces(`le="${i < this.#bounds.length ? this.#bounds[i] : "+Inf"}"`)} ${total}\n`;
    }
    return `${text}${name}_count${this.braces()} ${this.#count}\n${name}_sum${this.braces()} ${Math.floor(this.#sum)}\n`;
  }
}
