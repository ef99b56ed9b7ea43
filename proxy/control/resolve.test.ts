import { describe, expect, test } from "bun:test";
import { type Dns, MAX_ADDRESSES, resolveControl, SRV_TTL_MS } from "./resolve.ts";

type Srv = Awaited<ReturnType<Dns["srv"]>>;
type A = Awaited<ReturnType<Dns["a"]>>;

/** Answers from tables; an absent one is NXDOMAIN. Notes what was asked. */
function dns({ srv, a }: { srv?: Srv; a?: A } = {}) {
  const asked: string[] = [];
  const answer = async <T>(kind: string, name: string, value: T | undefined): Promise<T> => {
    asked.push(`${kind} ${name}`);
    if (value === undefined) throw new Error("NXDOMAIN");
    return value;
  };
  const fake: Dns = { srv: (name) => answer("SRV", name, srv), a: (name) => answer("A", name, a) };
  return { fake, asked };
}

const HOST = "linkerd-dst-headless.linkerd.svc.cluster.local.";
const BARE = HOST.slice(0, -1);
const pod = (label: string, port: number) => ({ name: `${label}.${BARE}`, port });
const A_RECORDS = [
  { address: "10.96.0.1", ttlMs: 30_000 },
  { address: "10.96.0.2", ttlMs: 7000 },
];

describe("no question is asked of", () => {
  test.each([
    ["127.0.0.1", "127.0.0.1"],
    ["::1", "::1"],
    ["localhost.", "127.0.0.1"],
  ])("%s", async (host, ip) => {
    const { fake, asked } = dns();
    expect(await resolveControl({ host, port: 8086 }, fake)).toEqual({ addrs: [{ ip, port: 8086 }], ttlMs: Number.POSITIVE_INFINITY });
    expect(asked).toEqual([]);
  });
});

test("SRV of the bare name: dashed labels are addresses, the port is the record's", async () => {
  const { fake, asked } = dns({ srv: [pod("10-1-2-3", 8086), pod("10-1-2-4", 9086)] });
  expect(await resolveControl({ host: HOST, port: 1 }, fake)).toEqual({
    addrs: [
      { ip: "10.1.2.3", port: 8086 },
      { ip: "10.1.2.4", port: 9086 },
    ],
    ttlMs: SRV_TTL_MS,
  });
  expect(asked).toEqual([`SRV ${BARE}`]);
});

test.each<[string, Srv | undefined]>([
  ["no SRV", undefined],
  ["an empty SRV", []],
  ["a target of another form", [pod("10-1-2-3", 8086), pod("dst-0", 8086)]],
  ["a target with too much", [pod("10-1-2-3-4", 8086)]],
  ["a target of IPv6, which dashes cannot write", [pod("::", 8086)]],
])("%s: A with the configured port", async (_, srv) => {
  const { fake, asked } = dns({ ...(srv === undefined ? {} : { srv }), a: A_RECORDS });
  expect(await resolveControl({ host: HOST, port: 8086 }, fake)).toEqual({
    addrs: [
      { ip: "10.96.0.1", port: 8086 },
      { ip: "10.96.0.2", port: 8086 },
    ],
    ttlMs: 7000,
  });
  expect(asked).toEqual([`SRV ${BARE}`, `A ${BARE}`]);
});

test.each<[string, A | undefined]>([
  ["NXDOMAIN", undefined],
  ["no address", []],
])("%s: an error that names the host", async (_, a) => {
  expect(resolveControl({ host: HOST, port: 8086 }, dns(a === undefined ? {} : { a }).fake)).rejects.toThrow(`cannot resolve ${HOST}: `);
});

test("no more addresses than the bound", async () => {
  const records = Array.from({ length: MAX_ADDRESSES + 1 }, (_, i) => pod(`10-0-0-${i}`, 8086));
  expect((await resolveControl({ host: HOST, port: 1 }, dns({ srv: records.slice(1) }).fake)).addrs).toHaveLength(MAX_ADDRESSES);
  expect((await resolveControl({ host: HOST, port: 1 }, dns({ srv: records }).fake)).addrs).toHaveLength(MAX_ADDRESSES);
});
