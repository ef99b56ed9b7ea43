// `inject` and `uninject`: manifests in, manifests with or without the mesh out, and a report on standard error (spec cli §3.4–3.5).
import { Command } from "commander";
import { applyPatch } from "fast-json-patch";
import { parseAllDocuments, stringify } from "yaml";
import { controlPlaneChart, controlPlaneDefaults, overlay, type Values } from "#chart";
import { controlPlaneComponentLabel, decide, escapePointer, hasUdpPorts, InjectError, injectPatch, type PodTemplate, podTemplate, uninject, type Workload } from "#inject";
import { VERSION } from "#version";
import { controlPlaneNamespace, type GlobalOptions, kubeClient, messageOf } from "../context.ts";
import { CliError, type Io, readInputs, UsageError, wantsColour } from "../io.ts";
import { linkerdConfig } from "../linkerd-config.ts";
import { addProxyFlags, type Given, givenProxyFlags, proxyValues } from "../proxy-flags.ts";

const PREFIX = "config.linkerd.io/";
const OPAQUE_PORTS = `${PREFIX}opaque-ports`;
const INJECT = "linkerd.io/inject";

/** One document of the input, or one item of a List. */
type Outcome = { readonly kind: string; readonly name: string; readonly done: boolean; readonly reasons: readonly string[]; readonly udp: boolean };

export function injectCommand(io: Io): Command {
  return addProxyFlags(new Command("inject"))
    .description("Add the Linkerd proxy to a Kubernetes config")
    .usage("[flags] CONFIG-FILE")
    .argument("<config...>", "a file, a folder, a URL, or - for standard input")
    .option("--manual", "Include the proxy sidecar container spec in the YAML output (the auto-injector won't pick it up, so config annotations aren't supported)", false)
    .option("--ignore-cluster", "Ignore the current Kubernetes cluster when checking for existing cluster configuration", false)
    .option("--enable-debug-sidecar", "Inject a debug sidecar for data plane debugging", false)
    .option("--close-wait-timeout <duration>", "Sets nf_conntrack_tcp_timeout_close_wait")
    .option("--wait-before-exit-seconds <uint>", "The period during which the proxy sidecar must stay alive while its pod is terminating")
    .option("--disable-identity", "Disables resources from participating in TLS identity", false)
    .option("--require-identity-on-inbound-ports <strings>", "Inbound ports on which the proxy should require identity")
    .option("--ingress", "Enable ingress mode in the linkerd proxy", false)
    .option("--opaque-ports <strings>", "Set opaque ports on the proxy")
    .option("--linkerd-cni-enabled", "Omit the proxy-init container", false)
    .action(async ([source = "-"]: string[], _, command: Command) => {
      const given = command.optsWithGlobals<GlobalOptions & Record<string, unknown>>();
      if (given["disableIdentity"] && given["requireIdentityOnInboundPorts"]) throw new CliError("Identity must be enabled when --require-identity-on-inbound-ports is specified");
      const values = given["ignoreCluster"] ? controlPlaneDefaults() : await clusterValues(given, io);
      const annotations = annotationsOf(given, values, io);
      const inputs = await readInputs(source, io);
      const manual = given["manual"] === true;
      const problems: string[] = [];
      const outcomes: Outcome[] = [];
      const output = transform(inputs, (object) => {
        const clean = uninject(object).object;
        const outcome = injectObject(clean, { annotations, values: overlay(values, proxyValues(given, io)), manual, ingress: given["ingress"] === true, opaquePorts: given["opaquePorts"] as string | undefined });
        if (outcome.refusal) problems.push(outcome.refusal);
        outcomes.push(outcome);
        return outcome.object;
      });
      if (problems.length > 0) throw new CliError(`Error transforming resources:\n${problems.join("\n")}`);
      io.stdout(output);
      io.stderr(injectReport(outcomes, { verbose: given.verbose, colour: wantsColour(io) }));
    });
}

export function uninjectCommand(io: Io): Command {
  return new Command("uninject")
    .description("Remove the Linkerd proxy from a Kubernetes config")
    .usage("[flags] CONFIG-FILE")
    .argument("<config...>", "a file, a folder, a URL, or - for standard input")
    .action(async ([source = "-"]: string[]) => {
      const lines: string[] = [];
      const output = transform(await readInputs(source, io), (object) => {
        const { object: clean } = uninject(object);
        const changed = JSON.stringify(clean) !== JSON.stringify(object);
        lines.push(`${summary(object)} ${changed ? "uninjected" : "skipped"}`);
        return changed ? clean : object;
      });
      io.stdout(output);
      io.stderr(`\n${lines.join("\n")}\n\n`);
    });
}

/** Values of the installation in the cluster, which decide what need not be said again. */
async function clusterValues(given: GlobalOptions, io: Io): Promise<Values> {
  const client = kubeClient(given, io);
  const namespace = controlPlaneNamespace(given, io);
  const hint = "\nValidate the install with: fairlead check";
  try {
    await client.request({ path: "/version" });
  } catch (error) {
    throw new CliError(`Cannot connect to Kubernetes: ${messageOf(error)}${hint}`);
  }
  try {
    return overlay(controlPlaneDefaults(), (await linkerdConfig(client, namespace)).values as Values);
  } catch (error) {
    throw new CliError(`Cannot find Linkerd: ${messageOf(error)}${hint}`);
  }
}

/** What the flags say, as annotations; a flag that repeats the installation's value says nothing. */
function annotationsOf(given: Given, values: Values, io: Io): Record<string, string> {
  const annotations: Record<string, string> = {};
  for (const { flag, value } of givenProxyFlags(given)) {
    const have = flag.path.split(".").reduce<unknown>((v, key) => (v as Values | undefined)?.[key], values);
    if (flag.annotation && String(have) !== String(value)) annotations[PREFIX + flag.annotation] = String(value);
  }
  const registry = (given["registry"] as string | undefined) ?? io.env["LINKERD_DOCKER_REGISTRY"];
  if (registry) {
    for (const name of ["proxy-image", "init-image"]) annotations[PREFIX + name] = `${registry}/fairlead`;
    annotations[`${PREFIX}debug-image`] = `${registry}/debug`;
  }
  if (given["enableDebugSidecar"] === true) annotations[`${PREFIX}enable-debug-sidecar`] = "true";
  const closeWait = given["closeWaitTimeout"] as string | undefined;
  if (closeWait !== undefined && closeWait !== "0" && closeWait !== "0s") annotations[`${PREFIX}close-wait-timeout`] = closeWait;
  const wait = given["waitBeforeExitSeconds"] as string | undefined;
  if (wait !== undefined && wait !== "0") {
    if (!/^\d+$/.test(wait)) throw new UsageError(`invalid argument "${wait}" for "--wait-before-exit-seconds" flag: expected a whole number`);
    annotations["config.alpha.linkerd.io/proxy-wait-before-exit-seconds"] = wait;
  }
  if (given["disableIdentity"] === true) annotations[`${PREFIX}disable-identity`] = "true";
  const requireIdentity = given["requireIdentityOnInboundPorts"] as string | undefined;
  if (requireIdentity) annotations[`${PREFIX}proxy-require-identity-inbound-ports`] = requireIdentity;
  const opaque = given["opaquePorts"] as string | undefined;
  const defaults = (values["proxy"] as Values | undefined)?.["opaquePorts"];
  if (opaque !== undefined && opaque !== defaults) annotations[OPAQUE_PORTS] = opaque;
  return annotations;
}

type Injecting = { annotations: Readonly<Record<string, string>>; values: Values; manual: boolean; ingress: boolean; opaquePorts: string | undefined };

function injectObject(object: Workload, { annotations, values, manual, ingress }: Injecting): Outcome & { object: Workload; refusal?: string } {
  const kind = (object.kind ?? "").toLowerCase();
  const metadata = object.metadata ?? {};
  const name = String(metadata["name"] ?? metadata["generateName"] ?? "");
  const outcome = { kind, name, done: false, reasons: [] as string[], udp: false, object };
  const inject = ingress ? "ingress" : "enabled";
  if (object.kind === "Namespace") return { ...outcome, object: annotate(object, "", { [INJECT]: inject, ...annotations }) };
  if (object.kind === "Service") {
    const opaque = annotations[OPAQUE_PORTS];
    return opaque === undefined ? outcome : { ...outcome, object: annotate(object, "", { [OPAQUE_PORTS]: opaque }) };
  }
  const template = podTemplate(object);
  if (!template) return outcome;
  const decision = decide({ template, namespaceAnnotations: {}, where: "cli" });
  const udp = hasUdpPorts(template);
  const where = `${kind}/${name}`;
  if (!manual && controlPlaneComponentLabel in template.labels) return { ...outcome, refusal: `${where}: is a control plane component: use --manual` };
  if (!decision.inject) {
    const reasons = [...decision.reasons];
    const refused = reasons.filter((reason) => reason !== "injection_disable_annotation_present" && reason !== "unsupported_resource");
    if (refused.length > 0 || (udp && reasons.length > 0))
      return { ...outcome, refusal: `${where}: ${[...refused.map((reason) => refusals[reason] ?? reason), ...(udp ? ["UDP port(s) configured on pod spec"] : [])].join("; ")}` };
    return { ...outcome, reasons };
  }
  if (!manual) return { ...outcome, done: true, udp, object: annotate(object, template.path, { [INJECT]: inject, ...annotations }, template) };
  const annotated = annotate(object, template.path, { ...(ingress ? { [INJECT]: inject } : {}), ...annotations }, template);
  try {
    const { operations } = injectPatch({
      chart: controlPlaneChart(),
      values,
      template: podTemplate(annotated) as PodTemplate,
      namespace: String(metadata["namespace"] ?? "default"),
      namespaceAnnotations: {},
      owner: { kind, name },
      createdBy: `linkerd/cli ${VERSION}`,
    });
    return { ...outcome, done: true, udp, object: applyPatch(structuredClone(annotated), operations as never).newDocument };
  } catch (error) {
    if (error instanceof InjectError) return { ...outcome, refusal: `${where}: ${error.message}` };
    throw error;
  }
}

const refusals: Readonly<Record<string, string>> = {
  host_network_enabled: "hostNetwork is enabled",
  sidecar_already_exists: "known 3rd party sidecar detected, or a sidecar injected already",
  disabled_automount_service_account_token_account: 'automountServiceAccountToken set to "false"',
};

/** A copy with annotations added at a pod template, or at the object itself when `path` is empty. */
function annotate(object: Workload, path: string, annotations: Readonly<Record<string, string>>, template?: PodTemplate): Workload {
  const metadata = template ? template.metadata : object.metadata;
  const operations: object[] = [];
  if (!metadata) operations.push({ op: "add", path: `${path}/metadata`, value: {} });
  if (!metadata || !("annotations" in metadata) || !metadata["annotations"]) operations.push({ op: "add", path: `${path}/metadata/annotations`, value: {} });
  for (const [key, value] of Object.entries(annotations)) operations.push({ op: "add", path: `${path}/metadata/annotations/${escapePointer(key)}`, value });
  return applyPatch(structuredClone(object), operations as never).newDocument;
}

/** Runs every document, and every item of a List, through `change`; what is unchanged goes out as it came. */
function transform(inputs: readonly string[], change: (object: Workload) => Workload): string {
  let output = "";
  for (const input of inputs) {
    for (const document of parseAllDocuments(input)) {
      if ("errors" in document && document.errors.length > 0) throw new CliError(`Error transforming resources:\nerror converting YAML to JSON: ${document.errors[0]?.message.split("\n")[0]}`);
      const object = document.toJS() as (Workload & { items?: Workload[] }) | null;
      if (object === null) continue;
      if (object.kind === "List") {
        output += `${print({ ...object, items: (object.items ?? []).map(change) })}---\n`;
        continue;
      }
      const changed = change(object);
      output += `${changed === object ? `${String(document).trimEnd().replace(/^---\n/, "")}\n` : print(changed)}---\n`;
    }
  }
  return output;
}

function print(object: unknown): string {
  return stringify(object, { sortMapEntries: true, lineWidth: 0, aliasDuplicateObjects: false });
}

function summary(object: Workload): string {
  if (!object.kind) return 'document missing "kind" field,';
  const metadata = object.metadata ?? {};
  return `${object.kind.toLowerCase()} "${String(metadata["name"] ?? metadata["generateName"] ?? "")}"`;
}

function injectReport(outcomes: readonly Outcome[], { verbose, colour }: { verbose: boolean; colour: boolean }): string {
  const paint = (glyph: string, code: number) => (colour ? `\x1b[${code};1m${glyph}\x1b[0m` : glyph);
  const warn = paint("‼", 33);
  const ok = paint("√", 32);
  const warnings: string[] = [];
  const about = (wrong: readonly Outcome[], text: string, fine: string) => {
    if (wrong.length > 0) warnings.push(`${warn} ${text.replace("%", wrong.map(({ kind, name }) => `${kind}/${name}`).join(", "))}`);
    else if (verbose) warnings.push(`${ok} ${fine}`);
  };
  about([], "", "pods do not use host networking");
  about([], "", "pods do not have a 3rd party proxy or initContainer already injected");
  about(outcomes.filter(({ reasons }) => reasons.includes("injection_disable_annotation_present")), `"${INJECT}: disabled" annotation set on %`, "pods are not annotated to disable injection");
  if (!outcomes.some(({ done, reasons }) => done || reasons.length > 0)) warnings.push(`${warn} no supported objects found`);
  else if (verbose) warnings.push(`${ok} at least one resource can be injected or annotated`);
  about(outcomes.filter(({ udp }) => udp), '% use "protocol: UDP"', "pod specs do not include UDP ports");
  about([], "", 'pods do not have automountServiceAccountToken set to "false"');
  const lines = outcomes.map(({ kind, name, done }) => (kind === "" ? 'document missing "kind" field, skipped' : `${kind} "${name}" ${done ? "injected" : "skipped"}`));
  return `\n${warnings.length > 0 ? `${warnings.join("\n")}\n\n` : ""}${lines.join("\n")}\n\n`;
}

