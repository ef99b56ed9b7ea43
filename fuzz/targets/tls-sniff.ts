// The server name in a ClientHello: arbitrary bytes, and hellos made of them.
import { parseDnsName } from "#addr";
import { MAX_SNIFF_BYTES, sniff } from "#tls-sniff";
import { Choices } from "../input.ts";
import { bytesOf, check, latin1, same, type Target } from "../target.ts";

const target: Target = {
  name: "tls-sniff",
  what: "ClientHello: every prefix says need-more or what the whole says; a hello with a name gives that name, without one none",
  maxBytes: 2048,
  seeds: [
    "\x01\x05\x08\x02\x01\x0bexample.com\x03\x01\x02h2\x00",
    `\x00${hello("web.ns.svc.cluster.local", 32, [])}`,
    `\x00${hello(null, 0, [])}`,
    `\x00${hello("A-1_b.Example", 0, [[0x2b, "\x02\x03\x04"]])}GET / HTTP/1.1\r\n`,
    "\x00\x15\x03\x01\x00\x02\x01\x00",
  ],
  dictionary: ["\x16\x03\x01", "\x16\x03\x03", "\x01\x00", "\x03\x03", "\x00\x00\x00", "example.com", "\x13\x01"],
  run(input) {
    if (input.length === 0) return;
    if ((input[0] as number) % 2 === 1) structured(new Choices(input.subarray(1)));
    else prefixes(input.slice(1));
  },
};
export default target;

function prefixes(bytes: Uint8Array): ReturnType<typeof sniff> {
  const whole = sniff(bytes);
  // Beyond 300 bytes every seventh: long extensions are skipped as a whole.
  for (let n = 0; n < bytes.length; n += n < 300 ? 1 : 7) {
    const early = sniff(bytes.slice(0, n));
    if (early.kind !== "need-more") same(early, whole, `its first ${n} bytes`);
  }
  if (whole.kind === "hello" && whole.serverName !== null) {
    same(parseDnsName(whole.serverName), whole.serverName, "a DNS name in canonical form");
    check(latin1(bytes).toLowerCase().includes(whole.serverName), "a name that is not in the bytes");
  }
  if (whole.kind === "need-more") check(bytes.length < MAX_SNIFF_BYTES, "more than the bound is asked for");
  return whole;
}

function structured(choices: Choices): void {
  const session = choices.below(33);
  const name = choices.bool() ? choices.text(260) : null;
  const extensions: [number, string][] = [];
  while (!choices.done && extensions.length < 8) extensions.push([1 + choices.below(255), choices.text(200)]);
  const text = hello(name, session, extensions);
  const bytes = bytesOf(`${text}more`);
  const dnsName = name === null || name.endsWith(".") || /[^\x00-\x7f]/.test(name) ? null : parseDnsName(name);
  same(prefixes(bytes), { kind: "hello", serverName: dnsName }, "a whole hello");
}

/** RFC 8446 §4.1.2 in one record. */
function hello(name: string | null, session: number, extensions: readonly (readonly [number, string])[]): string {
  const u16 = (n: number): string => String.fromCharCode(n >> 8, n & 255);
  const vector16 = (body: string): string => u16(body.length) + body;
  const all = [...extensions];
  // In the middle, as clients shuffle them.
  if (name !== null) all.splice(all.length >> 1, 0, [0, vector16(`\0${vector16(name)}`)]);
  const list = all.map(([type, body]) => u16(type) + vector16(body)).join("");
  const body = `\x03\x03${"r".repeat(32)}${String.fromCharCode(session)}${"s".repeat(session)}${vector16("\x13\x01\x13\x02")}\x01\0${list === "" ? "" : vector16(list)}`;
  return `\x16\x03\x01${vector16(`\x01\0${vector16(body)}`)}`;
}
