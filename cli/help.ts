// Help in the layout of the reference (spec cli §1.7).
import { type Command, Help, type Option } from "commander";
import { CliCommand } from "./command.ts";
import { Flag } from "./flags.ts";
import { pathOf } from "./line.ts";

/** Description, then everything from `Usage:` on. Ends with a newline. */
export function helpOf(command: Command): string {
  const description = command.description();
  return `${description ? `${description}\n\n` : ""}${usageOf(command)}\n`;
}

/** From `Usage:` on, without a newline at the end. */
export function usageOf(command: Command): string {
  const path = pathOf(command).join(" ");
  const children = childrenOf(command);
  const runs = isRunnable(command) ? [`  ${path} ${usageWords(command)}`] : [];
  if (children.length > 0) runs.push(`  ${path} [command]`);
  const sections = [`Usage:\n${runs.join("\n")}`];
  if (command.aliases().length > 0) sections.push(`Aliases:\n  ${[command.name(), ...command.aliases()].join(", ")}`);
  const examples = command instanceof CliCommand ? command.examples : [];
  if (examples.length > 0) sections.push(`Examples:\n${examples.map((line) => (line === "" ? "" : `  ${line}`)).join("\n")}`);
  if (children.length > 0) {
    const width = Math.max(11, ...children.map((child) => child.name().length));
    const rows = children.map((child) => `  ${child.name().padEnd(width)} ${child.summary() || child.description()}`);
    sections.push(`Available Commands:\n${rows.join("\n")}`);
  }
  sections.push(`Flags:\n${flagLines(ownFlags(command))}`);
  const globals = globalFlags(command);
  if (globals.length > 0) sections.push(`Global Flags:\n${flagLines(globals)}`);
  if (children.length > 0) sections.push(`Use "${path} [command] --help" for more information about a command.`);
  return sections.join("\n\n");
}

/** The line after the command's name. */
export function usageWords(command: Command): string {
  return command.usage().replace("[options]", "[flags]").replace(" [command]", "");
}

/** Those that help lists, by name. */
export function childrenOf(command: Command): Command[] {
  return new Help().visibleCommands(command).sort((a, b) => compare(a.name(), b.name()));
}

/** Flags of the command, by name, `--help` among them. */
export function ownFlags(command: Command): Option[] {
  return sorted(new Help().visibleOptions(command));
}

/** Flags inherited from the program, by name. */
export function globalFlags(command: Command): Option[] {
  if (!command.parent) return [];
  let root = command.parent;
  while (root.parent) root = root.parent;
  return sorted(root.options.filter(({ hidden }) => !hidden));
}

/** The value in place of `<type>` and what help says a flag is without being given; "" for a zero value. */
export function flagParts(option: Option): { type: string; defaultText: string } {
  const type = /<(.+)>/.exec(option.flags)?.[1] ?? "";
  const value: unknown = option instanceof Flag ? option.shownDefault : (option.defaultValueDescription ?? option.defaultValue);
  const isZero = value === undefined || value === "" || value === false || (Array.isArray(value) && value.length === 0);
  if (isZero) return { type, defaultText: "" };
  return { type, defaultText: type === "string" ? JSON.stringify(value) : type === "strings" ? `[${value}]` : String(value) };
}

/** Does something by itself, besides having commands below it. */
export function isRunnable(command: Command): boolean {
  return command.commands.length === 0 || (command instanceof CliCommand && command.isRunnable);
}

function flagLines(options: readonly Option[]): string {
  const rows = options.map((option) => {
    const { type, defaultText } = flagParts(option);
    const left = `${option.short ? `  ${option.short}, ` : "      "}${option.long}${type ? ` ${type}` : ""}`;
    return [left, `${option.description}${defaultText === "" ? "" : ` (default ${defaultText})`}`] as const;
  });
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, text]) => `${left.padEnd(width)}   ${text}`).join("\n");
}

function sorted(options: readonly Option[]): Option[] {
  return [...options].sort((a, b) => compare(a.long ?? "", b.long ?? ""));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
