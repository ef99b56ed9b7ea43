// What a command may do to the outside: its streams, its environment, its inputs. Handed in, so that tests own them.
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

/** Resolves when what was written has left this process, or can no longer. */
export function flushed(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    stream.once("error", () => resolve());
    stream.write("", () => resolve());
  });
}

/** Decided once from standard output; it also governs standard error (spec cli §1.6). */
export function wantsColour(io: Io): boolean {
  return io.isTty && io.env["NO_COLOR"] === undefined && io.env["TERM"] !== "dumb";
}

/** Status marks, coloured where colour is wanted. */
export type Glyphs = { readonly success: string; readonly warning: string; readonly error: string };

export function glyphs(io: Io): Glyphs {
  const paint = (glyph: string, code: number) => (wantsColour(io) ? `\x1b[${code};1m${glyph}\x1b[0m` : glyph);
  return { success: paint("√", 32), warning: paint("‼", 33), error: paint("×", 31) };
}

/** One input of `inject` and `uninject`: the name it has in messages, and its text. */
export type Input = { readonly name: string; readonly text: string };

/** Most folders below one another that are read. */
export const maxFolderDepth = 64;

/** Reads `-`, a URL, a file, or a folder with every regular file below it in lexical order. @throws {CliError} naming the source */
export async function readInputs(source: string, io: Io): Promise<Input[]> {
  if (source === "-") return [{ name: "standard input", text: await io.stdin() }];
  try {
    if (/^https?:\/\/[^/]/.test(source)) return [{ name: source, text: await readUrl(source) }];
    if (!existsSync(source)) throw new CliError(`the path ${JSON.stringify(source)} does not exist`);
    return filesBelow(source).map((name) => ({ name, text: readFileSync(name, "utf8") }));
  } catch (error) {
    if (error instanceof CliError) throw error;
    throw new CliError(`unable to read ${JSON.stringify(source)}: ${(error as Error).message}`);
  }
}

/** The body of a GET. @throws {Error} unless the answer is 200 */
export async function readUrl(url: string): Promise<string> {
  const response = await fetch(url);
  if (response.status !== 200) throw new Error(`server reported ${response.status} ${response.statusText}`.trimEnd());
  return response.text();
}

/** Links are followed to files, not to folders: no loops. */
function filesBelow(path: string, depth = 0): string[] {
  if (!statSync(path).isDirectory()) return [path];
  if (depth >= maxFolderDepth) throw new CliError(`${path}: more than ${maxFolderDepth} folders below one another`);
  return readdirSync(path, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const below = join(path, entry.name);
      if (entry.isDirectory()) return filesBelow(below, depth + 1);
      return statSync(below, { throwIfNoEntry: false })?.isFile() ? [below] : [];
    });
}

/** A failure that is told on standard error, without usage; exit status 1. Empty: everything is said already. */
export class CliError extends Error {
  override readonly name = "CliError";
}

/** A mistake in the command line: `Error: …` and the usage of the command; exit status 1. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}
