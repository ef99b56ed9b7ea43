// What client programs of suites share: assertions, flags, and how they tell of their cases.

/** @throws {Error} when the two differ. */
export function equal(what: string, actual: unknown, expected: unknown): void {
  const [have, want] = [actual, expected].map((value) => JSON.stringify(value, (_, v) => (typeof v === "bigint" ? Number(v) : v)));
  if (have !== want) throw new Error(`${what}: ${have}, expected ${want}`);
}

export function ok(what: string, holds: boolean): void {
  if (!holds) throw new Error(what);
}

/** A client program's settings, by the flags that gRPC's interop clients have. */
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
const CASE_MS = 45_000;

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
