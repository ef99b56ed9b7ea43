// What the client programs of the interop cases share: assertions, values of gRPC's case descriptions, and how they tell results.

/** @throws {Error} when the two differ. */
export function equal(what: string, actual: unknown, expected: unknown): void {
  const [have, want] = [actual, expected].map((value) => JSON.stringify(value, (_, v) => (typeof v === "bigint" ? Number(v) : v)));
  if (have !== want) throw new Error(`${what}: ${have}, expected ${want}`);
}

export function ok(what: string, holds: boolean): void {
  if (!holds) throw new Error(what);
}

export const Code = { OK: 0, CANCELLED: 1, UNKNOWN: 2, INVALID_ARGUMENT: 3, DEADLINE_EXCEEDED: 4, UNIMPLEMENTED: 12 } as const;

/** Sizes and texts of gRPC's "Interoperability Test Case Descriptions". */
export const LARGE_REQUEST_BYTES = 271_828;
export const LARGE_RESPONSE_BYTES = 314_159;
export const REQUEST_SIZES = [27_182, 8, 1828, 45_904] as const;
export const RESPONSE_SIZES = [31_415, 9, 2653, 58_979] as const;
export const STATUS_MESSAGE = "test status message";
export const SPECIAL_STATUS_MESSAGE = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n";
export const INITIAL_KEY = "x-grpc-test-echo-initial";
export const INITIAL_VALUE = "test_initial_metadata_value";
export const TRAILING_KEY = "x-grpc-test-echo-trailing-bin";
export const TRAILING_VALUE: readonly number[] = [0xab, 0xab, 0xab];

const UNITS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };

/** The field grpc-timeout in milliseconds. @throws {Error} when it is none. */
export function timeoutMs(field: string): number {
  const match = /^(\d{1,8})([HMSmun])$/.exec(field);
  if (match === null) throw new Error(`grpc-timeout: "${field}"`);
  return Number(match[1]) * (UNITS[match[2] as string] as number);
}

/** A client program's settings, by the flags of every interop client. */
export type Flags = { readonly host: string; readonly port: number; readonly cases: readonly string[] };

export function flags(argv: readonly string[]): Flags {
  const value = (name: string): string => {
    const text = argv.find((arg) => arg.startsWith(`--${name}=`));
    if (text === undefined) throw new Error(`--${name}= is missing`);
    return text.slice(name.length + 3);
  };
  return { host: value("server_host"), port: Number(value("server_port")), cases: value("test_case").split(",") };
}

/** A case's bound. */
const CASE_MS = 60_000;

/** Runs cases one after the other; a line of JSON tells of each: `{"case": …, "error": … | null}`. */
export async function runCases(names: readonly string[], cases: Readonly<Record<string, () => Promise<void>>>): Promise<void> {
  for (const name of names) {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`not done after ${CASE_MS / 1000} s`)), CASE_MS);
    });
    let error: string | null = null;
    try {
      const run = cases[name];
      if (run === undefined) throw new Error("this client has no such case");
      await Promise.race([run(), late]);
    } catch (reason) {
      error = reason instanceof Error ? reason.message || String(reason) : String(reason);
    }
    clearTimeout(timer);
    console.log(JSON.stringify({ case: name, error }));
  }
}
