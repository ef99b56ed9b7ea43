// Renders a chart as `helm template` does: values, templates, manifests in the order of installation.

import { TemplateError } from "./template/errors.ts";
import { type CallContext, execute, PendingValue, type TemplateSet } from "./template/execute.ts";
import { fromYaml, type MakeCertificate, semverMatches, templateFunctions } from "./template/functions.ts";
import { type Node, parseTemplate } from "./template/parse.ts";
import { compareStrings, deepCopy, isMapping, type Mapping, Native } from "./template/value.ts";
import { mergeValues, type Values } from "./values.ts";

/** Files of a chart by their path below its folder. */
export type ChartFiles = Readonly<Record<string, string>>;

export class ChartError extends Error {
  override readonly name = "ChartError";
}

export type RenderOptions = {
  /** Upon the chart's own values; `null` removes one. */
  readonly values?: Values | undefined;
  readonly release?: { readonly name?: string | undefined; readonly namespace?: string | undefined } | undefined;
  /** Default `v1.34.0`. */
  readonly kubeVersion?: string | undefined;
  readonly apiVersions?: readonly string[] | undefined;
  /** Only these templates (paths in the chart, e.g. `templates/identity.yaml`). */
  readonly only?: readonly string[] | undefined;
  readonly now?: Date | undefined;
  /** Makes what `genSelfSignedCert` asks for; without it such a call is an error. */
  readonly makeCertificate?: MakeCertificate | undefined;
};

/** One document of the output. */
export type Manifest = { readonly source: string; readonly kind: string; readonly content: string };

/** Most certificates of one template. */
const maxPending = 64;

/** A chart, parsed once; rendering it again costs no parsing. */
export class Chart {
  readonly name: string;
  readonly version: string;
  readonly defaults: Values;
  readonly #meta: Mapping;
  readonly #files: ChartFiles;
  readonly #named = new Map<string, { file: string; body: readonly Node[] }>();
  readonly #templates: string[] = [];

  /** @throws {ChartError} for a broken Chart.yaml or values.yaml, {TemplateError} for a template that does not parse. */
  constructor(files: ChartFiles) {
    this.#files = files;
    this.#meta = readMapping(files, "Chart.yaml");
    this.name = String(this.#meta["name"] ?? "");
    this.version = String(this.#meta["version"] ?? "");
    if (!this.name) throw new ChartError("Chart.yaml: name: required");
    if (Array.isArray(this.#meta["dependencies"]) && this.#meta["dependencies"].length > 0)
      throw new ChartError(`chart ${this.name}: Chart.yaml: dependencies: not supported by this renderer`);
    this.defaults = "values.yaml" in files ? readMapping(files, "values.yaml") : {};
    const paths = Object.keys(files)
      .filter((path) => path.startsWith("templates/"))
      .sort(compareStrings);
    for (const path of paths) {
      const file = `${this.name}/${path}`;
      const { body, defines } = parseTemplate(file, files[path] as string);
      this.#named.set(file, { file, body });
      for (const [name, define] of defines) this.#named.set(name, { file, body: define });
      const base = path.split("/").at(-1) as string;
      if (!base.startsWith("_") && base !== "NOTES.txt") this.#templates.push(path);
    }
  }

  /**
   * The manifests, in the order Helm installs them.
   * @throws {TemplateError} naming template, line and value; {ChartError}.
   */
  async render(options: RenderOptions = {}): Promise<Manifest[]> {
    const values = mergeValues(this.defaults, options.values ?? {});
    const now = options.now ?? new Date();
    const makeCertificate = options.makeCertificate ?? noCertificates;
    const manifests: Manifest[] = [];
    for (const path of this.#templates) {
      if (options.only && !options.only.includes(path)) continue;
      const source = `${this.name}/${path}`;
      const text = await this.#settle(source, { now, makeCertificate }, (set) =>
        execute(set, source, { ...this.#data(options, deepCopy(values)), Template: { Name: source, BasePath: `${this.name}/templates` } }),
      );
      for (const content of documents(text)) manifests.push({ source, kind: kindOfManifest(content, source), content });
    }
    return sortManifests(manifests);
  }

  /** One named template over the chart's data with these values, not merged with the defaults; for partials that are used apart. */
  include(name: string, values: Values, { now = new Date(), more = {} }: { now?: Date; more?: Mapping } = {}): string {
    const set = this.#set({ now, makeCertificate: noCertificates, made: new Map() });
    return execute(set, name, { ...this.#data({ values: undefined }, values), ...more });
  }

  /** Runs a template again each time a certificate that it wants has been made; everything else of it stays the same. */
  async #settle(
    source: string,
    options: { now: Date; makeCertificate: MakeCertificate },
    work: (set: TemplateSet) => string,
  ): Promise<string> {
    const made = new Map<string, unknown>();
    for (let round = 0; round < maxPending; round++) {
      try {
        return work(this.#set({ ...options, made }));
      } catch (error) {
        if (!(error instanceof PendingValue)) throw error;
        made.set(error.key, await error.make());
      }
    }
    throw new ChartError(`${source}: more than ${maxPending} certificates`);
  }

  #data(options: RenderOptions, values: Values): Mapping {
    const version = options.kubeVersion ?? "v1.34.0";
    const [, major = "", minor = ""] = /^v?(\d+)\.(\d+)/.exec(version) ?? [];
    return {
      Values: values,
      Chart: Object.fromEntries(
        Object.entries(this.#meta).map(([key, value]) => [
          key === "apiVersion" ? "APIVersion" : key[0]?.toUpperCase() + key.slice(1),
          value,
        ]),
      ),
      Release: {
        Name: options.release?.name ?? "release-name",
        Namespace: options.release?.namespace ?? "default",
        Service: "Helm",
        IsInstall: true,
        IsUpgrade: false,
        Revision: 1,
      },
      Capabilities: {
        KubeVersion: { Version: version, GitVersion: version, Major: major, Minor: minor },
        APIVersions: new ApiVersions(options.apiVersions ?? []),
        HelmVersion: { Version: "v3" },
      },
      Files: new ChartFileAccess(this.#files),
    };
  }

  #set(options: Parameters<typeof templateFunctions>[0]): TemplateSet {
    const functions = templateFunctions(options);
    const make = (named: TemplateSet["named"]): TemplateSet => ({
      named,
      functions,
      extend: (text) => {
        const entry = `${this.name}/tpl`;
        const { body, defines } = parseTemplate(entry, text);
        const extended = new Map(named);
        extended.set(entry, { file: entry, body });
        for (const [name, define] of defines) extended.set(name, { file: entry, body: define });
        return { ...make(extended), entry };
      },
    });
    return make(this.#named);
  }
}

/** The manifests as one text, each with the comment that names its template. */
export function printManifests(manifests: readonly Manifest[]): string {
  return manifests.map(({ source, content }) => `---\n# Source: ${source}\n${content}\n`).join("");
}

const noCertificates: MakeCertificate = () => Promise.reject(new ChartError("genSelfSignedCert: no maker of certificates was given"));

function readMapping(files: ChartFiles, path: string): Mapping {
  const text = files[path];
  if (text === undefined) throw new ChartError(`${path}: missing from the chart`);
  let value: unknown;
  try {
    value = fromYaml(text);
  } catch (error) {
    throw new ChartError(`${path}: ${(error as Error).message.split("\n")[0]}`);
  }
  if (value === null) return {};
  if (!isMapping(value)) throw new ChartError(`${path}: expected a mapping`);
  return value;
}

/** Helm's split: documents without their separators and surrounding white space; empty ones are left out. */
function documents(text: string): string[] {
  return text
    .trim()
    .split(/(?:^|\s*\n)---\s*/)
    .map((one) => one.trim())
    .filter((one) => one !== "");
}

function kindOfManifest(content: string, source: string): string {
  let parsed: unknown;
  try {
    parsed = fromYaml(content);
  } catch (error) {
    throw new TemplateError({ template: source, line: 1, message: `the result is not YAML: ${(error as Error).message.split("\n")[0]}` });
  }
  if (parsed === null) return "";
  if (!isMapping(parsed)) throw new TemplateError({ template: source, line: 1, message: "the result is not a mapping" });
  return typeof parsed["kind"] === "string" ? parsed["kind"] : "";
}

// Helm's InstallOrder; other kinds come last, by name.
const installOrder = [
  "PriorityClass",
  "Namespace",
  "NetworkPolicy",
  "ResourceQuota",
  "LimitRange",
  "PodSecurityPolicy",
  "PodDisruptionBudget",
  "ServiceAccount",
  "Secret",
  "SecretList",
  "ConfigMap",
  "StorageClass",
  "PersistentVolume",
  "PersistentVolumeClaim",
  "CustomResourceDefinition",
  "ClusterRole",
  "ClusterRoleList",
  "ClusterRoleBinding",
  "ClusterRoleBindingList",
  "Role",
  "RoleList",
  "RoleBinding",
  "RoleBindingList",
  "Service",
  "DaemonSet",
  "Pod",
  "ReplicationController",
  "ReplicaSet",
  "Deployment",
  "HorizontalPodAutoscaler",
  "StatefulSet",
  "Job",
  "CronJob",
  "IngressClass",
  "Ingress",
  "APIService",
  "MutatingWebhookConfiguration",
  "ValidatingWebhookConfiguration",
];
const rank = new Map(installOrder.map((kind, index) => [kind, index]));

function sortManifests(manifests: Manifest[]): Manifest[] {
  return [...manifests].sort((a, b) => {
    const x = rank.get(a.kind) ?? installOrder.length;
    const y = rank.get(b.kind) ?? installOrder.length;
    return x !== y ? x - y : x === installOrder.length ? compareStrings(a.kind, b.kind) : 0;
  });
}

class ApiVersions extends Native {
  readonly typeName = "chartutil.VersionSet";
  readonly #versions: readonly string[];
  constructor(versions: readonly string[]) {
    super();
    this.#versions = versions;
  }
  member(name: string): unknown {
    return name === "Has" ? (version: string) => this.#versions.includes(version) : undefined;
  }
}

class ChartFileAccess extends Native {
  readonly typeName = "engine.files";
  readonly #files: ChartFiles;
  constructor(files: ChartFiles) {
    super();
    this.#files = files;
  }
  member(name: string): unknown {
    // Templates and the chart's own description are not reachable this way.
    const get = (path: string) =>
      path.startsWith("templates/") || path === "Chart.yaml" || path === "values.yaml"
        ? ""
        : Object.hasOwn(this.#files, path)
          ? (this.#files[path] as string)
          : "";
    if (name === "Get") return get;
    if (name === "Lines") return (path: string) => get(path).split("\n");
    return undefined;
  }
}

export type { CallContext };
export { semverMatches };
