// The command tree: global flags, help in the layout of the reference, errors with the usage they belong to (spec cli §1).
import { Command, CommanderError, Help, Option } from "commander";
import { authzCommand } from "./commands/authz.ts";
import { checkCommand } from "./commands/check.ts";
import { completionCommand } from "./commands/completion.ts";
import { diagnosticsCommand } from "./commands/diagnostics.ts";
import { identityCommand } from "./commands/identity.ts";
import { injectCommand, uninjectCommand } from "./commands/inject.ts";
import { installCommand } from "./commands/install.ts";
import { localCommand } from "./commands/local.ts";
import { uninstallCommand } from "./commands/uninstall.ts";
import { versionCommand } from "./commands/version.ts";
import { CliError, type Io, UsageError } from "./io.ts";

export const PROGRAM = "fairlead";

/** Runs one command line. Resolves to the exit status: 0, or 1 for any failure. Never rejects. */
export async function run(args: readonly string[], io: Io): Promise<number> {
  const extension = await runExtension(args, io);
  if (extension !== undefined) return extension;
  const program = buildProgram(io);
  try {
    await program.parseAsync(args as string[], { from: "user" });
    return 0;
  } catch (error) {
    return report(error, program, args, io);
  }
}

export function buildProgram(io: Io): Command {
  const program = new Command(PROGRAM)
    .description("fairlead manages the Fairlead service mesh.")
    .addOption(new Option("-L, --linkerd-namespace <string>", "Namespace in which Linkerd is installed").default("linkerd"))
    .addOption(new Option("--cni-namespace <string>", "Namespace in which the Linkerd CNI plugin is installed").default("linkerd-cni"))
    .option("--kubeconfig <string>", "Path to the kubeconfig file to use for CLI requests")
    .option("--context <string>", "Name of the kubeconfig context to use")
    .option("--as <string>", "Username to impersonate for Kubernetes operations")
    .addOption(new Option("--as-group <stringArray>", "Group to impersonate for Kubernetes operations").argParser(collect).default([]))
    .option("--api-addr <string>", "Override kubeconfig and communicate directly with the control plane at host:port (mostly for testing)")
    .option("--verbose", "Turn on debug logging", false);
  for (const command of [
    authzCommand(io),
    checkCommand(io),
    completionCommand(io),
    diagnosticsCommand(io),
    identityCommand(io),
    injectCommand(io),
    installCommand(io),
    localCommand(),
    uninjectCommand(io),
    uninstallCommand(io),
    versionCommand(io),
  ])
    program.addCommand(command);
  const visit = (command: Command): void => {
    command
      .exitOverride()
      .configureOutput({ writeOut: io.stdout, writeErr: () => {} })
      .configureHelp({ formatHelp: (shown, helper) => formatHelp(shown, helper) })
      .helpOption("-h, --help", `help for ${command.name()}`)
      .helpCommand(command === program)
      .showSuggestionAfterError(false);
    command.commands.forEach(visit);
  };
  visit(program);
  program.action(() => program.outputHelp());
  program.allowExcessArguments(false);
  return program;
}

function collect(value: string, previous: string[]): string[] {
  return [...previous, value];
}

/** A first word that is no command may be an extension's binary on PATH, which takes the rest of the line. */
async function runExtension(args: readonly string[], io: Io): Promise<number | undefined> {
  const [word] = args;
  if (word === undefined || word.startsWith("-") || !/^[a-z0-9-]+$/.test(word)) return undefined;
  const known = buildProgram(io).commands.some((command) => command.name() === word || command.aliases().includes(word));
  if (known || word === "help" || word.startsWith("__")) return undefined;
  const binary = [`fairlead-${word}`, `linkerd-${word}`].map((name) => Bun.which(name, { PATH: io.env["PATH"] ?? "" })).find((path) => path !== null);
  if (!binary) return undefined;
  const status = await Bun.spawn([binary, ...args.slice(1)], { stdio: ["inherit", "inherit", "inherit"], env: io.env as Record<string, string> }).exited;
  if (status !== 0) io.stderr(`exit status ${status}\n`);
  return status === 0 ? 0 : 1;
}

/** Says what went wrong on standard error; usage follows only a mistake in the command line. */
function report(error: unknown, program: Command, args: readonly string[], io: Io): number {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return 0;
    const command = commandOf(program, args);
    io.stderr(`Error: ${cobraMessage(error, command, program, args)}\n`);
    const unknown = unknownCommand(error, command, args);
    if (unknown === undefined) io.stderr(`${usageOf(command)}\n`);
    else io.stderr(`Run '${path(command)} --help' for usage.\n`);
    return 1;
  }
  if (error instanceof UsageError) {
    io.stderr(`Error: ${error.message}\n${usageOf(commandOf(program, args))}\n`);
    return 1;
  }
  if (error instanceof CliError) {
    if (error.message !== "") io.stderr(`${error.message}\n`);
    return 1;
  }
  io.stderr(`${error instanceof Error ? error.message : String(error)}\n`);
  if (io.env["FAIRLEAD_DEBUG"] && error instanceof Error) io.stderr(`${error.stack}\n`);
  return 1;
}

/** The command that the words of the line lead to. */
function commandOf(program: Command, args: readonly string[]): Command {
  let command = program;
  for (const arg of args) {
    const next = command.commands.find((child) => child.name() === arg || child.aliases().includes(arg));
    if (next) command = next;
  }
  return command;
}

function unknownCommand(error: CommanderError, command: Command, args: readonly string[]): string | undefined {
  if (command.commands.length === 0) return undefined;
  if (error.code !== "commander.unknownCommand" && error.code !== "commander.excessArguments") return undefined;
  const at = command.parent ? args.indexOf(command.name()) + 1 : 0;
  return args.slice(at).find((arg) => !arg.startsWith("-"));
}

/** The reference's words for a mistake in the command line. */
function cobraMessage(error: CommanderError, command: Command, program: Command, args: readonly string[]): string {
  const unknown = unknownCommand(error, command, args);
  if (unknown !== undefined) {
    const near = command.commands.map((child) => child.name()).filter((name) => distance(name, unknown) <= 2 || name.startsWith(unknown));
    const hint = near.length > 0 ? `\n\nDid you mean this?\n${near.map((name) => `\t${name}\n`).join("")}` : "";
    return `unknown command "${unknown}" for "${path(command)}"${hint}`;
  }
  const quoted = /'([^']+)'/.exec(error.message)?.[1] ?? "";
  switch (error.code) {
    case "commander.unknownOption":
      return quoted.startsWith("--") ? `unknown flag: ${quoted}` : `unknown shorthand flag: '${quoted.slice(1, 2)}' in ${quoted}`;
    case "commander.optionMissingArgument":
      return `flag needs an argument: ${quoted.split(/[ ,]/).find((word) => word.startsWith("--")) ?? quoted}`;
    case "commander.missingArgument": {
      const given = args.filter((arg) => !arg.startsWith("-")).length - path(command).split(" ").length + 1;
      return `requires at least 1 arg(s), only received ${Math.max(0, given)}`;
    }
    case "commander.excessArguments":
      return `unknown command "${args.filter((arg) => !arg.startsWith("-")).at(-1)}" for "${path(command)}"`;
    default:
      return error.message.replace(/^error: /, "");
  }
}

/** Levenshtein distance of short words. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) next[j] = Math.min((row[j] as number) + 1, (next[j - 1] as number) + 1, (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1));
    row = next;
  }
  return row[b.length] as number;
}

function path(command: Command): string {
  return command.parent ? `${path(command.parent)} ${command.name()}` : command.name();
}

function formatHelp(command: Command, helper: Help): string {
  const description = command.description();
  return `${description ? `${description}\n\n` : ""}${usageOf(command, helper)}\n`;
}

/** From `Usage:` on, in the reference's order (spec cli §1.7). */
function usageOf(command: Command, helper: Help = new Help()): string {
  const sections: string[] = [];
  const name = path(command);
  const runs = command.commands.length > 0 ? [`  ${name} [command]`] : [`  ${name} ${command.usage() || "[flags]"}`.replace("[options]", "[flags]")];
  sections.push(`Usage:\n${runs.join("\n")}`);
  if (command.aliases().length > 0) sections.push(`Aliases:\n  ${[command.name(), ...command.aliases()].join(", ")}`);
  const children = helper.visibleCommands(command).map((child) => [child.name(), child.description()] as const);
  if (children.length > 0) {
    const width = Math.max(11, ...children.map(([child]) => child.length));
    const rows = [...children].sort(([a], [b]) => (a < b ? -1 : 1)).map(([child, text]) => `  ${child.padEnd(width)} ${text}`.trimEnd());
    sections.push(`Available Commands:\n${rows.join("\n")}`);
  }
  const own = helper.visibleOptions(command);
  if (own.length > 0) sections.push(`Flags:\n${flagLines(own)}`);
  const inherited: Option[] = [];
  for (let parent = command.parent; parent; parent = parent.parent) inherited.push(...parent.options.filter((option) => !option.hidden));
  if (inherited.length > 0) sections.push(`Global Flags:\n${flagLines(inherited)}`);
  if (children.length > 0) sections.push(`Use "${name} [command] --help" for more information about a command.`);
  return sections.join("\n\n");
}

function flagLines(options: readonly Option[]): string {
  const rows = [...options]
    .sort((a, b) => ((a.long ?? "") < (b.long ?? "") ? -1 : 1))
    .map((option) => {
      const type = /<(.+)>/.exec(option.flags)?.[1];
      const left = `${option.short ? `  ${option.short}, ` : "      "}${option.long}${type ? ` ${type}` : ""}`;
      const value: unknown = option.defaultValue;
      const shown = value === undefined || value === "" || value === false || (Array.isArray(value) && value.length === 0) ? "" : ` (default ${type === "duration" ? value : JSON.stringify(value)})`;
      return [left, `${option.description}${shown}`] as const;
    });
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, text]) => `${left.padEnd(width)}   ${text}`).join("\n");
}

