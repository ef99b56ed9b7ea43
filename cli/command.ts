// How commands are written: a table entry with its flags and the number of its arguments, and what runs.
import { Command } from "commander";
import type { GlobalOptions } from "./context.ts";
import type { Flag } from "./flags.ts";
import { type Io, UsageError } from "./io.ts";
import { pathOf } from "./line.ts";

/** How many arguments a command takes. */
export type ArgumentCount = { readonly least: number; readonly most: number };

export const noArguments: ArgumentCount = { least: 0, most: 0 };
export const anyArguments: ArgumentCount = { least: 0, most: Number.POSITIVE_INFINITY };
export const exactly = (count: number): ArgumentCount => ({ least: count, most: count });
export const between = (least: number, most: number): ArgumentCount => ({ least, most });
export const atLeast = (least: number): ArgumentCount => ({ least, most: Number.POSITIVE_INFINITY });

export type CommandDefinition<Flags> = {
  readonly name: string;
  readonly aliases?: readonly string[];
  /** One line, for the parent's list. */
  readonly description: string;
  /** What help begins with; the description unless given. */
  readonly long?: string;
  /** After the command's name in the usage line; `[flags]` unless given. */
  readonly usage?: string;
  /** Lines of the Examples section, comments included. */
  readonly examples?: readonly string[];
  readonly arguments?: ArgumentCount;
  readonly flags?: readonly Flag[];
  readonly children?: readonly Command[];
  /** Absent: a parent, whose help is all it does. */
  readonly run?: (given: { args: readonly string[]; flags: GlobalOptions & Flags; io: Io }) => Promise<void> | void;
};

/** A command with what commander has no place for. */
export class CliCommand extends Command {
  readonly examples: readonly string[];
  /** False for a parent that only has commands below it. */
  readonly isRunnable: boolean;

  constructor(name: string, { examples, isRunnable }: { examples: readonly string[]; isRunnable: boolean }) {
    super(name);
    this.examples = examples;
    this.isRunnable = isRunnable;
  }
}

export function defineCommand<Flags>(io: Io, definition: CommandDefinition<Flags>): CliCommand {
  const { name, aliases = [], description, long = description, usage = "[flags]", examples = [], flags = [], children = [] } = definition;
  const { run } = definition;
  const command = new CliCommand(name, { examples, isRunnable: run !== undefined });
  command
    .aliases([...aliases])
    .summary(description)
    .description(long)
    .usage(usage)
    .argument("[args...]")
    .enablePositionalOptions();
  for (const flag of flags) command.addOption(flag);
  for (const child of children) command.addCommand(child);
  if (!run) return command;
  command.action(async (args: string[]) => {
    checkCount(command, args, definition.arguments ?? noArguments);
    warnOfDeprecated(command, flags, io);
    // Not optsWithGlobals: `install` and `install config` have flags of the same name.
    let root: Command = command;
    while (root.parent) root = root.parent;
    await run({ args, flags: { ...root.opts<GlobalOptions>(), ...command.opts<Flags & object>() } as GlobalOptions & Flags, io });
  });
  return command;
}

/** @throws {UsageError} in the reference's words (cobra 1.3.0 args.go) */
function checkCount(command: Command, args: readonly string[], { least, most }: ArgumentCount): void {
  const count = args.length;
  if (count >= least && count <= most) return;
  if (most === 0) throw new UsageError(`unknown command ${JSON.stringify(args[0])} for "${pathOf(command).join(" ")}"`);
  if (least === most) throw new UsageError(`accepts ${least} arg(s), received ${count}`);
  if (most === Number.POSITIVE_INFINITY) throw new UsageError(`requires at least ${least} arg(s), only received ${count}`);
  throw new UsageError(`accepts between ${least} and ${most} arg(s), received ${count}`);
}

function warnOfDeprecated(command: Command, flags: readonly Flag[], io: Io): void {
  for (const flag of flags)
    if (flag.deprecated !== undefined && command.getOptionValueSource(flag.attributeName()) === "cli")
      io.stderr(`Flag ${flag.long} has been deprecated, ${flag.deprecated}\n`);
}
