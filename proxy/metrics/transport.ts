// Connections: how many, and their bytes (spec proxy §9.6).
import { type Counter, CounterFamily, formatLabels, type Gauge, GaugeFamily, joinLabels, type Registry } from "#metrics";
import type { TransportScope } from "../telemetry.ts";
import type { TransportCounters } from "../transport/index.ts";

type Found = { readonly opens: Counter; readonly open: Gauge; readonly counters: TransportCounters };

/** Scopes that are remembered. */
const MAX_SCOPES = 1024;

/** Open connections and their bytes. */
export class TransportFamilies {
  readonly opens: CounterFamily;
  readonly open: GaugeFamily;
  readonly reads: CounterFamily;
  readonly writes: CounterFamily;
  readonly closes: CounterFamily;
  /** Most connections are like one before. */
  readonly #scopes = new Map<string, TransportScope>();

  constructor(retention: number) {
    this.opens = new CounterFamily({ name: "tcp_open_total", help: "Total count of opened connections", retention });
    this.open = new GaugeFamily({ name: "tcp_open_connections", help: "Number of currently-open connections", retention });
    this.reads = new CounterFamily({ name: "tcp_read_bytes_total", help: "Total count of bytes read from peers", retention });
    this.writes = new CounterFamily({ name: "tcp_write_bytes_total", help: "Total count of bytes written to peers", retention });
    this.closes = new CounterFamily({ name: "tcp_close_total", help: "Total count of closed connections", retention });
  }

  group(registry: Registry): void {
    registry.group(this.opens, this.open, this.reads, this.writes, this.closes);
  }

  /** Series appear with the first connection, and stay while any is open. */
  scope(labels: string): TransportScope {
    let scope = this.#scopes.get(labels);
    if (scope === undefined) {
      if (this.#scopes.size >= MAX_SCOPES) this.#scopes.clear();
      scope = this.#scope(labels);
      this.#scopes.set(labels, scope);
    }
    return scope;
  }

  #scope(labels: string): TransportScope {
    let found: Found | null = null;
    return {
      open: () => {
        // While one is open they cannot have expired.
        if (found === null || !found.open.held) found = this.#find(labels);
        found.opens.add();
        found.open.add(1);
        return found.counters;
      },
    };
  }

  #find(labels: string): Found {
    const open = this.open.get(labels);
    const reads = this.reads.get(labels, open);
    const writes = this.writes.get(labels, open);
    // One object for all connections of a scope: the counters do not tell them apart.
    const counters = new ScopeCounters(this.closes, labels, { open, reads, writes });
    return { opens: this.opens.get(labels, open), open, counters };
  }
}

class ScopeCounters implements TransportCounters {
  readonly #closes: CounterFamily;
  readonly #labels: string;
  readonly #series: { readonly open: Gauge; readonly reads: Counter; readonly writes: Counter };

  constructor(closes: CounterFamily, labels: string, series: { readonly open: Gauge; readonly reads: Counter; readonly writes: Counter }) {
    this.#closes = closes;
    this.#labels = labels;
    this.#series = series;
  }

  read(bytes: number): void {
    this.#series.reads.add(bytes);
  }

  wrote(bytes: number): void {
    this.#series.writes.add(bytes);
  }

  closed(errno: string): void {
    const { open } = this.#series;
    this.#closes.get(joinLabels(this.#labels, formatLabels([["errno", errno]])), open).add();
    open.add(-1);
  }
}
