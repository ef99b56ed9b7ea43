// The grammar of values in the environment (spec proxy §1.3). Each parser gives the value or throws with what is wrong.
import { isLoopback, parseDnsName, parseIp, parsePort, parseSocketAddr, type SocketAddr, splitAuthority } from "#addr";
import { type Network, parseNetwork } from "#policy";

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Milliseconds. A unit is needed, except for 0. */
export function duration(text: string): number {
  const match = /^\s*(\d+)(ms|s|m|h|d)?\s*$/.exec(text);
  if (!match) throw new Error("not a duration (such as 300ms, 10s, 5m)");
  const value = Number(match[1]);
  if (match[2] === undefined && value !== 0) throw new Error("a duration needs a unit (ms, s, m, h, d)");
  const ms = value * (UNITS_MS[match[2] ?? "ms"] as number);
  if (!Number.isSafeInteger(ms)) throw new Error("too long");
  return ms;
}

export function socketAddr(text: string): SocketAddr {
  const addr = parseSocketAddr(text);
  if (addr === null) throw new Error("not an address (IP:PORT)");
  return addr;
}

/** A control-plane service's address; `host` may be an IP or a DNS name, kept with its trailing dot. */
export type ControlAddr = { readonly host: string; readonly port: number };

export function controlAddr(text: string): ControlAddr {
  const { host = "", port = null } = splitAuthority(text) ?? {};
  if (port === null || port === 0) throw new Error("not an address (HOST:PORT, IPv6 in brackets)");
  if (parseIp(host) === null && parseDnsName(host) === null) throw new Error(`"${host}" is neither an IP nor a DNS name`);
  return { host, port };
}

/** `host:port` without the trailing dot, IPv6 in brackets. */
export function formatControlAddr({ host, port }: ControlAddr): string {
  const name = host.replace(/\.$/, "");
  return name.includes(":") ? `[${name}]:${port}` : `${name}:${port}`;
}

/** No TLS is spoken to these: the loopback networks, and the absolute name `localhost.` with its dot. */
export function isLocalControl({ host }: ControlAddr): boolean {
  return host === "localhost." || (parseIp(host) !== null && isLoopback(host));
}

export function bool(text: string): boolean {
  if (text !== "true" && text !== "false") throw new Error('neither "true" nor "false"');
  return text === "true";
}

export function whole(text: string): number {
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(Number(text))) throw new Error("not a number");
  return Number(text);
}

export function decimal(text: string): number {
  if (!/^\d+(\.\d+)?$/.test(text)) throw new Error("not a number");
  return Number(text);
}

/** Comma-separated ports without white space; empty = none. */
export function portSet(text: string): ReadonlySet<number> {
  if (text === "") return new Set();
  return new Set(
    text.split(",").map((part) => {
      const port = parsePort(part);
      if (port === null) throw new Error(`"${part}" is not a port`);
      return port;
    }),
  );
}

export function ipSet(text: string): ReadonlySet<string> {
  return new Set(
    text.split(",").map((part) => {
      const ip = parseIp(part);
      if (ip === null) throw new Error(`"${part}" is not an IP address`);
      return ip;
    }),
  );
}

/** White space and empty items are ignored. */
export function networks(text: string): readonly Network[] {
  return items(text).map((part) => {
    const network = parseNetwork(part);
    if (network === null) throw new Error(`"${part}" is not a network (CIDR)`);
    return network;
  });
}

/** Lower-case, without trailing dots; `` stands for everything (given as `.`). */
export function suffixes(text: string): readonly string[] {
  return items(text).map((part) => {
    if (part === ".") return "";
    const name = parseDnsName(part);
    if (name === null) throw new Error(`"${part}" is not a DNS suffix`);
    return name;
  });
}

function items(text: string): string[] {
  return text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
}

/** An identity is a DNS name without a dot at its end. */
export function identityName(text: string): string {
  const name = text.endsWith(".") ? null : parseDnsName(text);
  if (name === null) throw new Error("not an identity (a DNS name without a dot at its end)");
  return name;
}

/** True when `name` lies below a suffix, on label boundaries. */
export function matchesSuffix(list: readonly string[], name: string): boolean {
  const bare = name.endsWith(".") ? name.slice(0, -1) : name;
  return list.some((suffix) => suffix === "" || bare === suffix || bare.endsWith(`.${suffix}`));
}
