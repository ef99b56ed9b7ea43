// Membership of IP addresses in networks, IPv4 and IPv6. Pure.
import { parseIpv4, parseIpv6 } from "#addr";

/** A CIDR block, compiled. IPv4 is one 32-bit number, IPv6 eight 16-bit numbers. */
export type Network =
  | { readonly family: 4; readonly base: number; readonly prefix: number }
  | { readonly family: 6; readonly base: readonly number[]; readonly prefix: number };

/** `10.0.0.0/8`, `fd00::/8`, or an address alone; host bits are ignored. Null when it is neither. */
export function parseNetwork(text: string): Network | null {
  const slash = text.indexOf("/");
  const ip = slash < 0 ? text : text.slice(0, slash);
  const bits = slash < 0 ? null : text.slice(slash + 1);
  if (bits !== null && !/^\d{1,3}$/.test(bits)) return null;
  const v4 = parseIpv4(ip);
  if (v4 !== null) return network4(v4, bits === null ? 32 : Number(bits));
  const v6 = parseIpv6(ip);
  return v6 === null ? null : network6(v6, bits === null ? 128 : Number(bits));
}

/** Null when the prefix length is out of range. */
export function network4(address: number, prefix: number): Network | null {
  if (prefix > 32) return null;
  return { family: 4, base: mask4(address, prefix), prefix };
}

export function network6(hextets: readonly number[], prefix: number): Network | null {
  if (prefix > 128) return null;
  return { family: 6, base: hextets.map((hextet, i) => mask16(hextet, prefix - i * 16)), prefix };
}

/** Everything, in both families. */
export const ANYWHERE: readonly Network[] = [
  { family: 4, base: 0, prefix: 0 },
  { family: 6, base: [0, 0, 0, 0, 0, 0, 0, 0], prefix: 0 },
];

/** An address as networks compare it; null when it is none. */
export type Address = { readonly v4: number | null; readonly v6: readonly number[] | null };

export function parseAddress(ip: string): Address {
  const v4 = parseIpv4(ip);
  return { v4, v6: v4 === null ? parseIpv6(ip) : null };
}

export function contains(network: Network, address: Address): boolean {
  if (network.family === 4) return address.v4 !== null && mask4(address.v4, network.prefix) === network.base;
  const { v6 } = address;
  if (v6 === null) return false;
  for (let i = 0; i * 16 < network.prefix; i++) if (mask16(v6[i] as number, network.prefix - i * 16) !== network.base[i]) return false;
  return true;
}

function mask4(address: number, prefix: number): number {
  return prefix === 0 ? 0 : (address & (-1 << (32 - prefix))) >>> 0;
}

function mask16(hextet: number, bits: number): number {
  if (bits <= 0) return 0;
  return bits >= 16 ? hextet : hextet & (0xffff << (16 - bits)) & 0xffff;
}
