// Addresses of a control-plane service (spec proxy §1.6): SRV of the bare name first, whose targets are the dashed IPs of
// pods; else A with the configured port.
import { parseIp, parseIpv4, type SocketAddr } from "#addr";
import type { ControlAddr } from "../config/index.ts";

/** The questions asked of DNS. */
export interface Dns {
  /** Rejects when there is no answer. */
  srv(name: string): Promise<readonly { readonly name: string; readonly port: number }[]>;
  a(name: string): Promise<readonly { readonly address: string; readonly ttlMs: number }[]>;
}

export type Resolved = { readonly addrs: readonly SocketAddr[]; readonly ttlMs: number };

/** SRV answers come without their TTL; cluster DNS gives 5 s. */
export const SRV_TTL_MS = 5000;
/** Addresses of one service that are used. */
export const MAX_ADDRESSES = 64;

/** @throws {Error} naming the host when neither question has an answer. */
export async function resolveControl({ host, port }: ControlAddr, dns: Dns): Promise<Resolved> {
  const ip = parseIp(host);
  if (ip !== null) return { addrs: [{ ip, port }], ttlMs: Number.POSITIVE_INFINITY };
  const name = host.replace(/\.$/, "");
  if (name === "localhost") return { addrs: [{ ip: "127.0.0.1", port }], ttlMs: Number.POSITIVE_INFINITY };
  const pods = await dns.srv(name).then(
    (records) => records.map((record) => podAddr(record.name, record.port)),
    () => [],
  );
  if (pods.length > 0 && pods.every((addr) => addr !== null))
    return { addrs: pods.slice(0, MAX_ADDRESSES) as SocketAddr[], ttlMs: SRV_TTL_MS };
  let records: Awaited<ReturnType<Dns["a"]>>;
  try {
    records = await dns.a(name);
  } catch (error) {
    throw new Error(`cannot resolve ${host}: ${(error as Error).message}`);
  }
  if (records.length === 0) throw new Error(`cannot resolve ${host}: no address`);
  return {
    addrs: records.slice(0, MAX_ADDRESSES).map(({ address }) => ({ ip: address, port })),
    ttlMs: Math.min(...records.map(({ ttlMs }) => ttlMs)),
  };
}

/** `10-244-0-5.linkerd-dst-headless.linkerd.svc.cluster.local` → 10.244.0.5; null for any other form. */
function podAddr(target: string, port: number): SocketAddr | null {
  const ip = (target.split(".")[0] ?? "").replaceAll("-", ".");
  return parseIpv4(ip) === null ? null : { ip, port };
}
