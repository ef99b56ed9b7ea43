// Addresses, names and authorities as text.
import { isIP } from "node:net";
import {
  authorityOf,
  formatNameAddr,
  formatSocketAddr,
  isLoopback,
  parseDnsName,
  parseIp,
  parseNameAddr,
  parsePort,
  parseSocketAddr,
  splitAuthority,
} from "#addr";
import { isAuthority, portOf, sameAuthority } from "#http";
import { parseNetwork } from "#policy";
import { check, same, type Target, utf8 } from "../target.ts";

const target: Target = {
  name: "addr",
  what: "addresses, DNS names, authorities: as the platform and a naive reading have them; what is printed parses to the same",
  maxBytes: 330,
  seeds: [
    "127.0.0.1:80",
    "[::1]:4143",
    "[2001:db8::1:0:0:1]",
    "::ffff:10.0.0.1",
    "1:2:3:4:5:6:7.8.9.10",
    "fe80::1%eth0",
    "web.emojivoto.svc.cluster.local.:8080",
    "a_b-c.d1:0080",
    "user@host:1",
    "1.2.3.4",
    "01.2.3.4",
    "\xe2\x84\xaa8s.a",
    "10.0.0.0/8",
    "fd00::/8",
    `${"a".repeat(63)}.${"b".repeat(63)}`,
  ],
  dictionary: ["::", "::ffff:", "[", "]:", ".svc.cluster.local", "255.255", "65535", "%eth0", "/128"],
  run(input) {
    const text = utf8(input);
    ip(text);
    name(text);
    port(text);
    authority(text);
  },
};
export default target;

function ip(text: string): void {
  const parsed = parseIp(text);
  // A zone is refused on purpose.
  check((parsed !== null) === (isIP(text) !== 0 && !text.includes("%")), () => `parseIp: ${parsed}, the platform: IPv${isIP(text)}`);
  if (parsed === null) return;
  same(parseIp(parsed), parsed, "canonical text is its own");
  check(parsed === parsed.toLowerCase() && !parsed.includes("["), "canonical text");
  const v4 = !parsed.includes(":");
  if (!v4) same(new URL(`http://[${text}]/`).hostname, `[${parsed}]`, "RFC 5952");
  same(isLoopback(parsed), v4 ? parsed.split(".")[0] === "127" : parsed === "::1", "loopback");
  same(parseSocketAddr(formatSocketAddr({ ip: parsed, port: 65535 })), { ip: parsed, port: 65535 }, "socket address");
  check(parseDnsName(text) === null, "an IP is no DNS name");
  check(parseNetwork(text) !== null && parseNetwork(`${text}/0`) !== null && parseNetwork(`${text}/129`) === null, "an IP as a network");
}

function name(text: string): void {
  const bare = text.toLowerCase().replace(/\.$/, "");
  const labels = bare.split(".");
  const fits = labels.every(
    (label) => label.length >= 1 && label.length <= 63 && /^[a-z0-9_-]+$/.test(label) && !label.startsWith("-") && !label.endsWith("-"),
  );
  // Lower-casing must not turn other letters into ASCII: the Kelvin sign is no k.
  const ascii = /^[\x00-\x7f]*$/.test(text);
  const expected = ascii && bare.length <= 253 && fits && !/^\d+$/.test(labels.at(-1) ?? "") ? bare : null;
  same(parseDnsName(text), expected, "DNS name");
}

function port(text: string): void {
  const n = Number(text);
  const expected = /^\d+$/.test(text) && String(n) === text && n <= 65535 ? n : null;
  same(parsePort(text), expected, "port");
}

function authority(text: string): void {
  const split = splitAuthority(text);
  if (split !== null) {
    check(split.host !== "" && !split.host.includes("@"), () => `host ${JSON.stringify(split.host)}`);
    const again = split.host.includes(":") ? `[${split.host}]` : split.host;
    same(splitAuthority(split.port === null ? again : `${again}:${split.port}`), split, "split, joined and split again");
  }
  const socket = parseSocketAddr(text);
  if (socket !== null) {
    same(parseSocketAddr(formatSocketAddr(socket)), socket, "socket address");
    check(isAuthority(formatSocketAddr(socket)), "a socket address is an authority");
  }
  const named = parseNameAddr(text);
  if (named !== null) {
    check(socket === null, "a name and an IP at once");
    same(parseNameAddr(formatNameAddr(named)), named, "name and port");
    same(parseNameAddr(authorityOf(named)), named, "as an authority");
    check(isAuthority(authorityOf(named)) && sameAuthority(authorityOf(named), formatNameAddr(named), "80"), "an authority of HTTP");
  }
  if (!isAuthority(text)) return;
  check(!/[\s/?#@\\"<>^`{|}\x7f-\uffff]/.test(text), "a character that ends or splits an authority elsewhere");
  check(portOf(text) === "" || Number(portOf(text)) <= 65535, "port of an authority");
  check(sameAuthority(text, text.toUpperCase(), "80"), "case of a host");
  same(
    sameAuthority(text, `${text.slice(0, text.length - portOf(text).length).replace(/:$/, "")}:${portOf(text) || "80"}`, "80"),
    true,
    "default port",
  );
}
