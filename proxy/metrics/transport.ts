// Connections: how many, and their bytes (spec proxy §9.6).
import { type Counter, CounterFamily, formatLabels, type Gauge, GaugeFamily, joinLabels, type Registry } from "#metrics";
import type { TransportScope } from "../telemetry.ts";
import type { TransportCounters } from "../transport/index.ts";

type Found = { readonly opens: Counter; readonly open: Gauge; readonly counters: TransportCounters };

/** Open connections and their bytes. */
export class TransportFamilies {
  readonly opens: CounterFamily;
  readonly open: GaugeFamily;
  readonly reads: CounterFamily;
  readonly writes: CounterFamily;
  readonly closes: CounterFamily;

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
    const counters: TransportCounters = {
      read: (bytes) => reads.add(bytes),
      wrote: (bytes) => writes.add(bytes),
      closed: (errno) => {
        this.closes.get(joinLabels(labels, formatLabels([["errno", errno]])), open).add();
        open.add(-1);
      },
    };
    return { opens: this.opens.get(labels, open), open, counters };
  }
}
