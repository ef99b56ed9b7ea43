// Which cluster IPs and node ports are free: what stored Services hold plus what requests under way have reserved.
import type { Store } from "../../store/index.ts";
import type { ApiObject, ServiceAllocator } from "./resource.ts";

export const nodePortRange = { first: 30000, last: 32767 } as const;

export interface Ipv4Range {
  text: string;
  /** First and last address that services may get: network and broadcast addresses are left out. */
  first: number;
  last: number;
}

const toNumber = (address: string): number | undefined => {
  const parts = address.split(".").map(Number);
  if (parts.length !== 4 || parts.some((part) => !Number.isInteger(part) || part < 0 || part > 255)) return undefined;
  return parts.reduce((sum, part) => sum * 256 + part, 0);
};
const toText = (address: number) => [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join(".");

/** @throws {RangeError} naming what is wrong with the CIDR. */
export function parseIpv4Range(text: string): Ipv4Range {
  const [address = "", bits = ""] = text.split("/");
  const base = toNumber(address);
  const prefix = Number(bits);
  if (base === undefined || !/^\d{1,2}$/.test(bits) || prefix < 8 || prefix > 30)
    throw new RangeError(`${JSON.stringify(text)} is not an IPv4 range such as 10.96.0.0/16`);
  const size = 2 ** (32 - prefix);
  const network = Math.floor(base / size) * size;
  return { text, first: network + 1, last: network + size - 2 };
}

/** The address of the `kubernetes` Service: the first of the range. */
export const firstAddress = ({ first }: Ipv4Range) => toText(first);

export class ServiceAddresses {
  readonly #range: Ipv4Range;
  readonly #store: Store<ApiObject>;
  readonly #random: () => number;
  readonly #reserved = new Set<string | number>();

  constructor({ range, store, random }: { range: Ipv4Range; store: Store<ApiObject>; random: () => number }) {
    this.#range = range;
    this.#store = store;
    this.#random = random;
  }

  /** An allocator for one request; `release` gives back what that request reserved, once its object is stored or refused. */
  forRequest(): ServiceAllocator {
    const mine = new Set<string | number>();
    let used: Set<string | number> | undefined;
    const taken = (value: string | number) => {
      used ??= this.#used();
      return used.has(value) || (this.#reserved.has(value) && !mine.has(value));
    };
    const reserve = <T extends string | number>(value: T): T => {
      mine.add(value);
      this.#reserved.add(value);
      return value;
    };
    /** From a random place on, the first free one; addresses of the lower band are left for those who ask for one. */
    const pick = <T extends string | number>(first: number, last: number, make: (value: number) => T): T | undefined => {
      const count = last - first + 1;
      const start = Math.floor(this.#random() * count);
      for (let i = 0; i < count; i++) {
        const value = make(first + ((start + i) % count));
        if (!taken(value) && !mine.has(value)) return reserve(value);
      }
      return undefined;
    };
    const { first, last, text } = this.#range;
    const band = Math.min(Math.max(16, Math.floor((last - first) / 16)), 256, Math.floor((last - first) / 2));
    return {
      range: text,
      nextAddress: () => pick(first + band, last, toText) ?? pick(first, last, toText),
      reserveAddress: (address) => {
        const value = toNumber(address);
        if (value === undefined || value < first || value > last) return "out-of-range";
        if (taken(address)) return "taken";
        reserve(address);
        return "ok";
      },
      nextNodePort: () => pick(nodePortRange.first, nodePortRange.last, (port) => port),
      reserveNodePort: (port) => {
        if (port < nodePortRange.first || port > nodePortRange.last) return "out-of-range";
        if (taken(port)) return "taken";
        reserve(port);
        return "ok";
      },
      release: () => {
        for (const value of mine) this.#reserved.delete(value);
        mine.clear();
      },
    };
  }

  #used(): Set<string | number> {
    const used = new Set<string | number>();
    for (const { spec } of this.#store.list("services")) {
      if (spec?.clusterIP && spec.clusterIP !== "None") used.add(spec.clusterIP);
      for (const port of spec?.ports ?? []) if (port.nodePort) used.add(port.nodePort);
    }
    return used;
  }
}
