// Flags that `install` and `inject` share: where the proxy listens, what it skips, which images, which resources (spec cli §3, groups P and V).
import { readFileSync } from "node:fs";
import { type Command, Option } from "commander";
import { overlay, readValues, type Values, ValuesError } from "#chart";
import { CliError, type Io, UsageError } from "./io.ts";

type Flag = {
  readonly flags: string;
  readonly text: string;
  /** Shown in help. */
  readonly shown?: string;
  readonly hidden?: boolean;
  /** Where the value goes in the chart's values. */
  readonly path: string;
  /** The annotation that says the same, without its prefix; absent: there is none. */
  readonly annotation?: string;
  readonly kind: "string" | "port" | "ports" | "bool" | "quantity" | "uid";
};

/** Group P. */
export const proxyFlags: readonly Flag[] = [
  { flags: "-v, --proxy-version <string>", text: "Tag to be used for the Linkerd proxy images", hidden: true, path: "proxy.image.version", annotation: "proxy-version", kind: "string" },
  { flags: "--proxy-image <string>", text: "Linkerd proxy container image name", hidden: true, path: "proxy.image.name", annotation: "proxy-image", kind: "string" },
  { flags: "--init-image <string>", text: "Linkerd init container image name", hidden: true, path: "proxyInit.image.name", annotation: "init-image", kind: "string" },
  { flags: "--init-image-version <string>", text: "Linkerd init container image version", hidden: true, path: "proxyInit.image.version", annotation: "init-image-version", kind: "string" },
  { flags: "--image-pull-policy <string>", text: "Docker image pull policy", hidden: true, path: "imagePullPolicy", annotation: "image-pull-policy", kind: "string" },
  { flags: "--inbound-port <uint>", text: "Proxy port to use for inbound traffic", shown: "4143", path: "proxy.ports.inbound", annotation: "inbound-port", kind: "port" },
  { flags: "--outbound-port <uint>", text: "Proxy port to use for outbound traffic", shown: "4140", path: "proxy.ports.outbound", annotation: "outbound-port", kind: "port" },
  { flags: "--control-port <uint>", text: "Proxy port to use for control", shown: "4190", path: "proxy.ports.control", annotation: "control-port", kind: "port" },
  { flags: "--admin-port <uint>", text: "Proxy port to serve metrics on", shown: "4191", path: "proxy.ports.admin", annotation: "admin-port", kind: "port" },
  { flags: "--skip-inbound-ports <strings>", text: "Ports and/or port ranges (inclusive) that should skip the proxy and send directly to the application", path: "proxyInit.ignoreInboundPorts", annotation: "skip-inbound-ports", kind: "ports" },
  { flags: "--skip-outbound-ports <strings>", text: "Outbound ports and/or port ranges (inclusive) that should skip the proxy", path: "proxyInit.ignoreOutboundPorts", annotation: "skip-outbound-ports", kind: "ports" },
  { flags: "--proxy-uid <int>", text: "Run the proxy under this user ID", shown: "2102", path: "proxy.uid", annotation: "proxy-uid", kind: "uid" },
  { flags: "--proxy-log-level <string>", text: "Log level for the proxy", shown: "warn,linkerd=info", path: "proxy.logLevel", annotation: "proxy-log-level", kind: "string" },
  { flags: "--proxy-cpu-request <string>", text: "Amount of CPU units that the proxy sidecar requests", path: "proxy.resources.cpu.request", annotation: "proxy-cpu-request", kind: "quantity" },
  { flags: "--proxy-cpu-limit <string>", text: "Maximum amount of CPU units that the proxy sidecar can use", path: "proxy.resources.cpu.limit", annotation: "proxy-cpu-limit", kind: "quantity" },
  { flags: "--proxy-memory-request <string>", text: "Amount of Memory that the proxy sidecar requests", path: "proxy.resources.memory.request", annotation: "proxy-memory-request", kind: "quantity" },
  { flags: "--proxy-memory-limit <string>", text: "Maximum amount of Memory that the proxy sidecar can use", path: "proxy.resources.memory.limit", annotation: "proxy-memory-limit", kind: "quantity" },
  { flags: "--enable-external-profiles", text: "Enable service profiles for non-Kubernetes services", path: "proxy.enableExternalProfiles", annotation: "enable-external-profiles", kind: "bool" },
];

const registryFlag = "--registry <string>";

export function addProxyFlags(command: Command): Command {
  for (const flag of proxyFlags) {
    const option = new Option(flag.flags, flag.shown === undefined ? flag.text : `${flag.text} (default ${flag.shown})`);
    if (flag.hidden) option.hideHelp();
    command.addOption(option);
  }
  return command.option(registryFlag, "Registry to pull images from");
}

/** What was given of the flags, by attribute name. */
export type Given = Readonly<Record<string, unknown>>;

/** The given flags with their values, checked. @throws {CliError} naming the flag */
export function givenProxyFlags(given: Given): { flag: Flag; value: string | number | boolean }[] {
  return proxyFlags.flatMap((flag) => {
    const value = given[attribute(flag.flags)];
    return value === undefined || value === false ? [] : [{ flag, value: check(flag, value) }];
  });
}

function attribute(flags: string): string {
  return new Option(flags).attributeName();
}

function check(flag: Flag, value: unknown): string | number | boolean {
  const name = new Option(flag.flags).long ?? flag.flags;
  const text = String(value);
  switch (flag.kind) {
    case "bool":
      return true;
    case "port":
    case "uid": {
      const highest = flag.kind === "port" ? 65535 : 2 ** 31 - 1;
      if (!/^\d+$/.test(text) || Number(text) > highest) throw new UsageError(`invalid argument "${text}" for "${name}" flag: expected a whole number up to ${highest}`);
      return Number(text);
    }
    case "ports":
      for (const part of text.split(",")) {
        const [low = "", high = low] = part.trim().split("-");
        if (![low, high].every((port) => /^\d+$/.test(port) && Number(port) <= 65535) || Number(low) > Number(high))
          throw new CliError(`${name}: "${part}" is not a valid port or port range (low-high, up to 65535)`);
      }
      return text;
    case "quantity":
      if (!/^\d+(\.\d+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$/.test(text)) throw new CliError(`${name}: "${text}" is not a quantity, such as 100m or 64Mi`);
      return text;
    case "string":
      if (text === "") throw new CliError(`${name} must not be empty`);
      return text;
    default:
      return flag.kind satisfies never;
  }
}

/** `a.b.c` = value, as a mapping. */
export function atPath(path: string, value: unknown): Values {
  return path.split(".").reduceRight<unknown>((inner, key) => ({ [key]: inner }), value) as Values;
}

/** Values of the chart that the given flags of group P mean. A CPU limit also gives the proxy that many cores. */
export function proxyValues(given: Given, io: Io): Values {
  let values: Values = {};
  for (const { flag, value } of givenProxyFlags(given)) values = overlay(values, atPath(flag.path, value));
  const limit = given["proxyCpuLimit"];
  if (typeof limit === "string") {
    const cores = limit.endsWith("m") ? Number(limit.slice(0, -1)) / 1000 : Number(limit);
    values = overlay(values, { proxy: { cores: Math.ceil(cores) } });
  }
  const registry = (given["registry"] as string | undefined) ?? io.env["LINKERD_DOCKER_REGISTRY"];
  if (registry) {
    for (const path of ["controllerImage", "policyController.image.name", "proxy.image.name", "proxyInit.image.name"])
      values = overlay(values, atPath(path, `${registry}/fairlead`));
    values = overlay(values, { debugContainer: { image: { name: `${registry}/debug` } } });
  }
  return values;
}

/** Group V. */
export function addValueFlags(command: Command): Command {
  const several = (value: string, before: string[]) => [...before, value];
  return command
    .addOption(new Option("-f, --values <strings>", "Specify values in a YAML file or a URL (can specify multiple)").argParser((value: string, before: string[]) => [...before, ...value.split(",")]).default([]))
    .addOption(new Option("--set <stringArray>", "Set values on the command line (can specify multiple or separate values with commas: key1=val1,key2=val2)").argParser(several).default([]))
    .addOption(new Option("--set-string <stringArray>", "Set STRING values on the command line").argParser(several).default([]))
    .addOption(new Option("--set-file <stringArray>", "Set values from respective files specified via the command line").argParser(several).default([]));
}

/** @throws {CliError} naming the flag or file and the key */
export async function givenValues(given: Given): Promise<Values> {
  const list = (name: string) => (given[name] as string[] | undefined) ?? [];
  try {
    const files = await Promise.all(list("values").map(async (name) => ({ name, text: await readSource(name) })));
    return readValues({ files, set: list("set"), setString: list("setString"), setFile: list("setFile"), readFile: (path) => readFileSync(path, "utf8") });
  } catch (error) {
    if (error instanceof ValuesError) throw new CliError(error.message);
    throw error;
  }
}

async function readSource(name: string): Promise<string> {
  if (/^https?:\/\//.test(name)) {
    const response = await fetch(name).catch((error: Error) => {
      throw new CliError(`--values ${name}: ${error.message}`);
    });
    if (!response.ok) throw new CliError(`--values ${name}: server reported ${response.status}`);
    return response.text();
  }
  try {
    return readFileSync(name, "utf8");
  } catch (error) {
    throw new CliError(`--values ${name}: ${(error as Error).message}`);
  }
}
