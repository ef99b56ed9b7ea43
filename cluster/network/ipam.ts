// Which pod has which address; survives restarts in one small file.
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { cidrContains, cidrSize, formatIpv4, parseCidr, parseIpv4 } from "./cidr.ts";

interface State {
  /** Offset that was given out last: the next search starts behind it, so that an address rests before it is used again. */
  last: number;
  /** Owner → address. */
  leases: Record<string, string>;
}

/** Addresses of one network. The first (network), second (gateway) and last (broadcast) are never given out. */
export class Ipam {
  readonly #cidr;
  readonly #file: string;
  #state: State = { last: 1, leases: {} };

  /** Reads `file` if it is there; a damaged file counts as empty, because the pods' own records are checked anyway. */
  constructor({ cidr, file }: { cidr: string; file: string }) {
    this.#cidr = parseCidr(cidr, "podCidr");
    this.#file = file;
    try {
      const { last, leases } = JSON.parse(readFileSync(file, "utf8")) as Partial<State>;
      const kept = Object.entries(leases ?? {}).filter(([, ip]) => cidrContains(this.#cidr, parseIpv4(ip)));
      this.#state = { last: typeof last === "number" ? last : 1, leases: Object.fromEntries(kept) };
    } catch {
      // No file yet.
    }
  }

  get leases(): Readonly<Record<string, string>> {
    return this.#state.leases;
  }

  /**
   * The address of `owner`: the one it has, else a free one.
   * @throws {Error} when all are taken.
   */
  allocate(owner: string): string {
    const existing = this.#state.leases[owner];
    if (existing) return existing;
    const taken = new Set(Object.values(this.#state.leases));
    const usable = cidrSize(this.#cidr) - 3;
    for (let step = 1; step <= usable; step++) {
      const offset = 2 + ((this.#state.last - 2 + step + usable) % usable);
      const ip = formatIpv4(this.#cidr.base + offset);
      if (taken.has(ip)) continue;
      this.#state = { last: offset, leases: { ...this.#state.leases, [owner]: ip } };
      this.#save();
      return ip;
    }
    throw new Error(`no free address: all ${usable} of the pod network are in use`);
  }

  release(owner: string): void {
    if (!(owner in this.#state.leases)) return;
    const { [owner]: _, ...leases } = this.#state.leases;
    this.#state = { ...this.#state, leases };
    this.#save();
  }

  #save(): void {
    mkdirSync(dirname(this.#file), { recursive: true });
    writeFileSync(`${this.#file}.new`, JSON.stringify(this.#state));
    renameSync(`${this.#file}.new`, this.#file);
  }
}
