// What a fuzz target is, and the words its assertions are written in.

export type Target = {
  /** Kebab-case; names the corpus and the findings. */
  readonly name: string;
  /** What is fed and what must hold, one line. */
  readonly what: string;
  /** Longest input tried, bytes. */
  readonly maxBytes: number;
  /** Inputs to begin with: valid ones, and those that once were trouble elsewhere. One char is one byte. */
  readonly seeds: readonly (string | Uint8Array)[];
  /** Words of the format, which mutation alone would not find. */
  readonly dictionary: readonly string[];
  /**
   * Throws when a property does not hold; what the code under test throws is a finding too. Keeps nothing between calls.
   * A promise only where the code under test gives one: such targets are slower.
   */
  run(input: Uint8Array): void | Promise<void>;
};

/** A property of a target that did not hold. */
export class Finding extends Error {
  override readonly name = "Finding";
}

/** Ends the run with a finding unless the condition holds. `message` is made only then. */
export function check(condition: boolean, message: string | (() => string)): asserts condition {
  if (!condition) throw new Finding(typeof message === "string" ? message : message());
}

/** Two plain values must be the same, compared as JSON. */
export function same(actual: unknown, expected: unknown, what: string): void {
  if (Object.is(actual, expected)) return;
  const a = show(actual);
  const b = show(expected);
  check(a === b, () => `${what}\n  is       ${a.slice(0, 2000)}\n  expected ${b.slice(0, 2000)}`);
}

function show(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) => {
    if (part === undefined) return "undefined";
    if (typeof part === "bigint") return `${part}n`;
    if (part instanceof Uint8Array) return latin1(part);
    if (part instanceof Map) return [...part];
    if (part instanceof Set) return [...part];
    // Objects are equal whatever the order of their keys.
    if (typeof part === "object" && part !== null && !Array.isArray(part))
      return Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)));
    return part;
  });
}

/** The function must throw an error of one of these classes or nothing. Returns null when it threw. */
export function attempt<T>(f: () => T, ...allowed: readonly (abstract new (...args: never[]) => Error)[]): T | null {
  try {
    return f();
  } catch (error) {
    if (allowed.some((type) => error instanceof type)) return null;
    throw error;
  }
}

/** One char per byte. */
export function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
}

/** One byte per char, the low eight bits. */
export function bytesOf(text: string): Uint8Array {
  const buffer = Buffer.from(text, "latin1");
  // Of its own: small buffers share a pool.
  return new Uint8Array(buffer);
}

export function utf8(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("utf8");
}
