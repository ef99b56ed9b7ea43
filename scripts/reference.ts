// docs/reference/cli.md, made of the command tree. Run by `npm run generate`; a test holds the page fresh.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Command, Option } from "commander";
import { CliCommand } from "../cli/command.ts";
import { childrenOf, flagParts, isRunnable, ownFlags, usageWords } from "../cli/help.ts";
import { pathOf } from "../cli/line.ts";
import { buildProgram } from "../cli/program.ts";

export const referencePath = join(import.meta.dir, "..", "docs", "reference", "cli.md");

/** The page. The same for every environment. */
export function cliReference(): string {
  const program = buildProgram({ env: {}, stdout: () => {}, stderr: () => {}, stdin: async () => "", isTty: false });
  const commands = program.commands.filter((command) => command.name() !== "help").flatMap(withDescendants);
  return [
    "# Command line",
    "<!-- Made by `npm run generate` from the command tree: edit `cli/`, not this page. -->",
    "`fairlead COMMAND [flags]`. Flags stand anywhere on the line. Exit status 0 is success, 1 anything else; mistakes are told on standard\nerror. `fairlead help COMMAND` prints what stands here.",
    commands
      .map(
        (command) => `- [\`${pathOf(command).join(" ")}\`](#${anchor(command)}): ${sentence(command.summary() || command.description())}`,
      )
      .join("\n"),
    "## Global flags",
    flagTable(ownFlags(program)),
    ...commands.map(section),
  ]
    .join("\n\n")
    .concat("\n");
}

function withDescendants(command: Command): Command[] {
  return [command, ...childrenOf(command).flatMap(withDescendants)];
}

function section(command: Command): string {
  const path = pathOf(command).join(" ");
  const parts = [`## ${path}`, prose(command.description())];
  if (isRunnable(command)) parts.push(`\`\`\`\n${path} ${usageWords(command)}\n\`\`\``);
  if (command.aliases().length > 0)
    parts.push(
      `Also: ${command
        .aliases()
        .map((alias) => `\`${alias}\``)
        .join(", ")}.`,
    );
  const children = childrenOf(command);
  if (children.length > 0) parts.push(`Below it: ${children.map((child) => `[\`${child.name()}\`](#${anchor(child)})`).join(", ")}.`);
  const examples = command instanceof CliCommand ? command.examples : [];
  if (examples.length > 0) parts.push(`\`\`\`sh\n${examples.join("\n")}\n\`\`\``);
  const flags = ownFlags(command).filter(({ long }) => long !== "--help");
  if (flags.length > 0 && isRunnable(command)) parts.push(flagTable(flags));
  return parts.join("\n\n");
}

function flagTable(flags: readonly Option[]): string {
  const rows = flags.map((flag) => {
    const { type, defaultText } = flagParts(flag);
    const name = `${flag.short ? `\`${flag.short}\`, ` : ""}\`${flag.long}\``;
    return `| ${name} | ${type} | ${defaultText === "" ? "" : `\`${defaultText}\``} | ${cell(flag.description)} |`;
  });
  return ["| flag | type | default | |", "|---|---|---|---|", ...rows].join("\n");
}

/** As GitHub makes anchors of headings. */
function anchor(command: Command): string {
  return pathOf(command).join("-").toLowerCase();
}

function sentence(text: string): string {
  return prose(text).replace(/\.?$/, ".");
}

/** Text of help, for Markdown. */
function prose(text: string): string {
  return text.replace(/[<>]/g, (char) => (char === "<" ? "&lt;" : "&gt;"));
}

function cell(text: string): string {
  return prose(text).replaceAll("|", "\\|").replaceAll("\n", " ").trim();
}

export function writeReference(): void {
  writeFileSync(referencePath, cliReference());
}
