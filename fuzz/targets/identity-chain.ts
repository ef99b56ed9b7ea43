// Certificate chains from the identity service and from peers: mutated, mixed and made up.
import { X509Certificate } from "node:crypto";
import { parseDnsName } from "#addr";
import { MAX_CHAIN, parseAnchors, verifyChain } from "../../proxy/identity/chain.ts";
import { firstDnsName } from "../../proxy/tls/server.ts";
import { INTERMEDIATE, LEAF, NAME, NOW_MS, ROOT, signedPart } from "../harness/certificates.ts";
import { Choices } from "../input.ts";
import { check, latin1, same, type Target, utf8 } from "../target.ts";

const target: Target = {
  name: "identity-chain",
  what: "certificate chains: only what an anchor has signed, for the name and the time asked for; anchors of any text; the first DNS name of any SAN",
  maxBytes: 300,
  seeds: [
    "\x00\x00\x02\x02\x00\x01\x00",
    "\x00\x00\x03\x02\x00\x01\x00\x00\x00",
    "\x00\x00\x02\x02\x01\x00\x50\xff\x01\x00",
    "\x00\x01\x02\x02\x00\x01\x00",
    "\x00\x02\x01\x02\x00",
    "\x01DNS:a.b, DNS:c.d, URI:spiffe://x",
    "\x01DNS:*.a.b",
    "\x01IP Address:10.0.0.1, DNS:x",
    "\x02-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n",
  ],
  dictionary: ["DNS:", ", ", "URI:", "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----", '"', "\0", "\x30\x82", "\x55\x1d\x11"],
  run(input) {
    if (input.length === 0) return;
    switch ((input[0] as number) % 3) {
      case 0:
        chain(new Choices(input.subarray(1)));
        break;
      case 1:
        sanText(latin1(input.subarray(1)));
        break;
      default:
        anchorsText(utf8(input.subarray(1)));
    }
  },
};
export default target;

const GOOD = [LEAF, INTERMEDIATE, ROOT];
const SIGNED = GOOD.map((der) => latin1(signedPart(der) as Uint8Array));
const NAMES = [NAME, "other.ns.serviceaccount.identity.linkerd.cluster.local", NAME.toUpperCase(), "*.ns", "root.linkerd.cluster.local"];
const TIMES = [NOW_MS, 0, Date.parse("2100-01-01T00:00:00Z"), Date.parse("2076-06-01T00:00:00Z")];
const anchor = new X509Certificate(ROOT);

function chain(choices: Choices): void {
  const anchors = choices.byte() % 8 === 7 ? [] : [anchor];
  const nowMs = TIMES[choices.byte() % TIMES.length] as number;
  const certificates: Uint8Array[] = [];
  for (let n = choices.byte() % 13; n > 0; n--) {
    const which = choices.byte();
    if (which >= 250) certificates.push(choices.bytes());
    else {
      const der = (GOOD[which % GOOD.length] as Uint8Array).slice();
      for (let changes = choices.byte() % 4; changes > 0; changes--) der[choices.uint16() % der.length] = choices.byte();
      certificates.push(der);
    }
  }
  const name = choices.of(NAMES);
  let accepted: X509Certificate[];
  try {
    accepted = verifyChain({ chain: certificates, anchors, name, nowMs });
  } catch (error) {
    check(error instanceof Error && error.message !== "" && !(error instanceof TypeError), () => `${(error as Error).stack}`);
    return;
  }
  check(anchors.length > 0, "accepted without an anchor");
  check(nowMs === NOW_MS, "accepted outside of its time");
  check(name.toLowerCase() === NAME, () => `accepted for ${name}`);
  check(certificates.length <= MAX_CHAIN && accepted.length === certificates.length, "accepted with more certificates than the bound");
  // Nobody can sign: what was signed must be what it was. Up to the anchor; what stands behind it is not looked at.
  const signed = certificates.map((der) => signedPart(der)).map((part) => (part === null ? "" : latin1(part)));
  same(signed[0] === SIGNED[0], true, "another leaf is accepted");
  same(signed[1] === SIGNED[1], true, "another intermediate is accepted");
}

function sanText(text: string): void {
  const name = firstDnsName(text);
  if (name === null) return;
  check(parseDnsName(name) === name && !name.includes("*"), () => `${JSON.stringify(name)} is no DNS name`);
  const first = text.split(", ").find((entry) => entry.startsWith("DNS:"));
  same(first?.slice(4).toLowerCase(), name, "the first DNS name");
}

function anchorsText(text: string): void {
  const bad: string[] = [];
  const pem = `-----BEGIN CERTIFICATE-----\n${Buffer.from(ROOT).toString("base64")}\n-----END CERTIFICATE-----\n`;
  const anchors = parseAnchors(text, (problem) => bad.push(problem));
  check(
    anchors.length + bad.length === (text.match(/-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g) ?? []).length,
    "a certificate is lost",
  );
  for (const problem of bad) check(/^trust anchor \d+: ./.test(problem), () => problem);
  // A good one is found whatever stands before it, unless that swallows its first line.
  if (!text.includes("-----BEGIN")) same(parseAnchors(text + pem, () => {}).length, 1, "a good anchor behind any text");
}
