// `completion`: scripts for three shells, which ask the hidden `__complete` for candidates (spec cli §5).
import { existsSync, readFileSync } from "node:fs";
import { Command } from "commander";
import { parse } from "yaml";
import { type AnyObject, Resources } from "#kube";
import { type GlobalOptions, kubeClient } from "../context.ts";
import { type Io, UsageError } from "../io.ts";
import { canonicalName } from "../resources.ts";

/** Bits of the last line of `__complete`. */
const Directive = { ERROR: 1, NO_FILES: 4 } as const;
const LIST_TIMEOUT_MS = 5000;
/** As the reference offers them. */
const offeredTypes = ["namespace", "daemonset", "statefulset", "job", "deployment", "replicationcontroller", "pod", "service", "trafficsplit", "authority", "cronjob", "replicaset"];
const shells = ["bash", "zsh", "fish"] as const;

export function completionCommand(io: Io): Command {
  return new Command("completion")
    .description("Output shell completion code for the specified shell (bash, zsh or fish)")
    .usage("[bash|zsh|fish]")
    .argument("<shell>")
    .action((shell: string) => {
      if (!(shells as readonly string[]).includes(shell)) throw new UsageError(`unsupported shell type "${shell}"`);
      io.stdout(scripts[shell as (typeof shells)[number]]);
    });
}

/** The answer to `__complete WORD… PREFIX`: candidates a line each, then `:` and the directive. */
export async function complete(program: Command, words: readonly string[], io: Io): Promise<string> {
  const prefix = words.at(-1) ?? "";
  const before = words.slice(0, -1);
  try {
    const { candidates, directive } = await candidatesFor(program, before, prefix, io);
    const shown = candidates.filter(([name]) => name.startsWith(prefix));
    return `${shown.map(([name, text]) => `${name}${text ? `\t${text}` : ""}\n`).join("")}:${directive}\n`;
  } catch {
    return `:${Directive.ERROR}\n`;
  }
}

type Candidates = { candidates: (readonly [name: string, description?: string])[]; directive: number };

async function candidatesFor(program: Command, before: readonly string[], prefix: string, io: Io): Promise<Candidates> {
  const { command, positional, flags, pending } = readLine(program, before);
  const options = { linkerdNamespace: "linkerd", cniNamespace: "linkerd-cni", asGroup: [], verbose: false, ...flags } as GlobalOptions & { namespace?: string };
  if (pending) return { candidates: await flagValues(pending, command, options, io), directive: Directive.NO_FILES };
  if (prefix.startsWith("-")) {
    const own = [...command.options, ...program.options].filter((option) => !option.hidden);
    return { candidates: own.map((option) => [option.long ?? "", option.description] as const), directive: Directive.NO_FILES };
  }
  if (command.commands.length > 0) {
    return { candidates: command.commands.map((child) => [child.name(), child.description()] as const), directive: Directive.NO_FILES };
  }
  switch (command.name()) {
    case "completion":
      return { candidates: shells.map((shell) => [shell] as const), directive: Directive.NO_FILES };
    case "authz": {
      const [type] = positional;
      if (type === undefined) return { candidates: offeredTypes.map((name) => [name] as const), directive: 0 };
      if (type.includes("/")) return { candidates: [], directive: 0 };
      return { candidates: await namesOf(type, options, io, positional.slice(1)), directive: 0 };
    }
    case "identity":
      return { candidates: await namesOf("pod", options, io, positional), directive: 0 };
    default:
      return { candidates: [], directive: 0 };
  }
}

/** What the words before the cursor mean: the command, its arguments, flags given, and a flag that waits for its value. */
function readLine(program: Command, before: readonly string[]) {
  let command = program;
  const positional: string[] = [];
  const flags: Record<string, unknown> = {};
  let pending: string | undefined;
  for (const word of before) {
    if (pending !== undefined) {
      flags[pending] = word;
      pending = undefined;
      continue;
    }
    if (word.startsWith("-")) {
      const [flag = "", value] = word.split("=", 2);
      const option = [...command.options, ...program.options].find((one) => one.long === flag || one.short === flag);
      if (!option?.required) continue;
      if (value === undefined) pending = option.attributeName();
      else flags[option.attributeName()] = value;
      continue;
    }
    const child = command.commands.find((one) => one.name() === word || one.aliases().includes(word));
    if (child) command = child;
    else positional.push(word);
  }
  return { command, positional, flags, pending };
}

async function flagValues(flag: string, command: Command, options: GlobalOptions, io: Io): Promise<Candidates["candidates"]> {
  if (flag === "linkerdNamespace" || flag === "cniNamespace" || flag === "namespace") return namesOf("namespace", options, io, []);
  if (flag === "output") return (command.name() === "endpoints" ? ["table", "json"] : ["table", "json", "short"]).map((name) => [name] as const);
  if (flag === "context") return contexts(options, io).map((name) => [name] as const);
  return [];
}

/** Names of contexts; the reference offers clusters, which `--context` does not take. */
function contexts(options: GlobalOptions, io: Io): string[] {
  const files = options.kubeconfig ? [options.kubeconfig] : (io.env["KUBECONFIG"] ?? `${io.env["HOME"]}/.kube/config`).split(":");
  return files
    .filter((file) => file !== "" && existsSync(file))
    .flatMap((file) => ((parse(readFileSync(file, "utf8")) as { contexts?: { name?: string }[] } | null)?.contexts ?? []).flatMap(({ name }) => name ?? []));
}

async function namesOf(friendly: string, options: GlobalOptions & { namespace?: string }, io: Io, typed: readonly string[]): Promise<Candidates["candidates"]> {
  const canonical = canonicalName(friendly);
  const type = Object.values(Resources).find(({ resource }) => resource === `${canonical}s`);
  if (!type) throw new Error(`${canonical} is no resource of the API`);
  const client = kubeClient(options, io);
  const namespace = canonical === "namespace" ? undefined : options.namespace || client.namespace;
  const { items } = await client.list<AnyObject>({ ...type, namespace }, { signal: AbortSignal.timeout(LIST_TIMEOUT_MS) });
  return items.flatMap(({ metadata }) => (metadata.name && !typed.includes(metadata.name) ? [[metadata.name] as const] : []));
}

const scripts: Record<(typeof shells)[number], string> = {
  bash: `# bash completion for fairlead
__fairlead_complete() {
    local line words=("\${COMP_WORDS[@]:1:COMP_CWORD}")
    COMPREPLY=()
    while IFS= read -r line; do
        case "$line" in
            :*) (( \${line#:} & 4 )) && compopt +o default 2>/dev/null ;;
            *) COMPREPLY+=("\${line%%$'\\t'*}") ;;
        esac
    done < <("\${COMP_WORDS[0]}" __complete "\${words[@]}" 2>/dev/null)
}
complete -o default -F __fairlead_complete fairlead
`,
  zsh: `#compdef _fairlead fairlead
_fairlead() {
    local line directive=0
    local -a candidates
    while IFS= read -r line; do
        case "$line" in
            :*) directive=\${line#:} ;;
            *) candidates+=("\${\${line//:/\\\\:}/$'\\t'/:}") ;;
        esac
    done < <("\${words[1]}" __complete "\${(@)words[2,CURRENT]}" 2>/dev/null)
    if (( \${#candidates} )); then
        _describe 'fairlead' candidates
    elif (( ! (directive & 4) )); then
        _files
    fi
}
if [ "\${funcstack[1]}" = "_fairlead" ]; then
    _fairlead
else
    compdef _fairlead fairlead
fi
`,
  fish: `# fish completion for fairlead
function __fairlead_complete
    set -l tokens (commandline -opc) (commandline -ct)
    $tokens[1] __complete $tokens[2..-1] 2>/dev/null | string match -v -r '^:'
end
complete -c fairlead -f -a '(__fairlead_complete)'
`,
};
