// `check`: is the cluster ready for the mesh, and the mesh well? (spec cli §4)
import { Command, Option } from "commander";
import { parseAllDocuments } from "yaml";
import { VERSION } from "#version";
import type { CheckContext } from "../checks/context.ts";
import { haChecks, linkerdCniPlugin, linkerdConfigCategory, linkerdExistence, linkerdIdentity, webhooksTls } from "../checks/control-plane.ts";
import { controlPlaneProxy, controlPlaneVersion, dataPlane, identityDataPlane, linkerdVersion } from "../checks/data-plane.ts";
import { kubernetesApi, kubernetesVersion, preKubernetesSetup } from "../checks/kubernetes.ts";
import { type Category, jsonReport, type RunOptions, runChecks, TextReport, verdict } from "../checks/runner.ts";
import { controlPlaneNamespace, type GlobalOptions, kubeClient } from "../context.ts";
import { parseDuration } from "../duration.ts";
import { CliError, type Io, UsageError } from "../io.ts";
import { renderInstall } from "./install.ts";

type Options = GlobalOptions & {
  pre: boolean;
  proxy: boolean;
  namespace: string;
  linkerdCniEnabled: boolean;
  output: string;
  wait: string;
  expectedVersion?: string;
  cliVersionOverride?: string;
};

/** The order of running is this list's, not the selection's. */
export function categoriesFor({ pre, proxy, cni }: { pre: boolean; proxy: boolean; cni: boolean }): Category<CheckContext>[] {
  if (pre) return [kubernetesApi, kubernetesVersion, preKubernetesSetup, ...(cni ? [linkerdCniPlugin] : []), linkerdVersion];
  return [
    kubernetesApi,
    kubernetesVersion,
    linkerdExistence,
    linkerdConfigCategory,
    linkerdCniPlugin,
    linkerdIdentity,
    webhooksTls,
    ...(proxy ? [identityDataPlane] : []),
    linkerdVersion,
    ...(proxy ? [] : [controlPlaneVersion]),
    controlPlaneProxy,
    ...(proxy ? [dataPlane] : []),
    haChecks,
  ];
}

/** Where an anchor leads, by the version of this CLI. */
function hintBase(version: string): string {
  const release = /^stable-(\d+\.\d+)\./.exec(version);
  return release && release[1] !== "0.1" ? `https://linkerd.io/${release[1]}/checks/#` : "https://linkerd.io/2.11/checks/#";
}

export function checkCommand(io: Io): Command {
  return new Command("check")
    .description("Check the Linkerd installation for potential problems")
    .option("--pre", "Only run pre-installation checks, to determine if the control plane can be installed", false)
    .option("--proxy", "Only run data-plane checks, to determine if the data plane is healthy", false)
    .option("-n, --namespace <string>", "Namespace to use for --proxy checks (default: all namespaces)", "")
    .option("--linkerd-cni-enabled", "When running pre-installation checks (--pre), assume the linkerd-cni plugin is already installed, and a NET_ADMIN check is not needed", false)
    .addOption(new Option("-o, --output <string>", "Output format. One of: table, json, short").default("table"))
    .option("--wait <duration>", "Maximum allowed time for all tests to pass", "5m0s")
    .option("--expected-version <string>", "Overrides the version used when checking if Linkerd is running the latest version (mostly for testing)")
    .option("--cli-version-override <string>", "Used to override the version of the cli (mostly for testing)")
    .action(async (_, command: Command) => {
      const options = command.optsWithGlobals<Options>();
      const wrong = (text: string) => new UsageError(`Validation error when executing check command: ${text}`);
      if (options.pre && options.proxy) throw wrong("--pre and --proxy flags are mutually exclusive");
      if (options.linkerdCniEnabled && !options.pre) throw wrong("--linkerd-cni-enabled can only be used with --pre");
      if (!["table", "json", "short"].includes(options.output)) throw wrong(`Invalid output type '${options.output}'. Supported output types are: json, table, short`);
      const waitMs = parseDuration(options.wait);
      if (waitMs === undefined) throw wrong(`--wait: "${options.wait}" is not a duration, such as 30s or 5m0s`);
      const namespace = controlPlaneNamespace(options, io);
      const cliVersion = options.cliVersionOverride ?? VERSION;
      const context: CheckContext = {
        client: undefined,
        connect: () => kubeClient(options, io),
        namespace,
        cniNamespace: options.cniNamespace,
        dataPlaneNamespace: options.namespace,
        cliVersion,
        expectedVersion: options.expectedVersion,
        cniEnabled: options.linkerdCniEnabled,
        manifests: async () => parseAllDocuments(await renderInstall({ namespace })).map((document) => document.toJS()),
        now: Date.now,
      };
      const categories = categoriesFor({ pre: options.pre, proxy: options.proxy, cni: options.linkerdCniEnabled });
      if (!(await runAndReport(io, { categories, context, hintBase: hintBase(cliVersion), waitMs, output: options.output }))) throw new CliError("");
    });
}

async function runAndReport(
  io: Io,
  { categories, context, hintBase, waitMs, output }: Pick<RunOptions<CheckContext>, "categories" | "context" | "hintBase"> & { waitMs: number; output: string },
): Promise<boolean> {
  const run = { categories, context, hintBase, deadlineMs: Date.now() + waitMs, now: Date.now, sleep: Bun.sleep };
  if (output === "json") {
    const outcomes = await runChecks(run);
    io.stdout(jsonReport(outcomes));
    return verdict(outcomes);
  }
  const report = new TextReport(io, { short: output === "short" });
  report.start();
  const outcomes = await runChecks({ ...run, onOutcome: (outcome) => report.add(outcome), onRetry: (_, error) => report.wait(error) });
  report.finish(verdict(outcomes));
  return verdict(outcomes);
}
