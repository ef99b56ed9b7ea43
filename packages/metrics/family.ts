// A metric with its series, found by their label text. Series that nobody touches expire (spec proxy §9.9).
import { Counter, Gauge, Histogram, type Holder, type Series } from "./series.ts";

/** Series of one family; a client that varies a label must not fill the memory. What would be more shares one overflow series. */
export const MAX_SERIES = 10_000;
/** The same for histograms, each of which is as many lines as it has buckets. */
export const MAX_HISTOGRAM_SERIES = 5_000;
const OVERFLOW = 'overflow="true"';

/** When unused series go: `never`, or after this long without a change. */
export type Retention = "never" | number;

export interface Family {
  readonly name: string;
  /** HELP, TYPE and series. */
  print(nowMs: number): string;
  readonly size: number;
}

abstract class FamilyOf<S extends Series> implements Family {
  readonly name: string;
  readonly #help: string;
  readonly #type: string;
  readonly #retention: Retention;
  readonly #maxSeries: number;
  readonly #series = new Map<string, S>();

  constructor({
    name,
    help,
    type,
    retention = "never",
    maxSeries = MAX_SERIES,
  }: {
    name: string;
    help: string;
    type: string;
    retention?: Retention;
    maxSeries?: number;
  }) {
    this.name = name;
    this.#help = help;
    this.#type = type;
    this.#retention = retention;
    this.#maxSeries = maxSeries;
  }

  protected abstract make(labels: string): S;

  get size(): number {
    return this.#series.size;
  }

  /**
   * The series of these labels, made when absent. Who keeps it gives a `holder`, so that it stays for as long; without one it is
   * to be used at once, as it may expire at the next scrape.
   */
  get(labels: string, holder?: Holder): S {
    let series = this.#series.get(labels);
    if (series === undefined) {
      if (this.#series.size >= this.#maxSeries && labels !== OVERFLOW) return this.get(OVERFLOW, EVERYBODY);
      series = this.make(labels);
      this.#series.set(labels, series);
    }
    if (holder !== undefined) series.hold(holder);
    return series;
  }

  /** Writes, then forgets what has been idle for the retention. */
  print(nowMs: number): string {
    let text = `# HELP ${this.name} ${this.#help}\n# TYPE ${this.name} ${this.#type}\n`;
    for (const series of this.#series.values()) {
      text += series.print(this.name);
      if (series.touched) {
        series.touched = false;
        series.lastChangeMs = nowMs;
      } else if (this.#retention !== "never" && series.idle && nowMs - series.lastChangeMs > this.#retention) {
        this.#series.delete(series.labels);
      }
    }
    return text;
  }
}

/** Of a series that any number of others hide in. */
const EVERYBODY: Holder = { held: true };

type Options = { name: string; help: string; retention?: Retention };

export class CounterFamily extends FamilyOf<Counter> {
  constructor(options: Options) {
    super({ ...options, type: "counter" });
  }

  protected make(labels: string): Counter {
    return new Counter(labels);
  }
}

export class GaugeFamily extends FamilyOf<Gauge> {
  constructor(options: Options) {
    super({ ...options, type: "gauge" });
  }

  protected make(labels: string): Gauge {
    return new Gauge(labels);
  }
}

export class HistogramFamily extends FamilyOf<Histogram> {
  readonly #bounds: readonly number[];

  constructor(options: Options & { bounds: readonly number[] }) {
    super({ ...options, type: "histogram", maxSeries: MAX_HISTOGRAM_SERIES });
    this.#bounds = options.bounds;
  }

  protected make(labels: string): Histogram {
    return new Histogram(labels, this.#bounds);
  }
}
