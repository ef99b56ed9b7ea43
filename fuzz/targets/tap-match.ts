// The match language of taps: requests of tap clients, compiled, against a naive reading of the message.
import { decode, encode } from "#grpc";
import { parseAddress } from "#policy";
import { compileMatch, InvalidMatch, METHODS, observe, SCHEMES, type TapRequest } from "#tap";
import { Choices } from "../input.ts";
import { attempt, check, same, type Target } from "../target.ts";

const target: Target = {
  name: "tap-match",
  what: "tap matches: any message is compiled or refused with a reason; what is compiled matches as the message says",
  maxBytes: 256,
  seeds: [
    "\x01\x07\x00\x00\x01\x03\x02/a",
    "\x01\x00\x02\x03\x01\x50\x00\x50\x04\x00\x0a\x00\x00\x00\x08",
    "\x01\x02\x05\x01a\x01b",
    "\x00\x12\x06\x32\x04\x1a\x02\x08\x00",
    "\x01\x01\x02\x07\x02\x01\x07\x01\x00\x03GET",
  ],
  dictionary: ["GET", "http", "/a", "\x0a\x00\x00\x00\x08", "ns", "\x12\x06\x32\x04"],
  run(input) {
    if (input.length === 0) return;
    const structured = (input[0] as number) % 2 === 1;
    const choices = new Choices(input.subarray(1));
    let message: Observed | null;
    if (structured) message = decode(observe.request, encode(observe.request, { limit: 1, match: match(choices, 3) } as never));
    else message = attempt(() => decode(observe.request, input.slice(1)), Error);
    if (message === null) return;
    const compiled = attempt(() => compileMatch((message as Observed).match), InvalidMatch);
    for (const request of requests(choices)) {
      const verdict = compiled === null ? null : compiled(request);
      check(verdict === null || typeof verdict === "boolean", "a verdict");
      if (structured && compiled !== null) same(verdict, naive(message.match as Match, request), `verdict on ${JSON.stringify(request)}`);
    }
  },
};
export default target;

type Observed = ReturnType<typeof decode<NonNullable<(typeof observe)["request"]["of"]>>>;
type Match = NonNullable<Observed["match"]>;

const TEXTS = ["GET", "http", "/a", "a.test", "", "X", "/a/b", "https"];

function match(choices: Choices, depth: number): unknown {
  const nested = (): unknown => match(choices, depth - 1);
  switch (choices.below(depth > 0 ? 10 : 6)) {
    case 0:
    case 1:
      return { match: { case: choices.bool() ? "source" : "destination", value: { match: tcp(choices) } } };
    case 2:
      return {
        match: {
          case: choices.bool() ? "destinationLabel" : "routeLabel",
          value: { key: choices.of(["ns", ""]), value: choices.of(["a", "b", ""]) },
        },
      };
    case 3:
    case 4:
      return { match: { case: "http", value: { match: http(choices) } } };
    case 5:
      return { match: { case: undefined } };
    case 6:
      return { match: { case: "not", value: nested() } };
    default:
      return { match: { case: choices.bool() ? "all" : "any", value: { matches: Array.from({ length: choices.below(4) }, nested) } } };
  }
}

function tcp(choices: Choices): unknown {
  if (choices.bool()) return { case: "ports", value: { min: choices.of([0, 80, 90, 70_000]), max: choices.of([0, 80, 100, 70_000]) } };
  const ip = choices.bool()
    ? { case: "ipv4", value: choices.of([0x0a000001, 0xc0a80000]) }
    : { case: "ipv6", value: { first: 0xfd00000000000000n, last: 1n } };
  return { case: "netmask", value: { ip: { ip }, mask: choices.of([0, 8, 24, 32, 33, 64, 129]) } };
}

function http(choices: Choices): unknown {
  const kind = choices.of(["scheme", "method", "authority", "path"] as const);
  const text = choices.of(TEXTS);
  if (kind === "authority" || kind === "path")
    return { case: kind, value: { match: { case: choices.bool() ? "exact" : "prefix", value: text } } };
  return {
    case: kind,
    value: { type: choices.bool() ? { case: "registered", value: choices.below(11) } : { case: "unregistered", value: text } },
  };
}

function requests(choices: Choices): TapRequest[] {
  return Array.from({ length: 3 }, () => ({
    source: choices.bool() ? { ip: choices.of(["10.0.0.1", "fd00::1"]), port: choices.of([80, 95]) } : null,
    destination: { ip: choices.of(["10.0.0.2", "192.168.0.1", "fd00::1"]), port: choices.of([80, 100]) },
    destinationLabels: choices.bool() ? [["ns", "a"]] : [],
    routeLabels: choices.bool() ? [["ns", "b"]] : [],
    method: choices.of(["GET", "X", "POST"]),
    scheme: choices.of(["http", "https"]),
    authority: choices.of(["a.test", ""]),
    path: choices.of(["/a", "/a/b", "/"]),
  }));
}

function naive({ match: of }: Match, request: TapRequest): boolean {
  switch (of.case) {
    case "all":
      return of.value.matches.filter((one) => one.match.case !== undefined).every((one) => naive(one, request));
    case "any":
      return of.value.matches.filter((one) => one.match.case !== undefined).some((one) => naive(one, request));
    case "not":
      return !naive(of.value, request);
    case "source":
      return request.source !== null && naiveTcp(of.value.match, request.source);
    case "destination":
      return naiveTcp(of.value.match, request.destination);
    case "destinationLabel":
    case "routeLabel": {
      const { key, value } = of.value;
      return (of.case === "routeLabel" ? request.routeLabels : request.destinationLabels).some(([k, v]) => k === key && v === value);
    }
    case "http": {
      const { match: part } = of.value;
      if (part.case === "scheme" || part.case === "method") {
        const { type } = part.value;
        const names = part.case === "scheme" ? SCHEMES : METHODS;
        const wanted = type.case === "registered" ? names[type.value] : (type.value ?? "");
        return part.case === "scheme" ? wanted?.toLowerCase() === request.scheme : wanted === request.method;
      }
      if (part.case === undefined) return false;
      const { case: how, value = "" } = part.value.match;
      const text = request[part.case];
      return how === "exact" ? text === value : text.startsWith(value);
    }
    default:
      return false;
  }
}

type Tcp = Extract<Match["match"], { case: "source" }>["value"]["match"];

function naiveTcp(match: Tcp, addr: { readonly ip: string; readonly port: number }): boolean {
  if (match.case === "ports") {
    const ends = [match.value.min, match.value.max].filter((port) => port !== 0);
    return addr.port >= Math.min(...ends) && addr.port <= Math.max(...ends);
  }
  const ip = match.value?.ip?.ip;
  const bits = bitsOf(addr.ip);
  const wanted =
    ip?.case === "ipv4"
      ? ip.value.toString(2).padStart(32, "0")
      : ip?.case === "ipv6"
        ? ip.value.first.toString(2).padStart(64, "0") + ip.value.last.toString(2).padStart(64, "0")
        : "";
  const mask = match.value?.mask ?? 0;
  return bits.length === wanted.length && bits.slice(0, mask) === wanted.slice(0, mask);
}

function bitsOf(ip: string): string {
  const { v4, v6 } = parseAddress(ip);
  return v4 !== null ? v4.toString(2).padStart(32, "0") : (v6 ?? []).map((hextet) => hextet.toString(2).padStart(16, "0")).join("");
}
