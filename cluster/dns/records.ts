// What the cluster's DNS answers: a pure function of Services and EndpointSlices. Follows the Kubernetes DNS specification 1.1.0 as CoreDNS carries it out.
import type { EndpointSlice, Service } from "#kube";

export type RecordData =
  | { type: "A"; name: string; ttl: number; data: string }
  | { type: "CNAME" | "PTR"; name: string; ttl: number; data: string }
  | { type: "TXT"; name: string; ttl: number; data: string }
  | { type: "SRV"; name: string; ttl: number; data: { priority: number; weight: number; port: number; target: string } }
  | {
      type: "SOA";
      name: string;
      ttl: number;
      data: { mname: string; rname: string; serial: number; refresh: number; retry: number; expire: number; minimum: number };
    };

export interface Answer {
  rcode: "NOERROR" | "NXDOMAIN";
  authoritative: boolean;
  answers: RecordData[];
  authorities: RecordData[];
  additionals: RecordData[];
}

/** Seconds for which an answer may be kept: CoreDNS's default. */
export const recordTtl = 5;
/** ExternalName services may point at each other; a chain ends after so many. */
const maxAliases = 8;

interface Endpoint {
  ip: string;
  /** First label of its own name: its hostname, or its address with dashes. */
  label: string;
  ports: { name: string; protocol: string; port: number }[];
}

interface ServiceEntry {
  name: string;
  namespace: string;
  /** `undefined` for a headless one. */
  clusterIP: string | undefined;
  externalName: string | undefined;
  ports: { name: string; protocol: string; port: number }[];
  endpoints: Endpoint[];
}

/** The names of one cluster at one moment. */
export class Zone {
  readonly domain: string;
  readonly #labels: string[];
  readonly #services = new Map<string, ServiceEntry>();
  readonly #namespaces = new Set<string>();
  readonly #byAddress = new Map<string, string[]>();

  /** @param domain the cluster's domain, `cluster.local`. @param namespaces names of namespaces; those with services are known anyway. */
  constructor({
    domain,
    services,
    slices,
    namespaces = [],
  }: { domain: string; services: Service[]; slices: EndpointSlice[]; namespaces?: string[] }) {
    this.domain = domain.toLowerCase().replace(/\.$/, "");
    this.#labels = this.domain.split(".");
    for (const name of namespaces) this.#namespaces.add(name);
    const endpoints = endpointsByService(slices);
    for (const { metadata, spec } of services) {
      const { name, namespace } = metadata;
      if (!name || !namespace || !spec) continue;
      const isExternal = spec.type === "ExternalName";
      const clusterIP = spec.clusterIP && spec.clusterIP !== "None" ? spec.clusterIP : undefined;
      if (!isExternal && clusterIP === undefined && spec.clusterIP !== "None") continue;
      const entry: ServiceEntry = {
        name,
        namespace,
        clusterIP: isExternal ? undefined : clusterIP,
        externalName: isExternal ? spec.externalName?.toLowerCase().replace(/\.$/, "") : undefined,
        ports: (spec.ports ?? []).map((port) => ({
          name: port.name ?? "",
          protocol: (port.protocol ?? "TCP").toLowerCase(),
          port: port.port,
        })),
        endpoints: isExternal ? [] : (endpoints.get(`${namespace}/${name}`) ?? []),
      };
      this.#services.set(`${namespace}/${name}`, entry);
      this.#namespaces.add(namespace);
      if (entry.clusterIP) this.#point(entry.clusterIP, this.#serviceName(entry));
      for (const endpoint of entry.endpoints) this.#point(endpoint.ip, `${endpoint.label}.${this.#serviceName(entry)}`);
    }
  }

  /** @param name absolute, in any case, with or without the last dot. @param type `A`, `AAAA`, `SRV`, …; unknown types of known names are answered empty. */
  resolve(name: string, type: string): Answer {
    const lower = name.toLowerCase().replace(/\.$/, "");
    if (lower === "localhost" || lower.endsWith(".localhost"))
      return answer(type === "A" ? [{ type: "A", name, ttl: recordTtl, data: "127.0.0.1" }] : []);
    const reverse = /^((?:\d{1,3}\.){4})in-addr\.arpa$/.exec(lower);
    if (reverse) {
      const address = reverse[1]!.slice(0, -1).split(".").reverse().join(".");
      const targets = this.#byAddress.get(address);
      if (!targets) return { ...answer([]), rcode: "NXDOMAIN", authoritative: false };
      return answer(type === "PTR" ? targets.map((data) => ({ type: "PTR", name, ttl: recordTtl, data })) : []);
    }
    if (lower !== this.domain && !lower.endsWith(`.${this.domain}`)) return { ...answer([]), rcode: "NXDOMAIN", authoritative: false };
    const found = this.#lookUp(name, lower.split(".").slice(0, -this.#labels.length), type, maxAliases);
    if (found === undefined) return { ...answer([]), rcode: "NXDOMAIN", authorities: [this.#soa()] };
    if (found.answers.length === 0) return { ...answer([]), authorities: [this.#soa()] };
    return { ...answer(found.answers), additionals: found.additionals };
  }

  /** `undefined`: there is no such name. */
  #lookUp(name: string, labels: string[], type: string, aliases: number): { answers: RecordData[]; additionals: RecordData[] } | undefined {
    const none = { answers: [], additionals: [] };
    if (labels.length === 0) return type === "SOA" ? { answers: [this.#soa()], additionals: [] } : none;
    const kind = labels.at(-1);
    if (labels.length === 1 && kind === "dns-version")
      return type === "TXT" ? { answers: [{ type: "TXT", name, ttl: 28_800, data: "1.1.0" }], additionals: [] } : none;
    if (kind !== "svc" && kind !== "pod") return undefined;
    if (labels.length === 1) return none;
    const namespace = labels.at(-2)!;
    if (kind === "pod") {
      if (labels.length === 2) return this.#namespaces.has(namespace) ? none : undefined;
      const ip = labels[0]!.replaceAll("-", ".");
      if (labels.length !== 3 || !isAddress(ip) || !this.#namespaces.has(namespace)) return undefined;
      return type === "A" ? { answers: [{ type: "A", name, ttl: recordTtl, data: ip }], additionals: [] } : none;
    }
    if (labels.length === 2) return this.#namespaces.has(namespace) ? none : undefined;
    const service = this.#services.get(`${namespace}/${labels.at(-3)}`);
    if (!service || labels.length > 5) return undefined;
    if (service.externalName !== undefined) {
      if (labels.length !== 3) return undefined;
      const alias: RecordData = { type: "CNAME", name, ttl: recordTtl, data: service.externalName };
      const inside = service.externalName.endsWith(`.${this.domain}`);
      const target =
        inside && type !== "CNAME" && aliases > 0
          ? this.#lookUp(service.externalName, service.externalName.split(".").slice(0, -this.#labels.length), type, aliases - 1)
          : undefined;
      return { answers: [alias, ...(target?.answers ?? [])], additionals: target?.additionals ?? [] };
    }
    const isHeadless = service.clusterIP === undefined;
    if (isHeadless && service.endpoints.length === 0) return undefined;
    if (labels.length === 3) {
      if (type === "A")
        return { answers: addresses(name, isHeadless ? service.endpoints.map(({ ip }) => ip) : [service.clusterIP!]), additionals: [] };
      return type === "SRV" ? this.#srv(name, service, () => true) : none;
    }
    if (labels.length === 4) {
      const own = service.endpoints.filter(({ label }) => label === labels[0]);
      if (own.length === 0) return undefined;
      if (type === "A")
        return {
          answers: addresses(
            name,
            own.map(({ ip }) => ip),
          ),
          additionals: [],
        };
      return type === "SRV" ? this.#srv(name, { ...service, clusterIP: undefined, endpoints: own }, () => true) : none;
    }
    const [port = "", protocol = ""] = labels;
    if (!port.startsWith("_") || !protocol.startsWith("_")) return undefined;
    const matches = (one: { name: string; protocol: string }) => `_${one.name}` === port && `_${one.protocol}` === protocol;
    if (!(isHeadless ? service.endpoints.flatMap((one) => one.ports) : service.ports).some(matches)) return undefined;
    if (type === "SRV") return this.#srv(name, service, matches);
    if (type === "A")
      return {
        answers: addresses(
          name,
          isHeadless ? service.endpoints.filter((one) => one.ports.some(matches)).map(({ ip }) => ip) : [service.clusterIP!],
        ),
        additionals: [],
      };
    return none;
  }

  #srv(
    name: string,
    service: ServiceEntry,
    matches: (port: { name: string; protocol: string }) => boolean,
  ): { answers: RecordData[]; additionals: RecordData[] } {
    const base = this.#serviceName(service);
    const found: { port: number; target: string; ip: string }[] = [];
    if (service.clusterIP !== undefined)
      for (const port of service.ports.filter(matches)) found.push({ port: port.port, target: base, ip: service.clusterIP });
    else
      for (const endpoint of service.endpoints)
        for (const port of endpoint.ports.filter(matches))
          found.push({ port: port.port, target: `${endpoint.label}.${base}`, ip: endpoint.ip });
    const weight = Math.max(1, Math.floor(100 / Math.max(1, found.length)));
    const answers: RecordData[] = found.map(({ port, target }) => ({
      type: "SRV",
      name,
      ttl: recordTtl,
      data: { priority: 0, weight, port, target },
    }));
    const hosts = new Map(found.map(({ target, ip }) => [target, ip]));
    return { answers, additionals: [...hosts].map(([target, ip]) => ({ type: "A", name: target, ttl: recordTtl, data: ip })) };
  }

  #soa(): RecordData {
    return {
      type: "SOA",
      name: this.domain,
      ttl: recordTtl,
      data: {
        mname: `ns.dns.${this.domain}`,
        rname: `hostmaster.${this.domain}`,
        serial: 1,
        refresh: 7_200,
        retry: 1_800,
        expire: 86_400,
        minimum: recordTtl,
      },
    };
  }

  #serviceName({ name, namespace }: ServiceEntry): string {
    return `${name}.${namespace}.svc.${this.domain}`;
  }

  #point(ip: string, name: string): void {
    const names = this.#byAddress.get(ip);
    if (!names) this.#byAddress.set(ip, [name]);
    else if (!names.includes(name)) names.push(name);
  }
}

function endpointsByService(slices: EndpointSlice[]): Map<string, Endpoint[]> {
  const found = new Map<string, Map<string, Endpoint>>();
  for (const slice of slices) {
    const owner = slice.metadata.labels?.["kubernetes.io/service-name"];
    if (!owner || (slice.addressType ?? "IPv4") !== "IPv4") continue;
    const key = `${slice.metadata.namespace}/${owner}`;
    const list = found.get(key) ?? new Map<string, Endpoint>();
    found.set(key, list);
    const ports = (slice.ports ?? [])
      .filter((port) => port.port !== undefined)
      .map((port) => ({ name: port.name ?? "", protocol: (port.protocol ?? "TCP").toLowerCase(), port: port.port! }));
    for (const { addresses: ips, conditions, hostname } of slice.endpoints ?? []) {
      if (conditions?.ready === false) continue;
      for (const ip of ips) {
        const label = (hostname || ip.replaceAll(".", "-")).toLowerCase();
        const known = list.get(`${label}/${ip}`);
        if (known) known.ports.push(...ports);
        else list.set(`${label}/${ip}`, { ip, label, ports: [...ports] });
      }
    }
  }
  return new Map([...found].map(([key, list]) => [key, [...list.values()]]));
}

function addresses(name: string, ips: string[]): RecordData[] {
  return [...new Set(ips)].map((data) => ({ type: "A", name, ttl: recordTtl, data }));
}

function answer(answers: RecordData[]): Answer {
  return { rcode: "NOERROR", authoritative: true, answers, authorities: [], additionals: [] };
}

function isAddress(text: string): boolean {
  const parts = text.split(".");
  return parts.length === 4 && parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) <= 255);
}
