// `inject` and `uninject`: manifests in, manifests with or without the mesh out, and a report on standard error (spec cli §3.4–3.5).
import type { Command } from "commander";
import { controlPlaneChart, controlPlaneDefaults, mergeValues, overlay, type Values } from "#chart";
import { opaquePortsAnnotation, parseGoDuration, uninject, type Workload } from "#inject";
import { type AnyObject, type KubeClient, Resources } from "#kube";
import { atLeast, defineCommand } from "../command.ts";
import { controlPlaneNamespace, type GlobalOptions, kubeClient, messageOf } from "../context.ts";
import { bool, duration, strings, uint } from "../flags.ts";
import { DocumentError, printDocument, readDocuments } from "../inject/documents.ts";
import { type Injected, identify, injectObject, isOwnGroup, type Outcome, type Settings } from "../inject/inject-object.ts";
import { injectReport, summary } from "../inject/report.ts";
import { CliError, glyphs, type Input, type Io, readInputs, UsageError } from "../io.ts";
import { linkerdConfig } from "../linkerd-config.ts";
import {
  type Given,
  givenProxyFlags,
  isNoPortList,
  proxyFlags,
  proxyValues,
  registryImages,
  requireValid,
  valueAt,
} from "../proxy-flags.ts";

const PREFIX = "config.linkerd.io/";
const ALPHA_PREFIX = "config.alpha.linkerd.io/";
const USAGE = "[flags] CONFIG-FILE";

export function injectCommand(io: Io): Command {
  return defineCommand<Given>(io, {
    name: "inject",
    description: "Add the Linkerd proxy to a Kubernetes config",
    long: "Add the Linkerd proxy to a Kubernetes config.\n\nYou can inject resources contained in a single file, inside a folder and its\nsub-folders, or coming from stdin.",
    usage: USAGE,
    examples: [
      "# Inject all the deployments in the default namespace.",
      "kubectl get deploy -o yaml | fairlead inject - | kubectl apply -f -",
      "",
      "# Inject a file from a remote URL.",
      "fairlead inject https://example.com/app.yml | kubectl apply -f -",
      "",
      "# Inject all the resources inside a folder and its sub-folders.",
      "fairlead inject <folder> | kubectl apply -f -",
    ],
    arguments: atLeast(1),
    flags: [
      bool(
        "--manual",
        "Include the proxy sidecar container spec in the YAML output (the auto-injector won't pick it up, so config annotations aren't supported)",
      ),
      bool("--ignore-cluster", "Ignore the current Kubernetes cluster when checking for existing cluster configuration"),
      bool("--enable-debug-sidecar", "Inject a debug sidecar for data plane debugging"),
      duration("--close-wait-timeout", "Sets nf_conntrack_tcp_timeout_close_wait"),
      uint("--wait-before-exit-seconds", "The period during which the proxy sidecar must stay alive while its pod is terminating"),
      bool("--disable-identity", "Disables resources from participating in TLS identity"),
      strings("--require-identity-on-inbound-ports", "Inbound ports on which the proxy should require identity"),
      bool("--ingress", "Enable ingress mode in the linkerd proxy"),
      strings("--opaque-ports", "Set opaque ports on the proxy", {
        shown: () => String(valueAt(controlPlaneDefaults(), "proxy.opaquePorts")),
      }),
      ...proxyFlags(),
    ],
    run: ({ args: [source = "-"], flags }) => runInject(source, flags, io),
  });
}

async function runInject(source: string, flags: GlobalOptions & Given, io: Io): Promise<void> {
  const cluster = flags["ignoreCluster"] === true ? undefined : await readCluster(flags, io);
  const values = cluster?.values ?? controlPlaneDefaults();
  const settings: Settings = {
    annotations: { ...proxyAnnotations(flags, values, io), ...ownAnnotations(flags, values) },
    isIngress: flags["ingress"] === true,
    ...(flags["manual"] === true
      ? {
          manual: {
            chart: controlPlaneChart(),
            values: overlay(values, proxyValues(flags, values, io)),
            namespace: cluster?.client.namespace ?? "default",
            trustAnchorsPem: await cluster?.trustAnchorsPem(),
            hint: cluster ? "" : " (--ignore-cluster does not read the installation's)",
          },
        }
      : {}),
  };
  const outcomes: Outcome[] = [];
  const output = transform(await readInputs(source, io), (object) => {
    const injected = injectObject(object, settings);
    if ("outcome" in injected) outcomes.push(injected.outcome);
    return injected;
  });
  io.stdout(output);
  io.stderr(injectReport(outcomes, { isVerbose: flags.verbose, marks: glyphs(io) }));
}

export function uninjectCommand(io: Io): Command {
  return defineCommand(io, {
    name: "uninject",
    description: "Remove the Linkerd proxy from a Kubernetes config",
    long: "Remove the Linkerd proxy from a Kubernetes config.\n\nYou can uninject resources contained in a single file, inside a folder and its\nsub-folders, or coming from stdin.",
    usage: USAGE,
    examples: [
      "# Uninject all the deployments in the default namespace.",
      "kubectl get deploy -o yaml | fairlead uninject - | kubectl apply -f -",
    ],
    arguments: atLeast(1),
    async run({ args: [source = "-"] }) {
      const lines: string[] = [];
      const output = transform(await readInputs(source, io), (object) => {
        const clean = isOwnGroup(object) ? uninject(object).object : object;
        const isChanged = JSON.stringify(clean) !== JSON.stringify(object);
        lines.push(summary(identify(object), isChanged ? "uninjected" : "skipped"));
        return { object: isChanged ? clean : object };
      });
      io.stdout(output);
      io.stderr(`\n${lines.join("\n")}\n\n`);
    },
  });
}

/**
 * Runs every document, and every item of a List, through `change`. One that is refused suppresses the whole output.
 * @throws {CliError} with a line for each document that was refused or cannot be read
 */
function transform(
  inputs: readonly Input[],
  change: (object: Workload) => { object: Workload } | Extract<Injected, { refusal: string }>,
): string {
  const problems: string[] = [];
  let output = "";
  const changed = (object: Workload): Workload => {
    const result = change(object);
    if ("object" in result) return result.object;
    problems.push(result.refusal);
    return object;
  };
  for (const document of inputs.flatMap(readDocuments)) {
    if (document instanceof DocumentError) {
      problems.push(`error converting YAML to JSON: ${document.message}`);
      continue;
    }
    const { object, text } = document;
    if (object === null) output += printDocument(text);
    else if (object.kind === "List") {
      const items = ((object as { items?: Workload[] | null }).items ?? []).map((item) => [item, changed(item)] as const);
      const isSame = items.every(([before, after]) => before === after);
      output += printDocument(isSame ? text : ({ ...object, items: items.map(([, after]) => after) } as Workload));
    } else {
      const after = changed(object);
      output += printDocument(after === object ? text : after);
    }
  }
  if (problems.length > 0) throw new CliError(`Error transforming resources:\n${problems.join("\n")}`);
  return output;
}

type Cluster = { readonly client: KubeClient; readonly values: Values; readonly trustAnchorsPem: () => Promise<string | undefined> };

/** The installation's values, which decide what need not be said again. @throws {CliError} when there is no cluster or no installation */
async function readCluster(flags: GlobalOptions, io: Io): Promise<Cluster> {
  const client = kubeClient(flags, io);
  const namespace = controlPlaneNamespace(flags, io);
  const hint = "\nValidate the install with: fairlead check";
  try {
    await client.request({ path: "/version" });
  } catch (error) {
    throw new CliError(`Cannot connect to Kubernetes: ${messageOf(error)}${hint}`);
  }
  try {
    const { values } = await linkerdConfig(client, namespace);
    return {
      client,
      values: mergeValues(controlPlaneDefaults(), values as Values),
      async trustAnchorsPem() {
        const roots = await client.find<AnyObject & { data?: Record<string, string> }>({
          ...Resources.configMaps,
          namespace,
          name: "linkerd-identity-trust-roots",
        });
        return roots?.data?.["ca-bundle.crt"];
      },
    };
  } catch (error) {
    throw new CliError(`Cannot find Linkerd: ${messageOf(error)}${hint}`);
  }
}

/** Group P and the registry as annotations; a flag that repeats the installation's value says nothing. */
function proxyAnnotations(given: Given, values: Values, io: Io): Record<string, string> {
  const said = [...registryImages(given, values, io), ...givenProxyFlags(given)];
  const annotations: Record<string, string> = {};
  for (const { path, annotation, value } of said) {
    // Images without a version of their own have the installation's.
    const have = valueAt(values, path) || (path.endsWith(".version") ? values["linkerdVersion"] : undefined);
    if (annotation !== undefined && String(have ?? "") !== String(value)) annotations[PREFIX + annotation] = String(value);
  }
  return annotations;
}

/** The flags that only `inject` has. @throws {UsageError} */
function ownAnnotations(given: Given, values: Values): Record<string, string> {
  const annotations: Record<string, string> = {};
  const list = (name: string) => (given[name] as string[] | undefined)?.join(",");
  if (given["enableDebugSidecar"] === true) annotations[`${PREFIX}enable-debug-sidecar`] = "true";
  const closeWait = given["closeWaitTimeout"] as string | undefined;
  if (closeWait !== undefined && parseGoDuration(closeWait) !== 0) annotations[`${PREFIX}close-wait-timeout`] = closeWait;
  const seconds = given["waitBeforeExitSeconds"] as number | undefined;
  if (seconds) annotations[`${ALPHA_PREFIX}proxy-wait-before-exit-seconds`] = String(seconds);
  if (given["disableIdentity"] === true) annotations[`${PREFIX}disable-identity`] = "true";
  const requireIdentity = list("requireIdentityOnInboundPorts");
  if (requireIdentity) {
    if (given["disableIdentity"] === true)
      throw new UsageError("Identity must be enabled when --require-identity-on-inbound-ports is specified");
    requireValid("--require-identity-on-inbound-ports", requireIdentity, isNoPortList);
    annotations[`${PREFIX}proxy-require-identity-inbound-ports`] = requireIdentity;
  }
  // Names of ports are allowed here: they are looked up in the pod.
  const opaquePorts = list("opaquePorts");
  if (opaquePorts !== undefined && opaquePorts !== valueAt(values, "proxy.opaquePorts")) annotations[opaquePortsAnnotation] = opaquePorts;
  return annotations;
}
