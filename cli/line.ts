// A command line read as the reference reads it (cobra on pflag): flags may stand anywhere, `--flag=false` turns a boolean off, `-nfoo` and `-n=foo` carry a value.
import type { Command, Option } from "commander";
import { parseGoBool } from "#inject";
import { UsageError } from "./io.ts";

/** What the words of a line mean. */
export type Line = {
  /** The command that the leading words name; the program itself when the first operand is no command. */
  readonly command: Command;
  /** Words that are neither commands nor flags nor their values. */
  readonly operands: readonly string[];
  /** In order; `value` is null for a boolean that is on. A boolean turned off is left out. */
  readonly flags: readonly { readonly option: Option; readonly value: string | null }[];
  readonly isHelp: boolean;
  /** A flag at the end of the line that still waits for its value. */
  readonly pending: Option | null;
  /** The first mistake. The other fields tell how far the line could be read. */
  readonly mistake: UsageError | null;
};

export function readLine(program: Command, words: readonly string[]): Line {
  let command = program;
  const operands: string[] = [];
  const seen: { written: string; value: string | null; isOff: boolean }[] = [];
  let pending: Option | null = null;
  let mistake: UsageError | null = null;
  let isHelp = false;
  const fail = (message: string) => {
    mistake ??= new UsageError(message);
  };

  // A flag may stand before the command it belongs to: any command below tells whether it takes a value; whose it is turns out at the end.
  const lookUp = (name: string): Option | undefined => flagOf(command, name) ?? flagBelow(command, name);

  let at = 0;
  const takeValue = (option: Option, written: string, attached: string | undefined): void => {
    const value = attached ?? words[at];
    if (attached === undefined) at++;
    if (value === undefined) pending = option;
    else seen.push({ written, value, isOff: false });
  };
  const takeBoolean = (written: string, attached: string | undefined): void => {
    const on = attached === undefined ? true : parseGoBool(attached);
    if (on === undefined)
      fail(
        `invalid argument ${JSON.stringify(attached)} for "${written}" flag: strconv.ParseBool: parsing ${JSON.stringify(attached)}: invalid syntax`,
      );
    seen.push({ written, value: null, isOff: on === false });
  };

  while (at < words.length) {
    const word = words[at++] as string;
    if (word === "--") {
      operands.push(...words.slice(at));
      break;
    }
    if (word === "-" || !word.startsWith("-")) {
      const child = operands.length === 0 ? childOf(command, word) : undefined;
      if (child) command = child;
      else operands.push(word);
    } else if (word.startsWith("--")) {
      const [name, attached] = splitOnce(word);
      const option = lookUp(name);
      if (word === "--help") isHelp = true;
      else if (!option) fail(`unknown flag: ${name}`);
      else if (option.required) takeValue(option, name, attached);
      else takeBoolean(name, attached);
    } else {
      // One dash: booleans may stand together, the last letter may take the rest as its value.
      let rest = word.slice(1);
      while (rest !== "") {
        const name = `-${rest[0]}`;
        const option = lookUp(name);
        if (!option && name === "-h") {
          isHelp = true;
          rest = rest.slice(1);
          continue;
        }
        if (!option) {
          fail(`unknown shorthand flag: '${rest[0]}' in -${rest}`);
          break;
        }
        if (option.required) {
          takeValue(option, name, rest.length === 1 ? undefined : rest.slice(rest[1] === "=" ? 2 : 1));
          break;
        }
        const attached = rest[1] === "=" ? rest.slice(2) : undefined;
        takeBoolean(name, attached);
        rest = attached === undefined ? rest.slice(1) : "";
      }
    }
  }

  const flags: { option: Option; value: string | null }[] = [];
  for (const { written, value, isOff } of seen) {
    // A flag that stood before the command's name is that command's, or it is a mistake.
    const option = flagOf(command, written);
    if (!option) fail(written.startsWith("--") ? `unknown flag: ${written}` : `unknown shorthand flag: '${written[1]}' in ${written}`);
    else if (!isOff) flags.push({ option, value });
  }
  return { command, operands, flags, isHelp, pending, mistake };
}

/** The same line for commander, without a choice of readings: global flags, commands, flags, `--`, operands. */
export function canonicalWords(program: Command, { command, flags, operands }: Line): string[] {
  const written = (isGlobal: boolean) =>
    flags
      .filter(({ option }) => program.options.includes(option) === isGlobal)
      .map(({ option, value }) => (value === null ? (option.long as string) : `${option.long}=${value}`));
  return [...written(true), ...pathOf(command).slice(1), ...written(false), ...(operands.length > 0 ? ["--", ...operands] : [])];
}

/** Names from the program down to a command. */
export function pathOf(command: Command): string[] {
  return command.parent ? [...pathOf(command.parent), command.name()] : [command.name()];
}

export function childOf(command: Command, word: string): Command | undefined {
  return command.commands.find((child) => child.name() === word || child.aliases().includes(word));
}

/** A flag of the command itself, or a global one. */
export function flagOf(command: Command, name: string): Option | undefined {
  return [...command.options, ...rootOf(command).options].find((option) => option.long === name || option.short === name);
}

function flagBelow(command: Command, name: string): Option | undefined {
  for (const child of command.commands) {
    const found = flagOf(child, name) ?? flagBelow(child, name);
    if (found) return found;
  }
  return undefined;
}

function rootOf(command: Command): Command {
  return command.parent ? rootOf(command.parent) : command;
}

function splitOnce(word: string): [string, string | undefined] {
  const at = word.indexOf("=");
  return at < 0 ? [word, undefined] : [word.slice(0, at), word.slice(at + 1)];
}
