// The command tree and one run of it: from words to an exit status, with mistakes told as the reference tells them (spec cli §1).
import { type Command, CommanderError, type Option } from "commander";
import { KubeError } from "#kube";
import { anyArguments, defineCommand } from "./command.ts";
import { authzCommand } from "./commands/authz.ts";
import { checkCommand } from "./commands/check.ts";
import { complete, completionCommand } from "./commands/completion.ts";
import { diagnosticsCommand } from "./commands/diagnostics.ts";
import { identityCommand } from "./commands/identity.ts";
import { injectCommand, uninjectCommand } from "./commands/inject.ts";
import { installCommand } from "./commands/install.ts";
import { localCommand } from "./commands/local.ts";
import { uninstallCommand } from "./commands/uninstall.ts";
import { versionCommand } from "./commands/version.ts";
import { controlPlaneNamespace, type GlobalOptions } from "./context.ts";
import { findExtension, runExtension } from "./extensions.ts";
import { bool, string, stringArray } from "./flags.ts";
import { helpOf, isRunnable, usageOf } from "./help.ts";
import { CliError, type Io, UsageError } from "./io.ts";
import { canonicalWords, childOf, pathOf, readLine } from "./line.ts";

export const PROGRAM = "fairlead";

/** Runs one command line. Resolves to the exit status: 0, or 1 for any failure. Never rejects. */
export async function run(words: readonly string[], io: Io): Promise<number> {
  const program = buildProgram(io);
  const line = readLine(program, words);
  try {
    if (words[0] === "__complete" || words[0] === "__completeNoDesc") {
      await complete(program, words.slice(1), io, { withDescriptions: words[0] === "__complete" });
      return 0;
    }
    const [first] = line.operands;
    if (first !== undefined && !isRunnable(line.command)) {
      const binary = line.command === program ? findExtension(first, io) : undefined;
      if (!binary) throw new UnknownCommand(line.command, first);
      if (words[0] !== first) throw new CliError(`cannot accept flags before ${PROGRAM} extension name ${JSON.stringify(first)}`);
      return await runExtension(binary, words.slice(1), io);
    }
    if (line.mistake) throw line.mistake;
    if (line.pending) throw new UsageError(`flag needs an argument: ${needy(line.pending, words)}`);
    if (line.isHelp || !isRunnable(line.command)) io.stdout(helpOf(line.command));
    else await program.parseAsync(canonicalWords(program, line), { from: "user" });
    return 0;
  } catch (error) {
    return report(error, line.command, program.opts<GlobalOptions>().verbose, io);
  }
}

export function buildProgram(io: Io): Command {
  const program: Command = defineCommand(io, {
    name: PROGRAM,
    description: "fairlead manages the Fairlead service mesh.",
    flags: [
      string("-L, --linkerd-namespace", "Namespace in which Linkerd is installed", { default: "linkerd" }),
      string("--cni-namespace", "Namespace in which the Linkerd CNI plugin is installed", { default: "linkerd-cni" }),
      string("--kubeconfig", "Path to the kubeconfig file to use for CLI requests"),
      string("--context", "Name of the kubeconfig context to use"),
      string("--as", "Username to impersonate for Kubernetes operations"),
      stringArray("--as-group", "Group to impersonate for Kubernetes operations"),
      string("--api-addr", "Override kubeconfig and communicate directly with the control plane at host:port (mostly for testing)"),
      bool("--verbose", "Turn on debug logging"),
    ],
    children: [
      authzCommand(io),
      checkCommand(io),
      completionCommand(io),
      diagnosticsCommand(io),
      identityCommand(io),
      injectCommand(io),
      installCommand(io),
      localCommand(io),
      uninjectCommand(io),
      uninstallCommand(io),
      versionCommand(io),
      helpCommand(io, () => program),
    ],
  });
  program.hook("preAction", () => void controlPlaneNamespace(program.opts<GlobalOptions>(), io));
  const visit = (command: Command): void => {
    command
      .exitOverride()
      .configureOutput({ writeOut: io.stdout, writeErr: () => {} })
      .configureHelp({ formatHelp: helpOf })
      .helpOption("-h, --help", `help for ${command.name()}`)
      .helpCommand(false);
    command.commands.forEach(visit);
  };
  visit(program);
  return program;
}

function helpCommand(io: Io, program: () => Command): Command {
  return defineCommand(io, {
    name: "help",
    description: "Help about any command",
    usage: "[command]",
    arguments: anyArguments,
    run({ args }) {
      let command = program();
      for (const word of args) {
        const child = childOf(command, word);
        if (!child) throw new UnknownCommand(command, word);
        command = child;
      }
      io.stdout(helpOf(command));
    },
  });
}

/** A word where a command's name should stand. */
class UnknownCommand extends Error {
  readonly parent: Command;

  constructor(parent: Command, word: string) {
    const near = parent.commands.map((child) => child.name()).filter((name) => distance(name, word) <= 2 || name.startsWith(word));
    const hint = near.length > 0 ? `\n\nDid you mean this?\n${near.map((name) => `\t${name}\n`).join("")}` : "";
    super(`unknown command ${JSON.stringify(word)} for "${pathOf(parent).join(" ")}"${hint}`);
    this.parent = parent;
  }
}

/** Says what went wrong on standard error; usage follows only a mistake in the command line. */
function report(error: unknown, command: Command, isVerbose: boolean, io: Io): number {
  if (error instanceof UnknownCommand) {
    io.stderr(`Error: ${error.message}\nRun '${pathOf(error.parent).join(" ")} --help' for usage.\n`);
  } else if (error instanceof UsageError || error instanceof CommanderError) {
    io.stderr(`Error: ${error instanceof CommanderError ? flagMistake(error) : error.message}\n${usageOf(command)}\n`);
  } else if (error instanceof CliError || error instanceof KubeError) {
    if (error.message !== "") io.stderr(`${error.message}\n`);
  } else {
    io.stderr(`${error instanceof Error ? error.message : String(error)}\n`);
    if (isVerbose && error instanceof Error) io.stderr(`${error.stack}\n`);
  }
  return 1;
}

/** A value that its flag does not take, in the reference's words. */
function flagMistake(error: CommanderError): string {
  const found = /^error: option '([^']*)' argument '([\s\S]*)' is invalid\. ([\s\S]*)$/.exec(error.message);
  if (!found) return error.message.replace(/^error: /, "");
  const [, flags = "", value = "", why] = found;
  return `invalid argument ${JSON.stringify(value)} for "${flags.replace(/ <.*/, "")}" flag: ${why}`;
}

/** As the flag was written: `--context`, or `'n' in -n`. */
function needy(option: Option, words: readonly string[]): string {
  const last = words.at(-1) ?? "";
  return last.startsWith("--") ? `${option.long}` : `'${last.at(-1)}' in -${last.at(-1)}`;
}

/** Levenshtein distance. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next[j] = Math.min((row[j] as number) + 1, (next[j - 1] as number) + 1, replaced);
    }
    row = next;
  }
  return row[b.length] as number;
}
