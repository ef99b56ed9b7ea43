// `check`: is the cluster ready for the mesh, and the mesh well? (spec cli §4)
import type { Command } from "commander";
import { parseAllDocuments } from "yaml";
import { parseGoDuration } from "#inject";
import { VERSION } from "#version";
import { categoriesOf, type Selection } from "../checks/categories.ts";
import { type CheckContext, clientOf } from "../checks/context.ts";
import { runExtensionChecks } from "../checks/extensions.ts";
import { jsonReport, type OutputFormat, TextReport } from "../checks/report.ts";
import { type Outcome, runChecks, verdict } from "../checks/runner.ts";
import { defineCommand } from "../command.ts";
import { controlPlaneNamespace, type GlobalOptions, kubeClient, messageOf } from "../context.ts";
import { installedExtensions } from "../extensions.ts";
import { bool, duration, type Flag, string } from "../flags.ts";
import { CliError, type Io, UsageError } from "../io.ts";
import { renderDefaultInstall } from "./install.ts";

type Flags = {
  output: string;
  wait: string;
  expectedVersion?: string;
  cliVersionOverride?: string;
  /** Not of `check config`. */
  pre?: boolean;
  proxy?: boolean;
  namespace?: string;
  linkerdCniEnabled?: boolean;
};

function commonFlags(): Flag[] {
  return [
    string("-o, --output", "Output format. One of: table, json, short", { default: "table" }),
    duration("--wait", "Maximum allowed time for all tests to pass", { default: "5m0s" }),
    string("--expected-version", "Overrides the version used when checking if Linkerd is running the latest version (mostly for testing)"),
    string("--cli-version-override", "Used to override the version of the cli (mostly for testing)", { hidden: true }),
  ];
}

export function checkCommand(io: Io): Command {
  return defineCommand<Flags>(io, {
    name: "check",
    description: "Check the Linkerd installation for potential problems",
    long: "Check the Linkerd installation for potential problems.\n\nThe check command will perform a series of checks to validate that the linkerd\nCLI and control plane are configured correctly. If the command encounters a\nfailure it will print additional information about the failure and exit with a\nnon-zero exit code.",
    examples: [
      "# Check that the Linkerd control plane is up and running",
      "fairlead check",
      "",
      '# Check that the Linkerd control plane can be installed in the "test" namespace',
      "fairlead check --pre --linkerd-namespace test",
      "",
      '# Check that "config" stage of the installation was successful',
      "fairlead check config",
      "",
      '# Check that the Linkerd data plane proxies in the "app" namespace are up and running',
      "fairlead check --proxy --namespace app",
    ],
    flags: [
      bool("--pre", "Only run pre-installation checks, to determine if the control plane can be installed"),
      bool("--proxy", "Only run data-plane checks, to determine if the data plane is healthy"),
      string("-n, --namespace", "Namespace to use for --proxy checks (default: all namespaces)"),
      bool(
        "--linkerd-cni-enabled",
        "When running pre-installation checks (--pre), assume the linkerd-cni plugin is already installed, and a NET_ADMIN check is not needed",
      ),
      ...commonFlags(),
    ],
    children: [
      defineCommand<Flags>(io, {
        name: "config",
        description: "Check the Linkerd cluster-wide resources for potential problems",
        examples: ["# Check that the Linkerd cluster-wide resource are installed correctly", "fairlead check config"],
        flags: commonFlags(),
        run: ({ flags }) => check(flags, "config", io),
      }),
    ],
    run: ({ flags }) => check(flags, flags.pre ? "pre" : flags.proxy ? "proxy" : "default", io),
  });
}

const invalid = (why: string) => new UsageError(`Validation error when executing check command: ${why}`);

function outputFormat(output: string): OutputFormat {
  if (output === "table" || output === "json" || output === "short") return output;
  throw invalid(`Invalid output type '${output}'. Supported output types are: json, table, short`);
}

async function check(flags: GlobalOptions & Flags, selection: Selection, io: Io): Promise<void> {
  if (flags.pre && flags.proxy) throw invalid("--pre and --proxy flags are mutually exclusive");
  if (flags.linkerdCniEnabled && !flags.pre) throw invalid("--linkerd-cni-enabled can only be used with --pre");
  const output = outputFormat(flags.output);
  const namespace = controlPlaneNamespace(flags, io);
  const cliVersion = flags.cliVersionOverride ?? VERSION;
  const context: CheckContext = {
    connect: () => kubeClient(flags, io),
    kubectlVersion: () => kubectlVersion(io),
    namespace,
    cniNamespace: flags.cniNamespace,
    dataPlaneNamespace: flags.namespace ?? "",
    cliVersion,
    expectedVersion: flags.expectedVersion,
    cniEnabled: flags.linkerdCniEnabled === true,
    manifests: async () => parseAllDocuments(await renderDefaultInstall(namespace)).map((document) => document.toJS()),
    now: Date.now,
  };
  const hintBase = hintBaseOf(cliVersion);
  const printer: Printer = output === "json" ? new JsonPrinter(io) : new TextReport(io, { isShort: output === "short" });

  printer.start("Linkerd core checks");
  const core = await runChecks({
    categories: categoriesOf(selection),
    context,
    hintBase,
    deadlineMs: Date.now() + (parseGoDuration(flags.wait) ?? 0),
    now: Date.now,
    sleep: Bun.sleep,
    onOutcome: (outcome) => printer.add(outcome),
    onRetry: (error) => printer.wait(error),
  });
  printer.end();

  let isGood = verdict(core);
  let extensions: { name: string }[];
  try {
    extensions = await installedExtensions(clientOf(context));
  } catch (error) {
    // Whether the mesh is well cannot be said: no status line.
    throw new CliError(`failed to run extensions checks: ${messageOf(error)}`);
  }
  for (const [i, { name }] of extensions.entries()) {
    if (i === 0) printer.start("Linkerd extensions checks");
    printer.wait(`Running ${name} extension check`);
    const outcomes = await runExtensionChecks(name, { io, flags: handedOn(flags, namespace), hintBase });
    for (const outcome of outcomes) printer.add(outcome);
    printer.end();
    isGood &&= verdict(outcomes);
  }
  printer.finish(isGood);
  if (!isGood) throw new CliError("");
}

/** What becomes of results; one implementation for each kind of output. */
interface Printer {
  start(title: string): void;
  add(outcome: Outcome): void;
  wait(what: string): void;
  /** The results of the core, or of one extension, are complete. */
  end(): void;
  finish(isGood: boolean): void;
}

/** One document for the core and one for each extension, as the reference has it. */
class JsonPrinter implements Printer {
  readonly #io: Io;
  #outcomes: Outcome[] = [];

  constructor(io: Io) {
    this.#io = io;
  }

  start(): void {}
  wait(): void {}
  finish(): void {}

  add(outcome: Outcome): void {
    this.#outcomes.push(outcome);
  }

  end(): void {
    this.#io.stdout(jsonReport(this.#outcomes));
    this.#outcomes = [];
  }
}

/** The flags an extension's check is run with: those that say something. */
function handedOn(flags: GlobalOptions & Flags, namespace: string): string[] {
  const values: [name: string, value: string | boolean | undefined][] = [
    ["api-addr", flags.apiAddr],
    ["context", flags.context],
    ["as", flags.as],
    ["kubeconfig", flags.kubeconfig],
    ["linkerd-namespace", namespace],
    ["verbose", flags.verbose],
    ["namespace", flags.namespace],
    ["proxy", flags.proxy],
    ["wait", flags.wait],
    ["expected-version", flags.expectedVersion],
    ["cli-version-override", flags.cliVersionOverride],
  ];
  const groups = (flags.asGroup ?? []).map((group) => `--as-group=${group}`);
  return [...values.filter(([, value]) => value !== undefined && value !== "").map(([name, value]) => `--${name}=${value}`), ...groups];
}

/** Where an anchor leads: the page of the reference release whose checks these are. */
function hintBaseOf(version: string): string {
  return `https://linkerd.io/${/^stable-(2\.\d+)\./.exec(version)?.[1] ?? "2.11"}/checks/#`;
}

async function kubectlVersion(io: Io): Promise<string> {
  const kubectl = Bun.which("kubectl", { PATH: io.env["PATH"] ?? "" });
  if (!kubectl) throw new Error('exec: "kubectl": executable file not found in $PATH');
  // `--short`, which the reference gives, is an error since kubectl 1.28.
  const child = Bun.spawn([kubectl, "version", "--client"], { stdin: "ignore", stdout: "pipe", stderr: "pipe", env: io.env });
  const [stdout, stderr] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]);
  return stdout || stderr;
}
