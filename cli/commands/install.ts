// `install`: the control plane's manifests for `kubectl apply -f -` (spec cli §3.6).
import type { Command } from "commander";
import { controlPlaneDefaults, mergeValues, overlay, renderControlPlane, type Stage, TemplateError, type Values } from "#chart";
import { defineCommand } from "../command.ts";
import { controlPlaneNamespace, type GlobalOptions, kubeClient } from "../context.ts";
import { bool, type Flag } from "../flags.ts";
import { controlPlaneFlags, stageFlags, valueFlags } from "../install/flags.ts";
import { type IdentityMaterial, identityMaterial } from "../install/identity.ts";
import { requireInstallable, requireSupported } from "../install/preflight.ts";
import { flagValues, givenValues, requireWorkingValues } from "../install/values.ts";
import { CliError, type Io } from "../io.ts";
import type { Given } from "../proxy-flags.ts";

const ignoreCluster = (): Flag =>
  bool("--ignore-cluster", "Ignore the current Kubernetes cluster when checking for existing cluster configuration");

export function installCommand(io: Io): Command {
  const stage = (name: Stage, description: string, flags: Flag[], example: string) =>
    defineCommand<Given>(io, {
      name,
      description,
      examples: [`# ${description}.`, example],
      flags: [...stageFlags(), ...flags, ...valueFlags(), ignoreCluster()],
      run: ({ flags: given }) => install(given, io, name),
    });
  return defineCommand<Given>(io, {
    name: "install",
    description: "Output Kubernetes configs to install Linkerd",
    long: "Output Kubernetes configs to install Linkerd.\n\nThis command provides all Kubernetes configs necessary to install the Linkerd\ncontrol plane.",
    examples: [
      "# Default install.",
      "fairlead install | kubectl apply -f -",
      "",
      "# Install Linkerd into a non-default namespace.",
      "fairlead install -L l5dtest | kubectl apply -f -",
      "",
      "# Installation may also be broken up into two stages by user privilege, via",
      "# subcommands.",
    ],
    flags: [...stageFlags(), ...controlPlaneFlags(), ...valueFlags(), ignoreCluster()],
    children: [
      stage("config", "Output Kubernetes cluster-wide resources to install Linkerd", [], "fairlead install config | kubectl apply -f -"),
      stage(
        "control-plane",
        "Output Kubernetes control plane resources to install Linkerd",
        [...controlPlaneFlags(), bool("--skip-checks", "Skip checks for namespace existence")],
        "fairlead install control-plane | kubectl apply -f -",
      ),
    ],
    run: ({ flags: given }) => install(given, io, undefined),
  });
}

async function install(given: GlobalOptions & Given, io: Io, stage: Stage | undefined): Promise<void> {
  const namespace = controlPlaneNamespace(given, io);
  const ha = given["ha"] === true;
  const defaults = controlPlaneDefaults({ ha });
  const overrides = overlay(overlay({ namespace }, flagValues(given, defaults, io)), await givenValues(given));
  const values = mergeValues(defaults, overrides);
  requireWorkingValues(values);

  const client = given["ignoreCluster"] === true ? undefined : kubeClient(given, io);
  if (client) {
    await requireInstallable({ client, namespace, stage, skipChecks: given["skipChecks"] === true });
    if (stage !== "config") await requireSupported(client, values);
  }
  const identity = stage === "config" ? undefined : await identityMaterial({ given, namespace, values, client, now: Date.now() });
  io.stdout(await render({ values: overrides, ha, stage, identity }));
}

/** The manifests of a default installation, as `check --pre` tries them. */
export async function renderDefaultInstall(namespace: string): Promise<string> {
  const values = { namespace };
  const identity = await identityMaterial({
    given: {},
    namespace,
    values: mergeValues(controlPlaneDefaults(), values),
    client: undefined,
    now: Date.now(),
  });
  return render({ values, ha: false, stage: undefined, identity });
}

type Rendering = { values: Values; ha: boolean; stage: Stage | undefined; identity: IdentityMaterial | undefined };

async function render({ values, ha, stage, identity }: Rendering): Promise<string> {
  try {
    return (await renderControlPlane({ values, ha, stage, identity })).yaml;
  } catch (error) {
    if (error instanceof TemplateError) throw new CliError(error.message);
    throw error;
  }
}
