// From the flags of `install` to values of the chart, and what values must hold (spec cli §3.6).
import { readFileSync } from "node:fs";
import { overlay, readValues, type Values, ValuesError } from "#chart";
import { isCidr, parseQuantity } from "#inject";
import { isDnsSubdomain } from "#kube";
import { CliError, type Io, readUrl, UsageError } from "../io.ts";
import { atPath, type Given, isNoProxyLogLevel, proxyValues, valueAt } from "../proxy-flags.ts";

const CONTROLLER_LOG_LEVELS = ["panic", "fatal", "error", "warn", "info", "debug"];

/** Flags that only put their value somewhere; booleans count when they are on. */
const plainFlags: Readonly<Record<string, string>> = {
  linkerdCniEnabled: "cniEnabled",
  clusterDomain: "clusterDomain",
  identityTrustDomain: "identityTrustDomain",
  identityExternalCa: "identity.externalCA",
  controllerLogLevel: "controllerLogLevel",
  controllerReplicas: "controllerReplicas",
  controllerUid: "controllerUID",
  disableHeartbeat: "disableHeartBeat",
  controlPlaneTracing: "controlPlaneTracing",
  controlPlaneTracingNamespace: "controlPlaneTracingNamespace",
  identityIssuanceLifetime: "identity.issuer.issuanceLifetime",
  identityClockSkewAllowance: "identity.issuer.clockSkewAllowance",
  enableEndpointSlices: "enableEndpointSlices",
};

/** Values that the dedicated flags mean. `base`: the chart's defaults. @throws {UsageError} naming the flag */
export function flagValues(given: Given, base: Values, io: Io): Values {
  let values = proxyValues(given, base, io);
  for (const [attribute, path] of Object.entries(plainFlags)) {
    const value = given[attribute];
    if (value !== undefined && value !== false) values = overlay(values, atPath(path, value));
  }
  if (given["disableH2Upgrade"] === true) values = overlay(values, { enableH2Upgrade: false });
  if (given["identityExternalIssuer"] === true) values = overlay(values, atPath("identity.issuer.scheme", "kubernetes.io/tls"));
  const version = given["controlPlaneVersion"] as string | undefined;
  if (version !== undefined) {
    if (!/^[.a-zA-Z0-9-]+$/.test(version))
      throw new UsageError(`--control-plane-version: ${JSON.stringify(version)} is not a valid version`);
    values = overlay(values, { controllerImageVersion: version, linkerdVersion: version });
  }
  return values;
}

/** Values of `--values`, `--set` and its like: they win over the dedicated flags. @throws {CliError} naming the flag or file and the key */
export async function givenValues(given: Given): Promise<Values> {
  const list = (name: string) => (given[name] as string[] | undefined) ?? [];
  try {
    const files = await Promise.all(list("values").map(async (name) => ({ name: `--values ${name}`, text: await readSource(name) })));
    return readValues({
      files,
      set: list("set"),
      setString: list("setString"),
      setFile: list("setFile"),
      readFile: (path) => readFileSync(path, "utf8"),
    });
  } catch (error) {
    if (error instanceof ValuesError) throw new CliError(error.message);
    throw error;
  }
}

async function readSource(name: string): Promise<string> {
  try {
    return /^https?:\/\//.test(name) ? await readUrl(name) : readFileSync(name, "utf8");
  } catch (error) {
    throw new CliError(`--values ${name}: ${(error as Error).message}`);
  }
}

/** Refuses values of which no working control plane can be made. @throws {CliError} naming the value, and its flag where it has one */
export function requireWorkingValues(values: Values): void {
  const text = (path: string) => String(valueAt(values, path) ?? "");
  const wrong = (what: string, path: string, expected: string) =>
    new CliError(`${what}: ${JSON.stringify(valueAt(values, path) ?? "")} ${expected}`);
  if (!CONTROLLER_LOG_LEVELS.includes(text("controllerLogLevel")))
    throw wrong("--controller-log-level", "controllerLogLevel", `is not one of: ${CONTROLLER_LOG_LEVELS.join(", ")}`);
  const proxyLogLevel = isNoProxyLogLevel(text("proxy.logLevel"));
  if (proxyLogLevel) throw wrong("--proxy-log-level", "proxy.logLevel", `is no log level: ${proxyLogLevel}`);
  for (const [flag, path] of [
    ["--cluster-domain", "clusterDomain"],
    ["--identity-trust-domain", "identityTrustDomain"],
  ] as const)
    if (text(path) !== "" && !isDnsSubdomain(text(path))) throw wrong(flag, path, "is not a DNS name (DNS-1123 subdomain)");
  for (const network of text("clusterNetworks").split(","))
    if (!isCidr(network.trim()))
      throw new CliError(`clusterNetworks: ${JSON.stringify(network)} is not a network in CIDR notation, such as 10.0.0.0/8`);
  if (valueAt(values, "proxy.disableIdentity") === true && text("proxy.requireIdentityOnInboundPorts") !== "")
    throw new CliError("proxy.requireIdentityOnInboundPorts: cannot be set while proxy.disableIdentity is true");
  for (const kind of ["cpu", "memory"]) requireResources(values, kind);
}

function requireResources(values: Values, kind: string): void {
  const [request, limit] = ["request", "limit"].map((bound) => {
    const written = valueAt(values, `proxy.resources.${kind}.${bound}`);
    if (written === undefined || written === null || written === "") return undefined;
    const amount = parseQuantity(String(written));
    if (amount === undefined || amount < 0)
      throw new CliError(`--proxy-${kind}-${bound}: ${JSON.stringify(written)} is not a quantity, such as 100m or 64Mi`);
    return { written, amount };
  });
  if (request && limit && limit.amount < request.amount)
    throw new CliError(
      `--proxy-${kind}-limit: the limit ${limit.written} is less than the request ${request.written} (--proxy-${kind}-request)`,
    );
}
