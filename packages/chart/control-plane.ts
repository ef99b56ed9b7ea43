// The control plane's manifests: what `fairlead install` prints, from the same chart that Helm installs.
import { generateWebhookCertificate } from "#identity";
import { VERSION } from "#version";
import { controlPlaneFiles } from "./embedded.ts";
import { Chart, type Manifest, printManifests } from "./render.ts";
import { fromYaml } from "./template/functions.ts";
import { toYaml } from "./template/go-yaml.ts";
import { deepCopy, isMapping } from "./template/value.ts";
import { differenceOf, mergeValues, overlay, type Values } from "./values.ts";

export type Stage = "config" | "control-plane";

export type ControlPlaneOptions = {
  /** Upon the chart's defaults: those of flags, then of `--set` and its like ({@link overlay} joins two). `null` removes a default. */
  readonly values?: Values | undefined;
  /** Lays values-ha.yaml below `values`. */
  readonly ha?: boolean | undefined;
  /** Anchor and issuer, as PEM. Absent: `values` must have them, or name an external issuer. */
  readonly identity?: { readonly trustAnchorsPem: string; readonly issuerCertPem: string; readonly issuerKeyPem: string } | undefined;
  /** Value of `linkerd.io/created-by`; default `linkerd/cli <version>`. */
  readonly createdBy?: string | undefined;
  /** Only the cluster-wide objects, or only the rest; absent: everything. */
  readonly stage?: Stage | undefined;
  /** Adds Secret `linkerd-config-overrides` (spec control-plane §8.4). Default true, except in stage `config`. */
  readonly overridesSecret?: boolean | undefined;
  readonly kubeVersion?: string | undefined;
  readonly now?: Date | undefined;
};

export type ControlPlane = {
  readonly manifests: readonly Manifest[];
  /** The manifests as one YAML stream for `kubectl apply -f -`. */
  readonly yaml: string;
  /** Effective values. */
  readonly values: Values;
  /** What differs from the chart's defaults. */
  readonly overrides: Values;
};

const configTemplates = [
  "namespace",
  "identity-rbac",
  "destination-rbac",
  "heartbeat-rbac",
  "policy-crd",
  "serviceprofile-crd",
  "trafficsplit-crd",
  "proxy-injector-rbac",
  "psp",
].map((name) => `templates/${name}.yaml`);
const controlPlaneTemplates = ["config", "identity", "destination", "heartbeat", "proxy-injector"].map((name) => `templates/${name}.yaml`);

/** The chart as this executable carries it. Each call parses it anew; keep it when rendering often. */
export function controlPlaneChart(): Chart {
  return new Chart(controlPlaneFiles);
}

/** The chart's default values, with values-ha.yaml upon them when asked. */
export function controlPlaneDefaults({ ha = false }: { ha?: boolean } = {}): Values {
  const defaults = fromYaml(controlPlaneFiles["values.yaml"] as string) as Values;
  return ha ? mergeValues(defaults, highAvailabilityValues()) : defaults;
}

export function highAvailabilityValues(): Values {
  return fromYaml(controlPlaneFiles["values-ha.yaml"] as string) as Values;
}

/**
 * Renders the control plane.
 * @throws {TemplateError} naming template, line and the value that is missing or wrong.
 */
export async function renderControlPlane(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
  const { ha = false, identity, stage, now = new Date() } = options;
  let overrides: Values = ha ? highAvailabilityValues() : {};
  overrides = overlay(overrides, { cliVersion: options.createdBy ?? `linkerd/cli ${VERSION}` });
  if (identity)
    overrides = overlay(overrides, {
      identityTrustAnchorsPEM: identity.trustAnchorsPem,
      identity: { issuer: { tls: { crtPEM: identity.issuerCertPem, keyPEM: identity.issuerKeyPem } } },
    });
  overrides = overlay(overrides, options.values ?? {});
  const chart = controlPlaneChart();
  const values = mergeValues(chart.defaults, overrides);
  const only = stage === "config" ? configTemplates : stage === "control-plane" ? controlPlaneTemplates : undefined;
  const rendered = await chart.render({
    values: stage ? overlay(overrides, { stage }) : overrides,
    only,
    now,
    kubeVersion: options.kubeVersion,
    release: { name: "fairlead", namespace: String(values["namespace"] ?? "linkerd") },
    makeCertificate: ({ commonName, dnsNames, days, keyPem }) =>
      generateWebhookCertificate({ commonName, dnsNames, validityDays: days, keyPem, now }),
  });
  const difference = differenceOf(values, chart.defaults);
  for (const key of ["configs", "partials", "stage"]) delete difference[key];
  const manifests = [...rendered];
  if (options.overridesSecret ?? stage !== "config") manifests.push(overridesSecretManifest(difference, values));
  return { manifests, yaml: printManifests(manifests), values, overrides: difference };
}

function overridesSecretManifest(overrides: Values, values: Values): Manifest {
  const namespace = String(values["namespace"]);
  const secret = {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: "linkerd-config-overrides", namespace, labels: { "linkerd.io/control-plane-ns": namespace } },
    data: { "linkerd-config-overrides": Buffer.from(`${toYaml(overrides)}\n`).toString("base64") },
  };
  return { source: "fairlead-control-plane/linkerd-config-overrides", kind: "Secret", content: toYaml(secret) };
}

/** A copy of `values` that may be changed. */
export function copyValues(values: Values): Values {
  const copy: unknown = deepCopy(values);
  return isMapping(copy) ? copy : {};
}
