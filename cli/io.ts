// What a command may do to the outside: its streams, its environment, its files. Handed in, so that tests own them.
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

export type Env = Record<string, string | undefined>;

export interface Io {
  readonly env: Env;
  stdout(text: string): void;
  stderr(text: string): void;
  /** All of standard input. */
  stdin(): Promise<string>;
  /** Standard output is a terminal: spinner and colour are welcome. */
  readonly isTty: boolean;
}

/** The streams of this process. */
export function processIo(env: Env): Io {
  return {
    env,
    stdout: (text) => void process.stdout.write(text),
    stderr: (text) => void process.stderr.write(text),
    stdin: () => Bun.stdin.text(),
    isTty: process.stdout.isTTY === true,
  };
}

/** Decided once from standard output; it also governs standard error (spec cli §1.6). */
export function wantsColour(io: Io): boolean {
  return io.isTty && io.env["NO_COLOR"] === undefined && io.env["TERM"] !== "dumb";
}

/** Reads the inputs of `inject` and `uninject`: `-`, a URL, a file, or a folder with everything below it in lexical order. */
export async function readInputs(source: string, io: Io): Promise<string[]> {
  if (source === "-") return [await io.stdin()];
  if (/^https?:\/\/[^/]/.test(source)) {
    const response = await fetch(source).catch((error: Error) => {
      throw new CliError(`unable to read URL "${source}": ${error.message}`);
    });
    if (!response.ok) throw new CliError(`unable to read URL "${source}", server reported ${response.status} ${response.statusText}`);
    return [await response.text()];
  }
  if (!existsSync(source)) throw new CliError(`the path "${source}" does not exist`);
  return filesBelow(source).map((file) => readFileSync(file, "utf8"));
}

function filesBelow(path: string): string[] {
  if (!statSync(path).isDirectory()) return [path];
  return readdirSync(path)
    .sort()
    .flatMap((name) => filesBelow(join(path, name)));
}

/** A failure that is told in one line on standard error, without usage; exit status 1. */
export class CliError extends Error {
  override readonly name = "CliError";
}

/** A mistake in the command line: `Error: …` and the usage of the command; exit status 1. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}
