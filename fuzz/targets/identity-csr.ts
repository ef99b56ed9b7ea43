// Certificate requests of workloads, and the names in their tokens.
import { parseDnsName } from "#addr";
import { CertifyError, checkCsr, identityName, maxCsrBytes, parseCsr, parseUsername } from "#identity";
import { CSR, NAME, signedPart } from "../harness/certificates.ts";
import { Choices } from "../input.ts";
import { check, latin1, same, type Target, utf8 } from "../target.ts";

const target: Target = {
  name: "identity-csr",
  what: "certificate requests: refused in the words of the service, or exactly what their key signed for the one name; names of tokens",
  maxBytes: 500,
  seeds: [
    "\x00\x00\x00",
    "\x00\x01\x00\x10\x31",
    "\x00\x02\x00\x20\x80\x00\x50\x00",
    `\x01${latin1(CSR)}`,
    "\x02system:serviceaccount:ns:web",
    "\x02system:serviceaccount:ns:we:b",
  ],
  dictionary: [
    "system:serviceaccount:",
    ":",
    "\x30\x82",
    "\x55\x1d\x11",
    "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e",
    "\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02",
  ],
  async run(input) {
    if (input.length === 0) return;
    const choices = new Choices(input.subarray(1));
    switch ((input[0] as number) % 3) {
      case 0:
        await request(mutated(choices), choices.byte() % 4 === 3 ? "other.ns" : NAME);
        break;
      case 1:
        await request(choices.rest(), NAME);
        break;
      default:
        username(utf8(choices.rest()));
    }
  },
};
export default target;

const SIGNED = latin1(signedPart(CSR) as Uint8Array);

function mutated(choices: Choices): Uint8Array {
  const der = CSR.slice();
  for (let changes = choices.byte() % 5; changes > 0; changes--) der[choices.uint16() % der.length] = choices.byte();
  return der;
}

async function request(der: Uint8Array, identity: string): Promise<void> {
  let accepted: Awaited<ReturnType<typeof checkCsr>>;
  try {
    accepted = await checkCsr(parseCsr(der), identity);
  } catch (error) {
    check(error instanceof CertifyError && error.message !== "", () => `${(error as Error).stack}`);
    return;
  }
  check(der.length <= maxCsrBytes && identity === NAME && accepted.dnsName === NAME, "accepted for another name");
  same(latin1(signedPart(der) ?? new Uint8Array(0)), SIGNED, "what is accepted is not what was signed");
}

function username(text: string): void {
  const parts = parseUsername(text);
  if (parts === undefined) return;
  const { type, namespace, name } = parts;
  same(text, `system:${type}:${namespace}:${name}`, "parts of a user name");
  const identity = identityName({ name, namespace, type, controlNamespace: "linkerd", trustDomain: "cluster.local" });
  // Two accounts must never have one identity.
  same(identity.split("."), [name, namespace, type, "identity", "linkerd", "cluster", "local"], "labels of the identity");
  // A name of digits alone is no DNS name when it stands last; here it never does.
  same(parseDnsName(identity), identity.length <= 253 ? identity : null, "the identity is a DNS name");
}
