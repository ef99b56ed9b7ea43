// The embedded cluster's settings: flags over the state directory's config.yaml over defaults, each value checked. And where its files are.
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { isAbsolute, join, resolve } from "node:path";
import { parse, stringify } from "yaml";
import { IMAGE_ENVIRONMENT } from "#image";
import { isDnsLabel, isDnsSubdomain } from "#kube";
import { defaultPlan, formatIpv4, parseCidr, planNetwork } from "./network/index.ts";
import { type ImageEntry, ImageTable } from "./node/images.ts";

export interface ClusterConfig {
  /** DNS label; names of links and network namespaces derive from it. Default `fairlead`. */
  name: string;
  /** Absolute path. Default `~/.fairlead/local/NAME`. */
  stateDir: string;
  /** Port of the API server, which listens on the machine's end of the link to the node and nowhere else. Default 6443. */
  apiPort: number;
  /** Default 10.244.0.0/24, one address per pod. */
  podCidr: string;
  /** Default 10.96.0.0/16. */
  serviceCidr: string;
  /** Link between machine and node. Default 10.250.0.0/30. */
  linkCidr: string;
  /** Default `cluster.local`. */
  clusterDomain: string;
  /** The user's own entries of the image table. */
  images: Record<string, ImageEntry>;
}

/** A setting that cannot be used; the message names the field. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

/** What a user may set, as flags or in config.yaml, before it is checked. */
export type Settings = Partial<Record<"name" | "podCidr" | "serviceCidr" | "linkCidr" | "clusterDomain", string>> & {
  apiPort?: number | string;
  images?: Record<string, ImageEntry>;
};

export const defaultName = "fairlead";
export const defaultApiPort = 6443;
const defaultDomain = "cluster.local";
/** A Unix socket's path holds 107 bytes; the longest below the state directory takes some of them. */
const maxStateDirBytes = 80;
/** Offset of the DNS service in the service network, as everywhere in Kubernetes. */
const dnsOffset = 10;
const textFields = ["name", "podCidr", "serviceCidr", "linkCidr", "clusterDomain"] as const;
/** Baked into certificates and objects when the cluster is made. */
const fixedFields = ["name", "podCidr", "serviceCidr", "linkCidr", "clusterDomain"] as const;

/** Where the cluster keeps what; all below the state directory. */
export function layout(stateDir: string) {
  const at = (...parts: string[]) => join(stateDir, ...parts);
  return {
    config: at("config.yaml"),
    images: at("images.yaml"),
    /** For the user; cluster administrator. */
    kubeconfig: at("kubeconfig"),
    pki: at("pki"),
    /** The API server's database. */
    data: at("data"),
    /** The node agent's: pods, addresses, socket. */
    node: at("node"),
    kubeletSocket: at("node", "kubelet.sock"),
    controllersKubeconfig: at("pki", "controllers.kubeconfig"),
    nodeKubeconfig: at("pki", "node.kubeconfig"),
    logs: at("logs"),
    /** Who supervises, and what it runs. */
    record: at("supervisor.json"),
  };
}

/** Names in the state directory that belong to a cluster: what `reset` removes. */
export const ownedNames = ["config.yaml", "images.yaml", "kubeconfig", "pki", "data", "node", "logs", "supervisor.json"] as const;

/**
 * The state directory: the flag, else `FAIRLEAD_LOCAL_DIR`, else below the home directory.
 * @throws {ConfigError}
 */
export function stateDirOf({
  name = defaultName,
  stateDir,
  env,
}: {
  name?: string | undefined;
  stateDir?: string | undefined;
  env: Record<string, string | undefined>;
}): string {
  checkName(name);
  const chosen = stateDir ?? (env["FAIRLEAD_LOCAL_DIR"] || undefined);
  if (chosen === "") throw new ConfigError("stateDir: must not be empty");
  let path = chosen === undefined ? undefined : resolve(chosen);
  if (path === undefined) {
    const home = env["HOME"];
    if (!home || !isAbsolute(home))
      throw new ConfigError("stateDir: HOME is not set; name a directory with --state-dir or FAIRLEAD_LOCAL_DIR");
    path = join(home, ".fairlead", "local", name);
  }
  if (Buffer.byteLength(path) > maxStateDirBytes)
    throw new ConfigError(`stateDir: ${path} is longer than ${maxStateDirBytes} bytes, which the sockets in it do not allow`);
  return path;
}

/**
 * Joins flags with what the cluster was made with.
 * @throws {ConfigError} naming the field of the first value that cannot be used, and for a change of what cannot be changed any more.
 */
export function resolveConfig({ flags, stateDir }: { flags: Settings; stateDir: string }): ClusterConfig {
  const { config: file, kubeconfig } = layout(stateDir);
  const known = existsSync(file) ? readSettings(file) : {};
  // A first start that failed has made nothing yet that depends on a setting.
  for (const field of existsSync(kubeconfig) ? fixedFields : []) {
    const wanted = flags[field];
    const made = known[field];
    if (wanted !== undefined && made !== undefined && wanted !== made)
      throw new ConfigError(
        `${field}: the cluster in ${stateDir} was made with ${made}; run "fairlead local reset" before starting it with ${wanted}`,
      );
  }
  return checkConfig({ ...known, ...flags, images: { ...known.images, ...flags.images } }, stateDir);
}

/** @throws {ConfigError} naming the file when there is none or a value is wrong. */
export function loadConfig(stateDir: string): ClusterConfig {
  const { config: file } = layout(stateDir);
  if (!existsSync(file)) throw new ConfigError(`${file}: there is no cluster in ${stateDir}`);
  return checkConfig(readSettings(file), stateDir);
}

/** @throws {ConfigError} naming the field. */
export function checkConfig(settings: Settings, stateDir: string): ClusterConfig {
  const name = settings.name ?? defaultName;
  checkName(name);
  const apiPort = Number(settings.apiPort ?? defaultApiPort);
  if (!Number.isInteger(apiPort) || apiPort < 1 || apiPort > 65_535)
    throw new ConfigError(`apiPort: ${JSON.stringify(settings.apiPort)} is not a port between 1 and 65535`);
  const clusterDomain = settings.clusterDomain ?? defaultDomain;
  if (!isDnsSubdomain(clusterDomain)) throw new ConfigError(`clusterDomain: ${JSON.stringify(clusterDomain)} is not a DNS domain`);
  const { podCidr = defaultPlan.podCidr, serviceCidr = defaultPlan.serviceCidr, linkCidr = defaultPlan.linkCidr } = settings;
  try {
    planNetwork({ cluster: name, podCidr, serviceCidr, linkCidr });
    if (parseCidr(serviceCidr, "serviceCidr").length > 27) throw new RangeError(`serviceCidr: ${serviceCidr} is smaller than a /27`);
    new ImageTable(settings.images ?? {});
  } catch (error) {
    throw new ConfigError((error as Error).message);
  }
  return { name, stateDir, apiPort, podCidr, serviceCidr, linkCidr, clusterDomain, images: settings.images ?? {} };
}

/** Writes config.yaml and images.yaml. */
export function saveConfig(config: ClusterConfig, program: Program): void {
  const { config: file, images } = layout(config.stateDir);
  mkdirSync(config.stateDir, { recursive: true, mode: 0o711 });
  const { stateDir: _, ...settings } = config;
  replaceFile(
    file,
    `# Settings of the embedded cluster; see cluster/README.md. All but apiPort and images are fixed once the cluster was made.\n${stringify(settings)}`,
  );
  replaceFile(
    images,
    `# Written by "fairlead local start". Entries of your own: "images" in config.yaml, or --image NAME=COMMAND.\n${stringify({ images: { ...defaultImages(program), ...config.images } })}`,
  );
}

/** Addresses that follow from the networks. */
export function addressesOf(config: ClusterConfig): { host: string; node: string; apiService: string; dns: string } {
  const plan = planNetwork({ cluster: config.name, podCidr: config.podCidr, serviceCidr: config.serviceCidr, linkCidr: config.linkCidr });
  const services = parseCidr(config.serviceCidr);
  return {
    host: plan.hostAddress,
    node: plan.nodeAddress,
    apiService: formatIpv4(services.base + 1),
    dns: formatIpv4(services.base + dnsOffset),
  };
}

export function apiUrl(config: ClusterConfig): string {
  return `https://${addressesOf(config).host}:${config.apiPort}`;
}

/** How this same program is started. */
export interface Program {
  /** Argument vector before the role. */
  argv: string[];
  /** The checkout it runs from; absent for the compiled executable. */
  checkout?: string;
}

/** The executable that runs now: from a checkout Bun with main.ts, compiled itself. */
export function thisProgram({
  execPath = process.execPath,
  moduleDir = import.meta.dir,
}: {
  execPath?: string;
  moduleDir?: string;
} = {}): Program {
  // Compiled programs carry their modules in a file system of their own.
  if (moduleDir.startsWith("/$bunfs")) return { argv: [execPath] };
  const checkout = resolve(moduleDir, "..");
  return { argv: [execPath, join(checkout, "main.ts")], checkout };
}

/** Where the product's executable stands in its image. */
const imageExecutable = "/usr/local/bin/fairlead";
/** Where the sample's stands: its probes run it. */
const sampleExecutable = "/usr/local/bin/emojivoto";
const productImages = ["ghcr.io/fairlead/fairlead"] as const;
const samplePrograms = ["emojivoto-emoji-svc", "emojivoto-voting-svc", "emojivoto-web", "emojivoto-vote-bot", "emojivoto-load"] as const;
/** The sample's images by our name and by the name that the tutorials use. */
const sampleRegistries = ["ghcr.io/fairlead", "docker.l5d.io/buoyantio"] as const;

/** Images that every cluster knows: the product's, and the sample's where its programs are at hand. */
export function defaultImages({ argv, checkout }: Program): Record<string, ImageEntry> {
  const images: Record<string, ImageEntry> = {};
  for (const image of productImages)
    images[image] = { command: [...argv], commands: { [imageExecutable]: [...argv] }, env: { ...IMAGE_ENVIRONMENT } };
  const sample =
    checkout === undefined ? sampleBeside(argv[0] as string) : [argv[0] as string, join(checkout, "examples/emojivoto/main.ts")];
  if (sample) {
    for (const registry of sampleRegistries) {
      for (const program of samplePrograms)
        images[`${registry}/${program}`] = { command: [...sample, program], commands: { [sampleExecutable]: sample } };
    }
  }
  return images;
}

/** `npm run build` puts the sample beside the product. */
function sampleBeside(executable: string): string[] | undefined {
  const sample = join(executable, "..", "emojivoto");
  return existsSync(sample) ? [sample] : undefined;
}

/**
 * `NAME=COMMAND`: COMMAND is words separated by spaces, or a JSON list where an argument has spaces.
 * @throws {ConfigError}
 */
export function parseImageFlag(text: string): [name: string, entry: ImageEntry] {
  const at = text.indexOf("=");
  const name = text.slice(0, at).trim();
  const rest = text.slice(at + 1).trim();
  if (at <= 0 || name === "" || rest === "" || /\s/.test(name)) throw new ConfigError(`image: ${JSON.stringify(text)} is not NAME=COMMAND`);
  if (!rest.startsWith("[")) return [name, { command: rest.split(/\s+/) }];
  try {
    const command: unknown = JSON.parse(rest);
    if (Array.isArray(command) && command.length > 0 && command.every((word) => typeof word === "string")) return [name, { command }];
  } catch {
    // Told below.
  }
  throw new ConfigError(`image: ${JSON.stringify(text)}: the command is neither words nor a JSON list of strings`);
}

function checkName(name: string): void {
  if (!isDnsLabel(name))
    throw new ConfigError(`name: ${JSON.stringify(name)} is not a DNS label (lower-case letters, digits, "-", at most 63)`);
}

function readSettings(file: string): Settings {
  let document: unknown;
  try {
    document = parse(readFileSync(file, "utf8")) ?? {};
  } catch (error) {
    throw new ConfigError(`${file}: ${(error as Error).message.split("\n")[0]}`);
  }
  if (typeof document !== "object" || document === null || Array.isArray(document)) throw new ConfigError(`${file}: must be a mapping`);
  const settings: Record<string, unknown> = {};
  for (const [field, value] of Object.entries(document as Record<string, unknown>)) {
    if (field === "images") {
      if (value === null) continue;
      try {
        ImageTable.parse(stringify({ images: value }), `${file}: images`);
      } catch (error) {
        throw new ConfigError((error as Error).message);
      }
    } else if (field === "apiPort") {
      if (typeof value !== "number") throw new ConfigError(`${file}: apiPort: must be a number`);
    } else if ((textFields as readonly string[]).includes(field)) {
      if (typeof value !== "string") throw new ConfigError(`${file}: ${field}: must be a string`);
    } else throw new ConfigError(`${file}: unknown field ${field}; known are ${[...textFields, "apiPort", "images"].join(", ")}`);
    settings[field] = value;
  }
  return settings as Settings;
}

/** Never half written: whoever reads sees the old or the new text. */
export function replaceFile(path: string, text: string, mode = 0o644): void {
  const partial = `${path}.${process.pid}.new`;
  writeFileSync(partial, text, { mode });
  renameSync(partial, path);
}
