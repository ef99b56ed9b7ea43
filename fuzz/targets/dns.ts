// DNS from both ends: answers about the control plane that the proxy takes, queries that the embedded cluster's server answers.
import dnsPacket, { type Packet } from "dns-packet";
import { maxQueryBytes, respond } from "../../cluster/dns/message.ts";
import type { Answer } from "../../cluster/dns/records.ts";
import { type Dns, MAX_ADDRESSES, resolveControl } from "../../proxy/control/resolve.ts";
import { Choices } from "../input.ts";
import { attempt, check, same, type Target } from "../target.ts";

const query = (name: string, type: string, extra = ""): string =>
  `\x12\x34\x01\0\0\x01\0\0\0\0\0${extra === "" ? "\0" : "\x01"}${name
    .split(".")
    .map((label) => String.fromCharCode(label.length) + label)
    .join("")}\0\0${type}\0\x01${extra}`;

const target: Target = {
  name: "dns",
  what: "DNS: whatever a server answers gives addresses within bounds or an error with the host; whatever is asked gets one answer that fits",
  maxBytes: 600,
  seeds: [
    `\x00${query("web.ns.svc.cluster.local", "\x01")}`,
    `\x00${query("a.b", "\x1c", "\0\0\x29\x04\xd0\0\0\0\0\0\0")}`,
    `\x00${query("x", "\x21")}\xc0\x0c`,
    "\x00\x12\x34\x81\x00\x00\x01",
    "\x01\x00\x02\x0d10-244-0-5.a.b\x1f\x96\x0610-0-1\x00\x50\x01\x0710.0.0.1\x00\x05",
    "\x01\x02\x00\x01\x02::1\x00\x1e",
  ],
  dictionary: ["10-244-0-5", ".svc.cluster.local", "\xc0\x0c", "\0\0\x29\x04\xd0\0\0\0\0\0\0", "\x00\x21\x00\x01"],
  async run(input) {
    if (input.length === 0) return;
    if ((input[0] as number) % 2 === 1) await resolved(new Choices(input.subarray(1)));
    else for (const transport of ["udp", "tcp"] as const) served(input.slice(1), transport);
  },
};
export default target;

async function resolved(choices: Choices): Promise<void> {
  const port = Math.max(1, choices.uint16());
  const fails = choices.byte();
  const srv = Array.from({ length: choices.below(100) }, () => ({ name: choices.text(20), port: choices.uint16() }));
  const a = Array.from({ length: choices.below(100) }, () => ({
    address: `10.0.${choices.byte()}.${choices.byte()}`,
    ttlMs: choices.byte() * 1000,
  }));
  const dns: Dns = {
    srv: async () => {
      if ((fails & 1) !== 0) throw new Error("ENOTFOUND");
      return srv;
    },
    a: async () => {
      if ((fails & 2) !== 0) throw new Error("ENOTFOUND");
      return a;
    },
  };
  let result: Awaited<ReturnType<typeof resolveControl>>;
  try {
    result = await resolveControl({ host: "dst.linkerd.", port }, dns);
  } catch (error) {
    check((error as Error).message.startsWith("cannot resolve dst.linkerd."), () => `${(error as Error).stack}`);
    check((fails & 2) !== 0 || a.length === 0, "an answer is there, and not taken");
    return;
  }
  check(result.addrs.length > 0 && result.addrs.length <= MAX_ADDRESSES, () => `${result.addrs.length} addresses`);
  check(result.ttlMs >= 0 && Number.isFinite(result.ttlMs), "ttl");
  const dashed = srv.map(({ name }) => /^(\d{1,3})-(\d{1,3})-(\d{1,3})-(\d{1,3})(?:\.|$)/.exec(name));
  const pods =
    (fails & 1) === 0 &&
    srv.length > 0 &&
    dashed.every((match) => match?.slice(1).every((part) => String(Number(part)) === part && Number(part) < 256));
  const expected = pods
    ? srv.map(({ port: own }, i) => ({ ip: (dashed[i] as RegExpExecArray).slice(1).join("."), port: own }))
    : a.map(({ address }) => ({ ip: address, port }));
  same(result.addrs, expected.slice(0, MAX_ADDRESSES), "addresses");
}

function served(bytes: Uint8Array, transport: "udp" | "tcp"): void {
  let asked = 0;
  const answer: Answer = {
    rcode: "NOERROR",
    authoritative: true,
    answers: Array.from({ length: bytes.length % 60 }, (_, i) => ({ type: "A", name: "a.b", ttl: 5, data: `10.0.0.${i}` })),
    authorities: [],
    additionals: [],
  } as unknown as Answer;
  const before = bytes.slice();
  const response = respond(
    bytes,
    () => {
      asked++;
      return answer;
    },
    transport,
  );
  same(bytes, before, "the query");
  check(asked <= 1, "asked more than once");
  if (response === undefined) {
    check(bytes.length < 12 || ((bytes[2] as number) & 0x80) !== 0, "a query without an answer");
    return;
  }
  check(response.length <= (transport === "tcp" ? 65_535 : 1232), () => `${response.length} bytes`);
  check(response[0] === bytes[0] && response[1] === bytes[1] && ((response[2] as number) & 0x80) !== 0, "an answer to this query");
  const decoded = attempt(() => dnsPacket.decode(Buffer.from(response)), Error) as Packet | null;
  check(decoded !== null, "an answer that cannot be read");
  if (bytes.length > maxQueryBytes) check(((response[3] as number) & 15) === 1, "FORMERR");
}
