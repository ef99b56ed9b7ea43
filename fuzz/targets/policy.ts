// Inbound policy: messages of the controller, what they become, and the verdict on clients, against a naive reading by bits.
import { parseIp } from "#addr";
import { decode, encode } from "#grpc";
import { authorize, type Client, contains, parseAddress, parseNetwork, type ServerPolicy, samePolicy } from "#policy";
import { methods } from "../../proxy/control/api.ts";
import { policyOf } from "../../proxy/control/convert.ts";
import { Choices } from "../input.ts";
import { attempt, check, same, type Target } from "../target.ts";

const target: Target = {
  name: "policy",
  what: "inbound policy: any message is taken or refused in words; verdicts are those of a naive reading, address by address, bit by bit",
  maxBytes: 300,
  seeds: [
    "\x01\x00\x01\x01\x01\x00\x0a\x00\x00\x00\x08\x00\x01\x00\x00\x0a\x01\x02\x03",
    "\x01\x01\x02\x01\x01\x00\xc0\xa8\x00\x00\x10\x01\xc0\xa8\x05\x00\x18\x02\x02\x01\x02\x01\x03\x02\x01\xc0\xa8\x05\x07\x01\x01",
    "\x01\x02\x01\x01\x01\x01\xfd\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x08\x00\x01\x01\x01\x01\xfd\x01",
    "\x02\x0a\x02\x12\x00\x22\x0a\x0a\x04name\x12\x02s1",
    "\x00\x0a\x04\x0a\x02\x0a\x00\x22\x0a\x0a\x04name\x12\x02s1",
  ],
  dictionary: ["\x0a\x04name\x12", "\x0a\x00\x00\x00\x08", "\x7f\x00\x00\x01", "\xff\xff"],
  run(input) {
    if (input.length === 0) return;
    if ((input[0] as number) % 2 === 1) structured(new Choices(input.subarray(1)));
    else raw(input.slice(1));
  },
};
export default target;

type Message = Parameters<typeof policyOf>[0];
type Networks = Message["authorizations"][number]["networks"];
type Block = NonNullable<Networks[number]["net"]>;

/** What policyOf throws names the field. */
function convert(message: Message): ServerPolicy | null {
  try {
    return policyOf(message);
  } catch (error) {
    const { message: text } = error as Error;
    check(
      (error as Error).constructor === Error &&
        /^(?:labels|protocol|authorizations\[\d+\])\..* (?:is missing|missing or negative|is empty|not a network)/.test(text),
      () => `${(error as Error).stack}`,
    );
    return null;
  }
}

function raw(bytes: Uint8Array): void {
  const message = attempt(() => decode(methods.watchPort.response, bytes), Error);
  if (message === null) return;
  const policy = convert(message);
  if (policy === null) return;
  check(samePolicy(policy, policyOf(message)), "the same message, another policy");
  for (const ip of ["127.0.0.1", "10.0.0.1", "::1", "fd00::1"])
    for (const id of [null, "a.b"]) {
      const client = { ip, tls: id !== null, id };
      same(authorize(policy, client)?.name ?? null, naive(message, client), `verdict on ${ip}`);
    }
}

const LABELS = ["a", "web", "ns", "cluster", "local"];

function structured(choices: Choices): void {
  const blocks: Block[] = [];
  const network = (): Block => {
    const v6 = choices.bool();
    // Near one that was there before, so that prefixes nest.
    const near = choices.bool() ? blocks.find((one) => (one.ip?.ip.case === "ipv6") === v6)?.ip : undefined;
    const ip =
      near ??
      (v6
        ? { ip: { case: "ipv6" as const, value: { first: big(choices), last: big(choices) } } }
        : { ip: { case: "ipv4" as const, value: choices.uint32() } });
    const block = { ip, prefixLen: choices.byte() % (v6 ? 130 : 34) };
    blocks.push(block);
    return block;
  };
  const names = Array.from({ length: 3 }, () => Array.from({ length: 1 + choices.below(4) }, () => choices.of(LABELS)).join("."));
  const authorizations = Array.from({ length: choices.below(4) }, (_, i) => ({
    labels: { name: `authz-${i}` },
    networks: Array.from({ length: 1 + choices.below(2) }, () => ({
      net: network(),
      except: Array.from({ length: choices.below(3) }, network),
    })),
    authentication: { permit: permit(choices, names) },
  }));
  const message = { protocol: { kind: { case: "opaque", value: {} } }, authorizations, labels: { name: "srv" } } as unknown as Message;
  // Over the wire and back.
  const received = decode(methods.watchPort.response, encode(methods.watchPort.response, message));
  same(received, message, "over the wire");
  const policy = convert(received);
  if (policy === null) {
    check(
      blocks.some(({ ip, prefixLen }) => prefixLen > (ip?.ip.case === "ipv6" ? 128 : 32)),
      "a good policy is refused",
    );
    return;
  }
  for (let n = 0; n < 6; n++) {
    const client = clientOf(choices, blocks, names);
    same(authorize(policy, client)?.name ?? null, naive(received, client), `verdict on ${JSON.stringify(client)}`);
  }
}

function permit(choices: Choices, names: readonly string[]): unknown {
  switch (choices.below(4)) {
    case 0:
      return { case: "unauthenticated", value: {} };
    case 1:
      return { case: "meshTLS", value: { clients: { case: "unauthenticated", value: {} } } };
    default: {
      const identities = Array.from({ length: choices.below(3) }, () => ({ name: choices.of(names) }));
      const suffixes = Array.from({ length: choices.below(3) }, () => ({ parts: choices.of(names).split(".").slice(choices.below(4)) }));
      return { case: "meshTLS", value: { clients: { case: "identities", value: { identities, suffixes } } } };
    }
  }
}

function clientOf(choices: Choices, blocks: readonly Block[], names: readonly string[]): Client {
  let ip = choices.bool() ? "127.0.0.1" : "::1";
  if (blocks.length > 0 && choices.byte() % 8 !== 0) {
    const block = choices.of(blocks);
    const bits = bitsOf(block);
    // An address within the block, or a bit away from it.
    const flip = choices.byte() % bits.length;
    const flipped = choices.bool() ? [...bits].map((bit, i) => (i === flip ? (bit === "0" ? "1" : "0") : bit)).join("") : bits;
    ip = textOf(flipped);
  }
  const id = choices.bool() ? (choices.bool() ? choices.of(names) : `${choices.of(LABELS)}.${choices.of(names)}`) : null;
  return { ip, tls: choices.bool(), id };
}

const big = (choices: Choices): bigint => (BigInt(choices.uint32()) << 32n) | BigInt(choices.uint32());

function bitsOf({ ip }: Block): string {
  const value = ip?.ip;
  if (value?.case === "ipv4") return value.value.toString(2).padStart(32, "0");
  if (value?.case === "ipv6") return value.value.first.toString(2).padStart(64, "0") + value.value.last.toString(2).padStart(64, "0");
  return "";
}

function textOf(bits: string): string {
  if (bits.length === 32) return [0, 8, 16, 24].map((at) => Number.parseInt(bits.slice(at, at + 8), 2)).join(".");
  const text = Array.from({ length: 8 }, (_, i) => Number.parseInt(bits.slice(i * 16, i * 16 + 16), 2).toString(16)).join(":");
  return parseIp(text) as string;
}

/** Spec proxy §8.3, with addresses as text of bits. */
function naive(message: Message, { ip, tls, id }: Client): string | null {
  const bits = addressBits(ip);
  const within = (block: Block | undefined): boolean =>
    block !== undefined &&
    bits.length === bitsOf(block).length &&
    bits.slice(0, block.prefixLen) === bitsOf(block).slice(0, block.prefixLen);
  for (const { labels, networks, authentication } of message.authorizations) {
    if (!networks.some(({ net, except }) => within(net) && !except.some(within))) continue;
    const given = authentication?.permit;
    let fits = given?.case === "unauthenticated";
    if (given?.case === "meshTLS") {
      const clients = (given.value as { clients: { case?: string; value?: unknown } }).clients;
      if (clients.case === "unauthenticated") fits = tls;
      else if (tls && id !== null) {
        const { identities, suffixes } = clients.value as { identities: { name: string }[]; suffixes: { parts: string[] }[] };
        const labelsOf = id.split(".");
        fits =
          identities.some(({ name }) => name === id) ||
          // The parts are the end of the name, and it has at least a label more.
          suffixes.some(({ parts }) => {
            const suffix = parts.join(".").split(".");
            return parts.length === 0 || (labelsOf.length > suffix.length && labelsOf.slice(-suffix.length).join(".") === suffix.join("."));
          });
      }
    }
    if (fits) return labels["name"] as string;
  }
  return ip === "127.0.0.1" || ip === "::1" ? "default:localhost" : null;
}

function addressBits(ip: string): string {
  const { v4, v6 } = parseAddress(ip);
  const whole = parseNetwork(ip);
  check(whole !== null && contains(whole, { v4, v6 }), "an address is in the network of itself alone");
  return v4 !== null ? v4.toString(2).padStart(32, "0") : (v6 ?? []).map((hextet) => hextet.toString(2).padStart(16, "0")).join("");
}
