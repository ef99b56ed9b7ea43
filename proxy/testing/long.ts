// Tests that take too long for `npm test`: `npm run faults -- tests` runs them as well.
import { test } from "bun:test";
import { canRunPods } from "./processes.ts";

export const isLong: boolean = process.env["FAIRLEAD_FAULTS"] === "long";

/** A test of the long run; elsewhere it does not exist. */
export function runLong(name: string, body: () => void | Promise<unknown>, timeoutMs: number): void {
  if (isLong && canRunPods) test(name, body, timeoutMs);
}
