// Server and ServerAuthorization as the policy index and the webhook read them (spec control-plane §5.1). Objects of any shape in; what is wrong comes back by field.
import { isDnsLabel, isEmptySelector, type KubeObject, type LabelSelector, selectorMistakes } from "#kube";
import { contains, type Network, parseNetwork } from "#policy";

export const protocols = ["unknown", "HTTP/1", "HTTP/2", "gRPC", "opaque", "TLS"] as const;
export type Protocol = (typeof protocols)[number];

export type Server = {
  readonly name: string;
  readonly namespace: string;
  readonly createdAt: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly podSelector: LabelSelector;
  /** A number, or the name of a container's port. */
  readonly port: number | string;
  readonly protocol: Protocol;
};

/** A network as text, kept for the wire; `except` lies within it. */
export type NetworkMatch = { readonly net: string; readonly except: readonly string[] };

export type Clients =
  | { readonly kind: "unauthenticated" }
  | { readonly kind: "tls" }
  /** `identities`: exact names, `*` for any, `*.a.b` for a suffix. */
  | {
      readonly kind: "identities";
      readonly identities: readonly string[];
      readonly serviceAccounts: readonly { readonly name: string; readonly namespace: string }[];
    };

export type ServerAuthorization = {
  readonly name: string;
  readonly namespace: string;
  readonly server: { readonly name: string } | { readonly selector: LabelSelector };
  /** Null: the cluster's networks. */
  readonly networks: readonly NetworkMatch[] | null;
  readonly clients: Clients;
};

export type Parsed<T> =
  | { readonly value: T; readonly mistakes?: undefined }
  | { readonly value?: undefined; readonly mistakes: readonly string[] };

type Raw = Record<string, unknown>;
const isRecord = (value: unknown): value is Raw => typeof value === "object" && value !== null && !Array.isArray(value);
const shown = (value: unknown) => (value === undefined || value === null ? "nothing" : JSON.stringify(value));

/** Most networks, identities or service accounts of one authorization. */
export const maxClients = 1000;

export function parseServer(object: KubeObject): Parsed<Server> {
  const mistakes: string[] = [];
  const spec = (object as unknown as Raw)["spec"];
  if (!isRecord(spec)) return { mistakes: ["spec: required"] };
  if (spec["podSelector"] === undefined) mistakes.push("spec.podSelector: required");
  else mistakes.push(...selectorMistakes(spec["podSelector"], "spec.podSelector"));
  const port = spec["port"];
  if (port === undefined || port === null) mistakes.push("spec.port: required");
  else if (typeof port === "number" ? !(Number.isInteger(port) && port >= 1 && port <= 65535) : typeof port !== "string" || port === "")
    mistakes.push(`spec.port: ${shown(port)} is neither a port (1 to 65535) nor the name of one`);
  const protocol = spec["proxyProtocol"] ?? "unknown";
  if (!(protocols as readonly unknown[]).includes(protocol))
    mistakes.push(`spec.proxyProtocol: ${shown(protocol)} is not one of ${protocols.join(", ")}`);
  if (mistakes.length > 0) return { mistakes };
  const { name = "", namespace = "", labels = {}, creationTimestamp = "" } = object.metadata;
  return {
    value: {
      name,
      namespace,
      labels,
      createdAt: creationTimestamp,
      podSelector: spec["podSelector"] as LabelSelector,
      port: port as number | string,
      protocol: protocol as Protocol,
    },
  };
}

export function parseServerAuthorization(object: KubeObject): Parsed<ServerAuthorization> {
  const mistakes: string[] = [];
  const spec = (object as unknown as Raw)["spec"];
  const { name = "", namespace = "" } = object.metadata;
  if (!isRecord(spec)) return { mistakes: ["spec: required"] };
  const server = parseServerRef(spec["server"], mistakes);
  const client = spec["client"];
  if (!isRecord(client)) {
    mistakes.push("spec.client: required");
    return { mistakes };
  }
  const networks = parseNetworks(client["networks"], mistakes);
  const clients = parseClients(client, namespace, mistakes);
  if (mistakes.length > 0 || !server || !clients) return { mistakes };
  return { value: { name, namespace, server, networks, clients } };
}

function parseServerRef(server: unknown, mistakes: string[]): ServerAuthorization["server"] | undefined {
  if (!isRecord(server)) {
    mistakes.push("spec.server: required");
    return undefined;
  }
  const { name, selector } = server;
  if ((name === undefined) === (selector === undefined)) {
    mistakes.push("spec.server: exactly one of name and selector is required");
    return undefined;
  }
  if (selector !== undefined) {
    const wrong = selectorMistakes(selector, "spec.server.selector");
    mistakes.push(...wrong);
    return wrong.length > 0 ? undefined : { selector: selector as LabelSelector };
  }
  if (typeof name !== "string" || name === "") {
    mistakes.push(`spec.server.name: ${shown(name)} is not a name`);
    return undefined;
  }
  return { name };
}

function parseNetworks(value: unknown, mistakes: string[]): NetworkMatch[] | null {
  if (value === undefined || value === null) return null;
  if (!Array.isArray(value)) {
    mistakes.push("spec.client.networks: expected a list");
    return null;
  }
  if (value.length > maxClients) mistakes.push(`spec.client.networks: more than ${maxClients} entries`);
  const networks: NetworkMatch[] = [];
  value.slice(0, maxClients).forEach((one: unknown, i) => {
    const at = `spec.client.networks[${i}]`;
    if (!isRecord(one) || typeof one["cidr"] !== "string") {
      mistakes.push(`${at}.cidr: required`);
      return;
    }
    const cidr = parseNetwork(one["cidr"]);
    if (!cidr) {
      mistakes.push(`${at}.cidr: ${shown(one["cidr"])} is not a network`);
      return;
    }
    const except: string[] = [];
    const list = one["except"] ?? [];
    if (!Array.isArray(list)) mistakes.push(`${at}.except: expected a list`);
    else {
      list.forEach((text: unknown, j) => {
        const hole = typeof text === "string" ? parseNetwork(text) : null;
        if (!hole) mistakes.push(`${at}.except[${j}]: ${shown(text)} is not a network`);
        else if (covers(hole, cidr)) mistakes.push(`${at}.except[${j}]: ${shown(text)} leaves nothing of cidr ${shown(one["cidr"])}`);
        else if (!covers(cidr, hole)) mistakes.push(`${at}.except[${j}]: ${shown(text)} is not inside cidr ${shown(one["cidr"])}`);
        else except.push(text as string);
      });
    }
    networks.push({ net: one["cidr"], except });
  });
  // An empty list says nothing: the cluster's networks.
  return networks.length === 0 ? null : networks;
}

function covers(outer: Network, inner: Network): boolean {
  if (outer.family !== inner.family || outer.prefix > inner.prefix) return false;
  return inner.family === 4 ? contains(outer, { v4: inner.base, v6: null }) : contains(outer, { v4: null, v6: inner.base });
}

const identityPattern = /^(\*|[a-z0-9]([-a-z0-9]*[a-z0-9])?)(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

function parseClients(client: Raw, namespace: string, mistakes: string[]): Clients | undefined {
  const { unauthenticated = false, meshTLS } = client;
  if (typeof unauthenticated !== "boolean") mistakes.push(`spec.client.unauthenticated: ${shown(unauthenticated)} is not a boolean`);
  if (unauthenticated === true) {
    if (meshTLS === undefined || meshTLS === null) return { kind: "unauthenticated" };
    mistakes.push("spec.client: unauthenticated and meshTLS exclude each other");
    return undefined;
  }
  if (meshTLS === undefined || meshTLS === null) {
    mistakes.push("spec.client: names no client: set unauthenticated, or meshTLS with identities, serviceAccounts or unauthenticatedTLS");
    return undefined;
  }
  if (!isRecord(meshTLS)) {
    mistakes.push("spec.client.meshTLS: expected a mapping");
    return undefined;
  }
  const { unauthenticatedTLS = false } = meshTLS;
  if (typeof unauthenticatedTLS !== "boolean")
    mistakes.push(`spec.client.meshTLS.unauthenticatedTLS: ${shown(unauthenticatedTLS)} is not a boolean`);
  const identities = list(meshTLS["identities"], "spec.client.meshTLS.identities", mistakes);
  const accounts = list(meshTLS["serviceAccounts"], "spec.client.meshTLS.serviceAccounts", mistakes);
  if (unauthenticatedTLS === true) {
    if (identities.length > 0 || accounts.length > 0) {
      mistakes.push("spec.client.meshTLS: unauthenticatedTLS excludes identities and serviceAccounts");
      return undefined;
    }
    return { kind: "tls" };
  }
  identities.forEach((identity, i) => {
    if (typeof identity !== "string" || !identityPattern.test(identity))
      mistakes.push(`spec.client.meshTLS.identities[${i}]: ${shown(identity)} is not the name of an identity`);
  });
  const serviceAccounts = accounts.map((account, i) => {
    const at = `spec.client.meshTLS.serviceAccounts[${i}]`;
    if (!isRecord(account)) {
      mistakes.push(`${at}: expected a mapping`);
      return { name: "", namespace };
    }
    if (typeof account["name"] !== "string" || !isDnsLabel(account["name"]))
      mistakes.push(`${at}.name: ${shown(account["name"])} is not the name of a service account`);
    const own = account["namespace"] ?? namespace;
    if (typeof own !== "string" || (own !== "" && !isDnsLabel(own))) mistakes.push(`${at}.namespace: ${shown(own)} is not a namespace`);
    return { name: String(account["name"]), namespace: String(own || namespace) };
  });
  if (identities.length === 0 && serviceAccounts.length === 0) {
    mistakes.push("spec.client.meshTLS: names no client: set identities, serviceAccounts or unauthenticatedTLS");
    return undefined;
  }
  return { kind: "identities", identities: identities as string[], serviceAccounts };
}

function list(value: unknown, field: string, mistakes: string[]): unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) {
    mistakes.push(`${field}: expected a list`);
    return [];
  }
  if (value.length > maxClients) mistakes.push(`${field}: more than ${maxClients} entries`);
  return value.slice(0, maxClients);
}

/** Spec control-plane §5.2: either takes every pod, or both say the same. */
export function selectorsOverlap(a: LabelSelector, b: LabelSelector): boolean {
  return isEmptySelector(a) || isEmptySelector(b) || canonical(a) === canonical(b);
}

function canonical({ matchLabels = {}, matchExpressions = [] }: LabelSelector): string {
  const labels = Object.entries(matchLabels).sort(([x], [y]) => (x < y ? -1 : 1));
  const expressions = matchExpressions.map(({ key, operator, values = [] }) => JSON.stringify([key, operator, [...values].sort()])).sort();
  return JSON.stringify([labels, expressions]);
}
