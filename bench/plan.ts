// How long and how often: the two modes.

export type Plan = {
  readonly mode: "quick" | "full";
  /** Of every cell of CPU and latency; at least 5 for figures to be quoted. */
  readonly repeats: number;
  readonly saturationSeconds: number;
  readonly rateSeconds: number;
  readonly bodySeconds: number;
  readonly latencySeconds: number;
  /** Of P3, P4 and P7. */
  readonly otherSeconds: number;
  readonly connectionSeconds: number;
  readonly idleConnections: number;
  readonly memoryRepeats: number;
  readonly burstRepeats: number;
  readonly burstSeconds: number;
  /** From the end of the burst until memory is read. */
  readonly afterBurstSeconds: number;
};

export const QUICK: Plan = {
  mode: "quick",
  repeats: 2,
  saturationSeconds: 2,
  rateSeconds: 2,
  bodySeconds: 1,
  latencySeconds: 2,
  otherSeconds: 1,
  connectionSeconds: 1,
  idleConnections: 400,
  memoryRepeats: 1,
  burstRepeats: 1,
  burstSeconds: 2,
  afterBurstSeconds: 15,
};

export const FULL: Plan = {
  mode: "full",
  repeats: 5,
  saturationSeconds: 5,
  rateSeconds: 7,
  bodySeconds: 4,
  latencySeconds: 7,
  otherSeconds: 3,
  connectionSeconds: 4,
  idleConnections: 1000,
  memoryRepeats: 5,
  burstRepeats: 5,
  burstSeconds: 4,
  afterBurstSeconds: 60,
};
