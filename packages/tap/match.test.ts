import { describe, expect, test } from "bun:test";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { ObserveRequestSchema } from "#api/tap_pb";
import { decode, MAX_DEPTH } from "#grpc";
import { compileMatch, InvalidMatch, type Match, METHODS, observeRequest, type TapRequest } from "./index.ts";

type Init = NonNullable<MessageInitShape<typeof ObserveRequestSchema>["match"]>;

/** As a proxy gets it: over the wire. */
function compile(match: Init): Match {
  return compileMatch(decode(observeRequest, toBinary(ObserveRequestSchema, create(ObserveRequestSchema, { match }))).match);
}

const request: TapRequest = {
  source: { ip: "10.1.2.3", port: 40000 },
  destination: { ip: "fd00::5", port: 8080 },
  destinationLabels: [
    ["pod", "web-0"],
    ["service", "web"],
  ],
  routeLabels: [["route", "GET /a"]],
  method: "GET",
  scheme: "http",
  authority: "web.ns:8080",
  path: "/a/b",
};

const all = (...matches: Init[]): Init => ({ match: { case: "all", value: { matches } } });
const any = (...matches: Init[]): Init => ({ match: { case: "any", value: { matches } } });
const not = (match: Init): Init => ({ match: { case: "not", value: match } });
const ports = (min: number, max: number): Init => ({ match: { case: "source", value: { match: { case: "ports", value: { min, max } } } } });
const destinationPorts = (min: number, max: number): Init => ({
  match: { case: "destination", value: { match: { case: "ports", value: { min, max } } } },
});
const v4 = (a: number, b: number, c: number, d: number): number => ((a * 256 + b) * 256 + c) * 256 + d;
const from4 = (ip: number, mask: number): Init => ({
  match: { case: "source", value: { match: { case: "netmask", value: { ip: { ip: { case: "ipv4", value: ip } }, mask } } } },
});
const to6 = (first: bigint, last: bigint, mask: number): Init => ({
  match: {
    case: "destination",
    value: { match: { case: "netmask", value: { ip: { ip: { case: "ipv6", value: { first, last } } }, mask } } },
  },
});
const http = (match: Extract<NonNullable<Init["match"]>, { case: "http" }>["value"]["match"]): Init =>
  ({ match: { case: "http", value: { match } } }) as Init;
const method = (value: number | string): Init =>
  http({ case: "method", value: { type: typeof value === "number" ? { case: "registered", value } : { case: "unregistered", value } } });
const scheme = (value: number | string): Init =>
  http({ case: "scheme", value: { type: typeof value === "number" ? { case: "registered", value } : { case: "unregistered", value } } });
const path = (which: "exact" | "prefix", value: string): Init => http({ case: "path", value: { match: { case: which, value } } });
const authority = (which: "exact" | "prefix", value: string): Init => http({ case: "authority", value: { match: { case: which, value } } });
const label = (which: "destinationLabel" | "routeLabel", key: string, value: string): Init => ({
  match: { case: which, value: { key, value } },
});
const yes = all();
const no = any();

describe("takes or leaves the request", () => {
  test.each([
    ["all of nothing", yes, true],
    ["any of nothing", no, false],
    ["all: one says no", all(yes, no), false],
    ["any: one says yes", any(no, yes), true],
    ["not", not(no), true],
    ["children that say nothing are passed over", all({}, yes), true],
    ["any of children that say nothing", any({}), false],
    ["a port range, its lower bound", ports(40000, 50000), true],
    ["its upper bound", ports(1, 40000), true],
    ["past it", ports(40001, 50000), false],
    ["min alone is one port", ports(40000, 0), true],
    ["max alone is one port", ports(0, 39999), false],
    ["of the destination", destinationPorts(8080, 8080), true],
    ["a network", from4(v4(10, 1, 0, 0), 16), true],
    ["host bits do not count", from4(v4(10, 1, 9, 9), 16), true],
    ["another network", from4(v4(10, 2, 0, 0), 16), false],
    ["one address", from4(v4(10, 1, 2, 3), 32), true],
    ["IPv6", to6(0xfd00_0000_0000_0000n, 0n, 64), true],
    ["one IPv6 address", to6(0xfd00_0000_0000_0000n, 5n, 128), true],
    ["another IPv6 address", to6(0xfd00_0000_0000_0000n, 6n, 128), false],
    ["another family", to6(0n, 0n, 1), false],
    ["a method", method(0), true],
    ["another method", method(1), false],
    ["a method by its name", method("GET"), true],
    ["a scheme", scheme(0), true],
    ["https", scheme(1), false],
    ["a scheme by its name, whatever the case", scheme("HTTP"), true],
    ["the path", path("exact", "/a/b"), true],
    ["a part of it", path("exact", "/a"), false],
    ["its beginning", path("prefix", "/a"), true],
    ["not its beginning", path("prefix", "/b"), false],
    ["the authority", authority("exact", "web.ns:8080"), true],
    ["its beginning", authority("prefix", "web."), true],
    ["a label of the destination", label("destinationLabel", "service", "web"), true],
    ["another value", label("destinationLabel", "service", "we"), false],
    ["a label it does not have", label("destinationLabel", "route", "GET /a"), false],
    ["a label of the route", label("routeLabel", "route", "GET /a"), true],
  ] as [string, Init, boolean][])("%s", (_, match, expected) => {
    expect(compile(match)(request)).toBe(expected);
  });

  test("a client whose connection is gone is no source", () => {
    expect(compile(ports(1, 65535))({ ...request, source: null })).toBe(false);
    expect(compile(not(ports(1, 65535)))({ ...request, source: null })).toBe(true);
  });

  test("every registered method has its name", () => {
    METHODS.forEach((name, number) => void expect(compile(method(number))({ ...request, method: name })).toBe(true));
  });
});

describe("refused", () => {
  test.each([
    ["nothing", {}, "missing required field"],
    ["not of nothing", not({}), "missing required field"],
    ["an invalid child", any(yes, ports(0, 0)), "missing required field"],
    ["an address that is neither", { match: { case: "source", value: {} } }, "missing required field"],
    ["ports above the last one", ports(65536, 65536), "invalid port number"],
    ["max above the last one", ports(1, 65536), "invalid port number"],
    ["an empty range", ports(2, 1), "invalid port number"],
    ["mask 0", from4(0, 0), "missing required field"],
    ["no address", { match: { case: "source", value: { match: { case: "netmask", value: { mask: 8 } } } } }, "missing required field"],
    ["mask 33", from4(0, 33), "invalid network address"],
    ["mask 129", to6(0n, 0n, 129), "invalid network address"],
    ["an empty key", label("destinationLabel", "", "x"), "missing required field"],
    ["an empty value", label("routeLabel", "x", ""), "missing required field"],
    ["no method", http({ case: "method", value: {} }), "missing required field"],
    ["method 9", method(9), "invalid http method"],
    ["a method that is no token", method("GE T"), "invalid http method"],
    ["no scheme", http({ case: "scheme", value: {} }), "missing required field"],
    ["scheme 2", scheme(2), "invalid request scheme"],
    ["a scheme that is none", scheme("ht tp"), "invalid request scheme"],
    ["no path", http({ case: "path", value: {} }), "missing required field"],
    ["http that says nothing", { match: { case: "http", value: {} } }, "missing required field"],
  ] as [string, Init, string][])("%s", (_, match, message) => {
    expect(() => compile(match)).toThrow(new InvalidMatch(message));
  });

  test("nesting deeper than messages may", () => {
    let deep: Init = yes;
    for (let i = 0; i < MAX_DEPTH; i++) deep = not(deep);
    expect(() => compile(deep)).toThrow(`deeper than ${MAX_DEPTH}`);
  });
});
