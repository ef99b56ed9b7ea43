// IPv4 addresses and prefixes as numbers.

export interface Cidr {
  /** First address, as an unsigned 32-bit number. */
  base: number;
  /** Prefix length, 0–32. */
  length: number;
}

/** @throws {RangeError} naming `field` when `text` is not `a.b.c.d`. */
export function parseIpv4(text: string, field = "address"): number {
  const parts = text.split(".");
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255))
    throw new RangeError(`${field}: ${JSON.stringify(text)} is not an IPv4 address`);
  return parts.reduce((sum, part) => sum * 256 + Number(part), 0);
}

export function formatIpv4(address: number): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join(".");
}

/** @throws {RangeError} naming `field` when `text` is not `a.b.c.d/n`. */
export function parseCidr(text: string, field = "network"): Cidr {
  const match = /^([0-9.]+)\/(\d{1,2})$/.exec(text);
  const length = Number(match?.[2]);
  if (!match || length > 32) throw new RangeError(`${field}: ${JSON.stringify(text)} is not an IPv4 network such as 10.244.0.0/24`);
  return { base: (parseIpv4(match[1]!, field) & mask(length)) >>> 0, length };
}

export function formatCidr({ base, length }: Cidr): string {
  return `${formatIpv4(base)}/${length}`;
}

/** Number of addresses. */
export function cidrSize({ length }: Cidr): number {
  return 2 ** (32 - length);
}

export function cidrContains({ base, length }: Cidr, address: number): boolean {
  return (address & mask(length)) >>> 0 === base;
}

export function cidrsOverlap(one: Cidr, other: Cidr): boolean {
  const shorter = one.length <= other.length ? one : other;
  return cidrContains(shorter, (shorter === one ? other : one).base);
}

function mask(length: number): number {
  return length === 0 ? 0 : (0xffffffff << (32 - length)) >>> 0;
}
