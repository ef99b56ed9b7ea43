// File descriptors, when there are few (RLIMIT_NOFILE). At the very limit the runtime would spin on a listener whose connections
// it cannot accept, so some are kept: connections beyond are closed at once. A new descriptor is the lowest that is free, so its
// number says how many are in use.
import { readFileSync } from "node:fs";

export type DescriptorLimits = {
  /** Connections with this descriptor or a higher one are not accepted. */
  readonly accept: number;
  /** The same for connections this proxy makes, and for the admin port: those that are accepted need some. */
  readonly dial: number;
};

/** Of a limit of many thousands this much is kept at most. */
const MAX_RESERVE = 1024;

/** @param maxFiles soft limit; Infinity: none */
export function descriptorLimits(maxFiles: number): DescriptorLimits {
  if (!Number.isFinite(maxFiles)) return { accept: maxFiles, dial: maxFiles };
  const reserve = Math.min(MAX_RESERVE, Math.floor(maxFiles / 4));
  return { accept: maxFiles - reserve, dial: maxFiles - Math.floor(reserve / 2) };
}

/** The soft limit of this process; Infinity where the kernel does not say. */
export function maxOpenFiles(): number {
  try {
    const limit = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "latin1"))?.[1];
    return limit === undefined ? Number.POSITIVE_INFINITY : Number(limit);
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
