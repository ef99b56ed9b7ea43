// Stacks of the data plane: made, dropped, ready or not (spec proxy §9.8). A poll here is a change of readiness, not a look at
// it: a stack that is always ready costs nothing.
import { CounterFamily, formatLabels, joinLabels, type Registry } from "#metrics";
import type { Readiness, StackName, StackProtocol, StackScope } from "../telemetry.ts";

const READY_LABELS: Readonly<Record<Readiness, string>> = { ready: 'ready="true"', pending: 'ready="false"', error: 'ready="error"' };

export class StackFamilies {
  readonly created = new CounterFamily({ name: "stack_create_total", help: "Total number of services created" });
  readonly dropped = new CounterFamily({ name: "stack_drop_total", help: "Total number of services dropped" });
  readonly polls = new CounterFamily({ name: "stack_poll_total", help: "Total number of stack polls" });
  readonly pollMs = new CounterFamily({
    name: "stack_poll_total_ms",
    help: "Total number of milliseconds this service has spent awaiting readiness",
  });
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  group(registry: Registry): void {
    registry.group(this.created, this.dropped, this.polls, this.pollMs);
  }

  scope(direction: "inbound" | "outbound", protocol: StackProtocol, name: StackName): StackScope {
    const labels = formatLabels([
      ["direction", direction],
      ["protocol", protocol],
      ["name", name],
    ]);
    this.created.get(labels).add();
    let pendingSince = -1;
    let dropped = false;
    return {
      poll: (readiness) => {
        const now = this.#now();
        this.polls.get(joinLabels(labels, READY_LABELS[readiness])).add();
        if (pendingSince >= 0) this.pollMs.get(labels).add(Math.floor(now - pendingSince));
        pendingSince = readiness === "pending" ? now : -1;
      },
      drop: () => {
        if (dropped) return;
        dropped = true;
        this.dropped.get(labels).add();
      },
    };
  }
}
