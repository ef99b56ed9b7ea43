// Address grammar: what is taken, what is folded, what is refused.
import { expect, test } from "bun:test";
import {
  authorityOf,
  formatIpv4,
  formatSocketAddr,
  isLoopback,
  parseDnsName,
  parseIp,
  parseIpv4,
  parseNameAddr,
  parsePort,
  parseSocketAddr,
  splitAuthority,
} from "./index.ts";

test("ports are plain decimals up to 65535", () => {
  expect(["0", "1", "65535"].map(parsePort)).toEqual([0, 1, 65535]);
  for (const bad of ["", "65536", "01", "+1", "-1", " 1", "1 ", "1.0", "0x10", "999999"]) expect(parsePort(bad)).toBeNull();
});

test("IPs get one canonical text", () => {
  const table: [string, string | null][] = [
    ["10.1.2.3", "10.1.2.3"],
    ["::ffff:10.1.2.3", "10.1.2.3"],
    ["::FFFF:0a01:0203", "10.1.2.3"],
    ["2001:DB8:0:0:0:0:0:1", "2001:db8::1"],
    ["0:0:0:0:0:0:0:0", "::"],
    ["1:0:0:2:0:0:0:3", "1:0:0:2::3"],
    ["1:2:3:4:5:6:0:8", "1:2:3:4:5:6:0:8"],
    ["::1", "::1"],
    ["fe80::1%eth0", null],
    ["1.2.3", null],
    ["1.2.3.4.5", null],
    ["01.2.3.4", null],
    ["256.0.0.1", null],
    ["1..2.3", null],
    ["1:2:3:4:5:6:7", null],
    ["1::2::3", null],
    ["1:2:3:4:5:6:7:8:9", null],
    ["::12345", null],
    ["1.2.3.4::", null],
    ["", null],
  ];
  for (const [text, canonical] of table) expect([text, parseIp(text)]).toEqual([text, canonical]);
});

test("IPv4 numbers and text are inverse", () => {
  for (const text of ["0.0.0.0", "255.255.255.255", "127.0.0.1", "192.168.178.1"]) expect(formatIpv4(parseIpv4(text) ?? -1)).toBe(text);
});

test("socket addresses put IPv6 in brackets", () => {
  for (const text of ["10.0.0.1:80", "[2001:db8::1]:8080"]) {
    const addr = parseSocketAddr(text);
    expect(addr && formatSocketAddr(addr)).toBe(text);
  }
  for (const bad of ["10.0.0.1", "host:80", "2001:db8::1:80", "[::1]", "[10.0.0.1]:80", ":80"]) expect(parseSocketAddr(bad)).toBeNull();
});

test("DNS names: label rules, case, trailing dot, not an IP", () => {
  expect(parseDnsName("Web.NS.svc.cluster.local.")).toBe("web.ns.svc.cluster.local");
  expect(parseDnsName("_srv._tcp.a")).toBe("_srv._tcp.a");
  expect(parseDnsName("a".repeat(63))).not.toBeNull();
  const longest = `${"a".repeat(63)}.${"b".repeat(63)}.${"c".repeat(63)}.${"d".repeat(61)}`;
  expect(longest).toHaveLength(253);
  expect(parseDnsName(longest)).toBe(longest);
  for (const bad of ["", ".", "a..b", "-a", "a-", "1.2.3.4", "a.1", "a".repeat(64), `${longest}d`, "a b", "é", "\u212a8s.a", "*.a"])
    expect(parseDnsName(bad)).toBeNull();
});

test("authorities: default port elided and supplied, user info refused", () => {
  expect(parseNameAddr("Web.ns")).toEqual({ name: "web.ns", port: 80 });
  expect(parseNameAddr("web.ns:8080")).toEqual({ name: "web.ns", port: 8080 });
  expect(parseNameAddr("web.ns", null)).toBeNull();
  expect(parseNameAddr("10.0.0.1:80")).toBeNull();
  expect([authorityOf({ name: "a.b", port: 80 }), authorityOf({ name: "a.b", port: 81 })]).toEqual(["a.b", "a.b:81"]);
  for (const bad of ["", "user@host", "user@host:80", "host:", "host:port", "[::1", "[::1]x", "[:@]", "[fe80::1%eth0]", "a".repeat(321)])
    expect(splitAuthority(bad)).toBeNull();
});

test("loopback", () => {
  expect(["127.0.0.1", "127.8.9.1", "::1", "10.0.0.1", "::"].map(isLoopback)).toEqual([true, true, true, false, false]);
});
