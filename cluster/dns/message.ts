// One DNS query in, one answer out, as bytes (RFC 1035, EDNS of RFC 6891).
import dnsPacket, { type Packet } from "dns-packet";
import type { Answer } from "./records.ts";

/** A query longer than this is not one this server would be asked. */
export const maxQueryBytes = 4_096;
/** Largest answer over UDP without EDNS (RFC 1035 §4.2.1). */
const plainUdpBytes = 512;
/** Largest answer over UDP with it: what crosses links without fragments (dnsflagday 2020). */
const maxUdpBytes = 1_232;
/** Answers over TCP carry a 16-bit length. */
export const maxTcpBytes = 65_535;

/**
 * A label of a query may hold any byte, but not all can be written again: a dot within one makes empty labels, bytes that are no UTF-8
 * become longer ones, a line's end swallows the dot beside it. No name that is served has any but visible ASCII.
 */
function isWritable(name: string): boolean {
  return /^[\x21-\x7e]*$/.test(name) && (name === "." || name === "" || name.split(".").every((label) => label !== ""));
}

const rcodes = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4 } as const;

/**
 * The answer's bytes; `undefined` when the query deserves none (too short to have an id, or itself an answer).
 * @param transport bounds the answer: over UDP it is cut, with the TC bit, to what the client said it takes.
 */
export function respond(
  query: Uint8Array,
  resolve: (name: string, type: string) => Answer,
  transport: "udp" | "tcp",
): Uint8Array | undefined {
  if (query.length < 12 || (query[2]! & 0x80) !== 0) return undefined;
  const id = (query[0]! << 8) | query[1]!;
  const isRecursionDesired = (query[2]! & 1) !== 0;
  const failure = (rcode: keyof typeof rcodes) => {
    const header = new Uint8Array(12);
    header.set([query[0]!, query[1]!, 0x80 | (query[2]! & 0x79), rcodes[rcode]]);
    return header;
  };
  if (query.length > maxQueryBytes) return failure("FORMERR");
  if (((query[2]! >> 3) & 15) !== 0) return failure("NOTIMP");
  let decoded: Packet;
  try {
    decoded = dnsPacket.decode(Buffer.from(query));
  } catch {
    return failure("FORMERR");
  }
  const [question, ...others] = decoded.questions ?? [];
  if (!question || others.length > 0 || !isWritable(question.name)) return failure("FORMERR");
  const edns = decoded.additionals?.find((one) => one.type === "OPT") as { udpPayloadSize?: number } | undefined;
  const limit =
    transport === "tcp"
      ? maxTcpBytes
      : edns
        ? Math.max(plainUdpBytes, Math.min(edns.udpPayloadSize ?? plainUdpBytes, maxUdpBytes))
        : plainUdpBytes;
  let result: Answer;
  try {
    result = resolve(question.name, question.type);
  } catch {
    return failure("SERVFAIL");
  }
  const opt = edns
    ? [{ type: "OPT", name: ".", udpPayloadSize: maxUdpBytes, extendedRcode: 0, ednsVersion: 0, flags: 0, flag_do: false, options: [] }]
    : [];
  const encode = (parts: Pick<Answer, "answers" | "authorities" | "additionals">, truncated: boolean) =>
    dnsPacket.encode({
      id,
      type: "response",
      flags:
        (result.authoritative ? dnsPacket.AUTHORITATIVE_ANSWER : 0) |
        (isRecursionDesired ? dnsPacket.RECURSION_DESIRED : 0) |
        dnsPacket.RECURSION_AVAILABLE |
        (truncated ? dnsPacket.TRUNCATED_RESPONSE : 0) |
        rcodes[result.rcode],
      questions: [question],
      answers: parts.answers,
      authorities: parts.authorities,
      additionals: [...parts.additionals, ...opt],
    } as unknown as Packet);
  try {
    const whole = encode(result, false);
    if (whole.length <= limit) return whole;
    // Additional records are a courtesy; leaving them out is no truncation (RFC 2181 §9).
    const bare = encode({ ...result, additionals: [] }, false);
    if (bare.length <= limit) return bare;
    // As many as fit: a client without TCP still has something.
    let count = result.answers.length - 1;
    for (; count > 0; count--) {
      const part = encode({ answers: result.answers.slice(0, count), authorities: [], additionals: [] }, true);
      if (part.length <= limit) return part;
    }
    return encode({ answers: [], authorities: [], additionals: [] }, true);
  } catch {
    return failure("SERVFAIL");
  }
}
