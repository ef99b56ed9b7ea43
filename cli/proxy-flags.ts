// Flags that `install` and `inject` share: where the proxy listens, what it skips, which images, which resources (spec cli §3, group P).
import { overlay, type Values } from "#chart";
import { parsePortList, parseQuantity } from "#inject";
import { bool, type Flag, type FlagSettings, string, strings, uid, uint } from "./flags.ts";
import { type Io, UsageError } from "./io.ts";

/** What was given of a command's flags, by attribute name. */
export type Given = Readonly<Record<string, unknown>>;

type ProxyFlag = {
  readonly flag: Flag;
  /** Where the value goes in the chart's values. */
  readonly path: string;
  /** The annotation that says the same, without `config.linkerd.io/`. */
  readonly annotation: string;
  /** Says what a wrong value should have been. */
  readonly wrong?: (value: string) => string | undefined;
};

/** Why a value is no list of ports and ranges; undefined when it is one. */
export const isNoPortList = (value: string): string | undefined => {
  const { invalid } = parsePortList(value);
  return invalid.length > 0 ? `${JSON.stringify(invalid[0])} is neither a port nor a range low-high (0 to 65535)` : undefined;
};
const isNoQuantity = (value: string) => ((parseQuantity(value) ?? -1) < 0 ? "expected a quantity, such as 100m or 64Mi" : undefined);
const isNoPullPolicy = (value: string) =>
  ["Always", "IfNotPresent", "Never"].includes(value) ? undefined : "must be one of: Always, IfNotPresent, Never";
const isNoVersion = (value: string) => (/^[.a-zA-Z0-9-]+$/.test(value) ? undefined : "expected letters, digits, '.' and '-'");
const isEmpty = (value: string) => (value === "" ? "must not be empty" : undefined);

/** `warn`, `linkerd=info`, `warn,linkerd_proxy::app=debug`. */
export function isNoProxyLogLevel(value: string): string | undefined {
  const isItem = (item: string) => /^[A-Za-z_][\w:]*(=(trace|debug|info|warn|error))?$/.test(item.trim());
  return value.split(",").every(isItem)
    ? undefined
    : "expected a comma-separated list of level, module or module=level (levels trace, debug, info, warn, error)";
}

/** Flags whose value stands at a path of the chart's values and in an annotation. */
function proxyFlagTable(): ProxyFlag[] {
  const image = { hidden: true } satisfies FlagSettings;
  const port = (name: string, text: string, shown: number): ProxyFlag => ({
    flag: uint(`--${name}-port`, text, { shown: String(shown) }, 65535),
    path: `proxy.ports.${name}`,
    annotation: `${name}-port`,
  });
  const resource = (kind: "cpu" | "memory", bound: "request" | "limit", text: string): ProxyFlag => ({
    flag: string(`--proxy-${kind}-${bound}`, text),
    path: `proxy.resources.${kind}.${bound}`,
    annotation: `proxy-${kind}-${bound}`,
    wrong: isNoQuantity,
  });
  const deprecated = (kind: "cpu" | "memory", text: string): ProxyFlag => ({
    ...resource(kind, "request", text),
    flag: string(`--proxy-${kind}`, text, { deprecated: `use --proxy-${kind}-request instead` }),
  });
  return [
    {
      flag: string("-v, --proxy-version", "Tag to be used for the Linkerd proxy images", image),
      path: "proxy.image.version",
      annotation: "proxy-version",
      wrong: isNoVersion,
    },
    {
      flag: string("--proxy-image", "Linkerd proxy container image name", image),
      path: "proxy.image.name",
      annotation: "proxy-image",
      wrong: isEmpty,
    },
    {
      flag: string("--init-image", "Linkerd init container image name", image),
      path: "proxyInit.image.name",
      annotation: "init-image",
      wrong: isEmpty,
    },
    {
      flag: string("--init-image-version", "Linkerd init container image version", image),
      path: "proxyInit.image.version",
      annotation: "init-image-version",
      wrong: isNoVersion,
    },
    {
      flag: string("--image-pull-policy", "Docker image pull policy", image),
      path: "imagePullPolicy",
      annotation: "image-pull-policy",
      wrong: isNoPullPolicy,
    },
    port("inbound", "Proxy port to use for inbound traffic", 4143),
    port("outbound", "Proxy port to use for outbound traffic", 4140),
    port("control", "Proxy port to use for control", 4190),
    port("admin", "Proxy port to serve metrics on", 4191),
    {
      flag: strings(
        "--skip-inbound-ports",
        "Ports and/or port ranges (inclusive) that should skip the proxy and send directly to the application",
      ),
      path: "proxyInit.ignoreInboundPorts",
      annotation: "skip-inbound-ports",
      wrong: isNoPortList,
    },
    {
      flag: strings("--skip-outbound-ports", "Outbound ports and/or port ranges (inclusive) that should skip the proxy"),
      path: "proxyInit.ignoreOutboundPorts",
      annotation: "skip-outbound-ports",
      wrong: isNoPortList,
    },
    { flag: uid("--proxy-uid", "Run the proxy under this user ID", { shown: "2102" }), path: "proxy.uid", annotation: "proxy-uid" },
    {
      flag: string("--proxy-log-level", "Log level for the proxy", { shown: "warn,linkerd=info" }),
      path: "proxy.logLevel",
      annotation: "proxy-log-level",
      wrong: isNoProxyLogLevel,
    },
    deprecated("cpu", "Amount of CPU units that the proxy sidecar requests"),
    deprecated("memory", "Amount of Memory that the proxy sidecar requests"),
    resource("cpu", "request", "Amount of CPU units that the proxy sidecar requests"),
    resource("cpu", "limit", "Maximum amount of CPU units that the proxy sidecar can use"),
    resource("memory", "request", "Amount of Memory that the proxy sidecar requests"),
    resource("memory", "limit", "Maximum amount of Memory that the proxy sidecar can use"),
    {
      flag: bool("--enable-external-profiles", "Enable service profiles for non-Kubernetes services"),
      path: "proxy.enableExternalProfiles",
      annotation: "enable-external-profiles",
    },
  ];
}

export function proxyFlags(): Flag[] {
  return [...proxyFlagTable().map(({ flag }) => flag), string("--registry", "Registry to pull images from", { shown: "ghcr.io/fairlead" })];
}

/** The given flags of the table with their values. @throws {UsageError} naming the flag */
export function givenProxyFlags(given: Given): { path: string; annotation: string; value: string | number | boolean }[] {
  return proxyFlagTable().flatMap(({ flag, path, annotation, wrong }) => {
    const raw = given[flag.attributeName()];
    if (raw === undefined || raw === false) return [];
    const value = Array.isArray(raw) ? raw.join(",") : (raw as string | number | boolean);
    requireValid(flag.long as string, String(value), wrong);
    return [{ path, annotation, value }];
  });
}

/** @throws {UsageError} `invalid argument "x" for "--flag" flag: why` */
export function requireValid(flag: string, value: string, wrong: ((value: string) => string | undefined) | undefined): void {
  const why = wrong?.(value);
  if (why !== undefined) throw new UsageError(`invalid argument ${JSON.stringify(value)} for "${flag}" flag: ${why}`);
}

/** Images whose registry `--registry` replaces: path in the values, and annotation where there is one. */
const images = [
  { path: "controllerImage" },
  { path: "policyController.image.name" },
  { path: "proxy.image.name", annotation: "proxy-image" },
  { path: "proxyInit.image.name", annotation: "init-image" },
  { path: "debugContainer.image.name", annotation: "debug-image" },
] as const;

/** Image names under the registry of the flag or of `LINKERD_DOCKER_REGISTRY`: everything before a name's last `/` is replaced. */
export function registryImages(given: Given, base: Values, io: Io): { path: string; annotation?: string; value: string }[] {
  const registry = (given["registry"] as string | undefined) ?? io.env["LINKERD_DOCKER_REGISTRY"];
  if (!registry) return [];
  return images.map((image) => ({
    ...image,
    value: `${registry.replace(/\/+$/, "")}/${String(valueAt(base, image.path)).split("/").at(-1)}`,
  }));
}

/** What the given flags of group P and the registry mean, as values of the chart. A CPU limit also gives the proxy that many cores. */
export function proxyValues(given: Given, base: Values, io: Io): Values {
  let values: Values = {};
  for (const { path, value } of registryImages(given, base, io)) values = overlay(values, atPath(path, value));
  for (const { path, value } of givenProxyFlags(given)) values = overlay(values, atPath(path, value));
  const limit = given["proxyCpuLimit"];
  if (typeof limit === "string") values = overlay(values, { proxy: { cores: Math.max(1, Math.ceil(parseQuantity(limit) ?? 1)) } });
  return values;
}

/** `a.b.c` = value, as a mapping. */
export function atPath(path: string, value: unknown): Values {
  return path.split(".").reduceRight<unknown>((inner, key) => ({ [key]: inner }), value) as Values;
}

/** The value at `a.b.c`; undefined where there is none. */
export function valueAt(values: Values, path: string): unknown {
  return path.split(".").reduce<unknown>((at, key) => (typeof at === "object" && at !== null ? (at as Values)[key] : undefined), values);
}
