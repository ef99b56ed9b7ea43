// `completion`: scripts for three shells, which ask the hidden `__complete` for candidates (spec cli §5).
import { existsSync, readFileSync } from "node:fs";
import type { Command, Option } from "commander";
import { parse } from "yaml";
import { Resources } from "#kube";
import { defineCommand, exactly } from "../command.ts";
import { type GlobalOptions, kubeClient, messageOf } from "../context.ts";
import { childrenOf, globalFlags, ownFlags } from "../help.ts";
import { type Io, UsageError } from "../io.ts";
import { type Line, pathOf, readLine } from "../line.ts";
import { resourceType } from "../resources.ts";
import { scripts, shells } from "./completion-scripts.ts";

export function completionCommand(io: Io): Command {
  return defineCommand(io, {
    name: "completion",
    description: "Output shell completion code for the specified shell (bash, zsh or fish)",
    usage: "[bash|zsh|fish]",
    examples: [
      "# bash: for this shell, or in a file that it reads at its start",
      "source <(fairlead completion bash)",
      "",
      "# zsh: a file named _fairlead in a folder of $fpath",
      'fairlead completion zsh > "\x24{fpath[1]}/_fairlead"',
      "",
      "# fish",
      "fairlead completion fish > ~/.config/fish/completions/fairlead.fish",
    ],
    arguments: exactly(1),
    run({ args: [shell] }) {
      const known = shells.find((name) => name === shell);
      if (!known) throw new UsageError(`unsupported shell type ${JSON.stringify(shell)}; must be one of: ${shells.join(", ")}`);
      io.stdout(scripts[known]);
    },
  });
}

/** Bits of the last line of an answer. */
const Directive = { DEFAULT: 0, ERROR: 1, NO_FILES: 4 } as const;
const LIST_TIMEOUT_MS = 5000;
/** As the reference offers them, in its order. */
const offeredTypes = [
  "namespace",
  "daemonset",
  "statefulset",
  "job",
  "deployment",
  "replicationcontroller",
  "pod",
  "service",
  "trafficsplit",
  "authority",
  "cronjob",
  "replicaset",
];

type Candidate = { readonly name: string; readonly description?: string };
type Candidates = { readonly candidates: readonly Candidate[]; readonly directive: number };

/** The answer to `__complete WORD… PREFIX`: candidates a line each, then `:` and the directive. */
export async function complete(
  program: Command,
  words: readonly string[],
  io: Io,
  { withDescriptions }: { withDescriptions: boolean },
): Promise<void> {
  const prefix = words.at(-1) ?? "";
  let answer: Candidates;
  try {
    answer = await candidatesFor(program, words.slice(0, -1), prefix, io);
  } catch (error) {
    io.stderr(`${messageOf(error)}\n`);
    answer = { candidates: [], directive: Directive.ERROR };
  }
  const lines = answer.candidates
    .filter(({ name }) => name.startsWith(prefix))
    .map(({ name, description }) => (withDescriptions && description ? `${name}\t${description}\n` : `${name}\n`));
  io.stdout(`${lines.join("")}:${answer.directive}\n`);
  io.stderr(`Completion ended with directive: ${directiveName(answer.directive)}\n`);
}

function directiveName(directive: number): string {
  if (directive === Directive.ERROR) return "ShellCompDirectiveError";
  return directive === Directive.NO_FILES ? "ShellCompDirectiveNoFileComp" : "ShellCompDirectiveDefault";
}

async function candidatesFor(program: Command, before: readonly string[], prefix: string, io: Io): Promise<Candidates> {
  const line = readLine(program, before);
  const settings = settingsOf(line);
  if (line.pending) return { candidates: await flagValues(line.pending, line.command, settings, io), directive: Directive.NO_FILES };
  const attached = /^(--[^=]+)=/.exec(prefix);
  if (attached) {
    // `--output=` with its value begun: the same candidates, with the flag before them.
    const [start = "", name = ""] = attached;
    const { pending, command } = readLine(program, [...before, name]);
    const values = pending ? await flagValues(pending, command, settings, io) : [];
    return { candidates: values.map((value) => ({ ...value, name: start + value.name })), directive: Directive.NO_FILES };
  }
  if (prefix.startsWith("-")) {
    const flags = [...ownFlags(line.command), ...globalFlags(line.command)];
    return { candidates: flags.map(({ long, description }) => ({ name: long ?? "", description })), directive: Directive.NO_FILES };
  }
  const children = line.operands.length === 0 ? childrenOf(line.command) : [];
  if (children.length > 0)
    return {
      candidates: children.map((child) => ({ name: child.name(), description: child.summary() || child.description() })),
      directive: Directive.NO_FILES,
    };
  return argumentsFor(line, settings, io);
}

/** Candidates for the next argument of a command; files where it has none of its own. */
async function argumentsFor({ command, operands }: Line, settings: Settings, io: Io): Promise<Candidates> {
  const path = pathOf(command).slice(1).join(" ");
  const named = async (type: string, typed: readonly string[]): Promise<Candidates> => ({
    candidates: await objectNames(type, settings, io, typed),
    directive: Directive.DEFAULT,
  });
  switch (path) {
    case "completion":
      return { candidates: operands.length === 0 ? shells.map((name) => ({ name })) : [], directive: Directive.NO_FILES };
    case "authz": {
      const [type, ...typed] = operands;
      if (type === undefined) return { candidates: offeredTypes.map((name) => ({ name })), directive: Directive.DEFAULT };
      return type.includes("/") ? { candidates: [], directive: Directive.DEFAULT } : named(type, typed);
    }
    case "identity":
      return named("pod", operands);
    default:
      return { candidates: [], directive: Directive.DEFAULT };
  }
}

async function flagValues(flag: Option, command: Command, settings: Settings, io: Io): Promise<Candidate[]> {
  switch (flag.long) {
    case "--linkerd-namespace":
    case "--cni-namespace":
    case "--namespace":
      return objectNames("namespace", settings, io, []);
    case "--output":
      return (command.name() === "check" || command.parent?.name() === "check" ? ["table", "json", "short"] : ["table", "json"]).map(
        (name) => ({ name }),
      );
    case "--context":
      return contextNames(settings, io).map((name) => ({ name }));
    default:
      return [];
  }
}

/** Flags typed before the cursor that say which cluster and namespace are meant. */
type Settings = GlobalOptions & { namespace?: string };

function settingsOf({ flags }: Line): Settings {
  const given = new Map(flags.map(({ option, value }) => [option.attributeName(), value ?? true]));
  const text = (name: string) => given.get(name) as string | undefined;
  const optional = (name: "kubeconfig" | "context" | "as" | "namespace") => (text(name) === undefined ? {} : { [name]: text(name) });
  const asGroup = flags.filter(({ option }) => option.attributeName() === "asGroup").map(({ value }) => value ?? "");
  return {
    linkerdNamespace: "linkerd",
    cniNamespace: "linkerd-cni",
    verbose: false,
    asGroup,
    ...optional("kubeconfig"),
    ...optional("context"),
    ...optional("as"),
    ...optional("namespace"),
  };
}

/** Names of contexts. The reference offers clusters, which `--context` does not take. */
function contextNames({ kubeconfig }: Settings, io: Io): string[] {
  const files = kubeconfig ? [kubeconfig] : (io.env["KUBECONFIG"] || `${io.env["HOME"]}/.kube/config`).split(":");
  const names = files
    .filter((file) => file !== "" && existsSync(file))
    .flatMap((file) =>
      ((parse(readFileSync(file, "utf8")) as { contexts?: { name?: string }[] } | null)?.contexts ?? []).flatMap(({ name }) => name ?? []),
    );
  return [...new Set(names)];
}

/** Names of a type's objects that are not on the line yet. */
async function objectNames(friendly: string, settings: Settings, io: Io, typed: readonly string[]): Promise<Candidate[]> {
  const type = resourceType(friendly);
  const client = kubeClient(settings, io);
  const namespace = type === Resources.namespaces ? undefined : (settings.namespace ?? client.namespace);
  const { items } = await client.list({ ...type, namespace }, { signal: AbortSignal.timeout(LIST_TIMEOUT_MS) });
  return items.flatMap(({ metadata: { name } }) => (name === undefined || typed.includes(name) ? [] : [{ name }]));
}
