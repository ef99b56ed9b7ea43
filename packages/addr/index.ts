// Addresses as plain values: canonical IP text, socket addresses, DNS names and authorities. Pure.

/** An IP and port; `ip` is canonical text: no brackets, no zone, IPv4-mapped IPv6 folded to IPv4, IPv6 per RFC 5952. */
export type SocketAddr = { readonly ip: string; readonly port: number };

/** A DNS name, lower-case and without trailing dot, and a port. */
export type NameAddr = { readonly name: string; readonly port: number };

const DECIMAL = /^(?:0|[1-9][0-9]{0,4})$/;

/** Parses a decimal port 0..65535 without sign, leading zeros or spaces; null when it is none. */
export function parsePort(text: string): number | null {
  if (!DECIMAL.test(text)) return null;
  const port = Number(text);
  return port <= 65535 ? port : null;
}

/** The four octets of dotted-decimal text as an unsigned 32-bit number; null when it is none (leading zeros refused). */
export function parseIpv4(text: string): number | null {
  let value = 0;
  let octet = -1;
  let digits = 0;
  let dots = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === 46) {
      if (octet < 0 || ++dots > 3) return null;
      value = value * 256 + octet;
      octet = -1;
      digits = 0;
    } else if (c >= 48 && c <= 57) {
      if (digits > 0 && octet === 0) return null;
      octet = Math.max(octet, 0) * 10 + (c - 48);
      if (octet > 255) return null;
      digits++;
    } else return null;
  }
  return dots === 3 && octet >= 0 ? value * 256 + octet : null;
}

/** The dotted-decimal text of an unsigned 32-bit number. */
export function formatIpv4(value: number): string {
  return `${(value >>> 24) & 255}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.${value & 255}`;
}

/** The eight hextets of IPv6 text (RFC 4291 §2.2, no zone); null when it is none. */
export function parseIpv6(text: string): number[] | null {
  if (text.length < 2 || text.length > 45) return null;
  const halves = text.split("::");
  if (halves.length > 2) return null;
  const parts: number[][] = [];
  for (let h = 0; h < halves.length; h++) {
    const half = halves[h] ?? "";
    const out: number[] = [];
    if (half !== "") {
      const groups = half.split(":");
      for (let g = 0; g < groups.length; g++) {
        const group = groups[g] ?? "";
        if (group.includes(".")) {
          // The dotted form is allowed as the very last group only.
          if (g !== groups.length - 1 || h !== halves.length - 1) return null;
          const v4 = parseIpv4(group);
          if (v4 === null) return null;
          out.push(Math.floor(v4 / 65536), v4 % 65536);
        } else {
          if (!/^[0-9a-fA-F]{1,4}$/.test(group)) return null;
          out.push(Number.parseInt(group, 16));
        }
      }
    }
    parts.push(out);
  }
  const head = parts[0] ?? [];
  const tail = parts[1] ?? [];
  if (halves.length === 1) return head.length === 8 ? head : null;
  const zeros = 8 - head.length - tail.length;
  // "::" stands for at least one group of zeros.
  if (zeros < 1) return null;
  return [...head, ...new Array<number>(zeros).fill(0), ...tail];
}

/** RFC 5952 text of eight hextets; an IPv4-mapped address becomes its IPv4 text. */
export function formatIpv6(h: readonly number[]): string {
  if (h[0] === 0 && h[1] === 0 && h[2] === 0 && h[3] === 0 && h[4] === 0 && h[5] === 0xffff)
    return formatIpv4(((h[6] ?? 0) * 65536 + (h[7] ?? 0)) >>> 0);
  let best = -1;
  let bestLength = 1;
  for (let i = 0; i < 8; ) {
    if (h[i] !== 0) {
      i++;
      continue;
    }
    let j = i;
    while (j < 8 && h[j] === 0) j++;
    if (j - i > bestLength) {
      best = i;
      bestLength = j - i;
    }
    i = j;
  }
  const hex = (from: number, to: number) =>
    h
      .slice(from, to)
      .map((n) => n.toString(16))
      .join(":");
  return best < 0 ? hex(0, 8) : `${hex(0, best)}::${hex(best + bestLength, 8)}`;
}

/** Canonical text of an IP, or null. A zone (`%eth0`) is refused: it names an interface of another machine. */
export function parseIp(text: string): string | null {
  const v4 = parseIpv4(text);
  if (v4 !== null) return text;
  const v6 = parseIpv6(text);
  return v6 === null ? null : formatIpv6(v6);
}

/** `127.0.0.0/8` or `::1`. Takes canonical text. */
export function isLoopback(ip: string): boolean {
  return ip.startsWith("127.") || ip === "::1";
}

/** `ip:port`, IPv6 in brackets. */
export function formatSocketAddr(addr: SocketAddr): string {
  return addr.ip.includes(":") ? `[${addr.ip}]:${addr.port}` : `${addr.ip}:${addr.port}`;
}

/** Parses `IP:PORT` (IPv6 in brackets); null when it is none. */
export function parseSocketAddr(text: string): SocketAddr | null {
  const split = splitAuthority(text);
  if (split === null || split.port === null) return null;
  const ip = parseIp(split.host);
  return ip === null ? null : { ip, port: split.port };
}

// On the text as given: lower-casing turns the Kelvin sign into a k.
const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/i;

/**
 * A DNS name in the proxy's grammar (spec proxy §1.3): at most 253 bytes, labels 1–63 of `[A-Za-z0-9_-]` without
 * leading or trailing hyphen, last label not all digits. A trailing dot is tolerated and removed. Lower-cased; null
 * when it is none.
 */
export function parseDnsName(text: string): string | null {
  const name = text.endsWith(".") ? text.slice(0, -1) : text;
  if (name.length === 0 || name.length > 253) return null;
  const labels = name.split(".");
  for (const label of labels) if (!LABEL.test(label)) return null;
  return /^[0-9]+$/.test(labels[labels.length - 1] ?? "") ? null : name.toLowerCase();
}

/** Splits `host[:port]`; brackets of IPv6 are removed. Null on user info, an empty host or a bad port. */
export function splitAuthority(text: string): { host: string; port: number | null } | null {
  if (text.length === 0 || text.length > 320) return null;
  if (text.charCodeAt(0) === 91) {
    const close = text.indexOf("]");
    if (close < 0) return null;
    const host = text.slice(1, close);
    const rest = text.slice(close + 1);
    if (parseIpv6(host) === null) return null;
    if (rest === "") return { host, port: null };
    if (!rest.startsWith(":")) return null;
    const port = parsePort(rest.slice(1));
    return port === null ? null : { host, port };
  }
  const colon = text.indexOf(":");
  if (colon < 0) return text.includes("@") ? null : { host: text, port: null };
  const host = text.slice(0, colon);
  if (host === "" || host.includes("@")) return null;
  const port = parsePort(text.slice(colon + 1));
  return port === null ? null : { host, port };
}

/** `name[:port]` with a DNS name; the default port is given. Null for IPs and anything else. */
export function parseNameAddr(text: string, defaultPort: number | null = 80): NameAddr | null {
  const split = splitAuthority(text);
  if (split === null) return null;
  const port = split.port ?? defaultPort;
  if (port === null) return null;
  const name = parseDnsName(split.host);
  return name === null ? null : { name, port };
}

/** `name:port`, port always present. */
export function formatNameAddr(addr: NameAddr): string {
  return `${addr.name}:${addr.port}`;
}

/** As an HTTP authority: `:80` elided. */
export function authorityOf(addr: NameAddr): string {
  return addr.port === 80 ? addr.name : `${addr.name}:${addr.port}`;
}
