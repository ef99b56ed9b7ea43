// The match language of taps: which requests are shown (spec proxy §10). Compiled once per call, then pure comparisons.

import type { SocketAddr } from "#addr";
import type { ObserveRequest_Match, ObserveRequest_Match_Http, ObserveRequest_Match_Label, ObserveRequest_Match_Tcp } from "#api/tap_pb";
import type { Plain } from "#grpc";
import { contains, network4, network6, parseAddress } from "#policy";

type Labels = ReadonlyArray<readonly [key: string, value: string]>;

/** A request as taps see it. */
export type TapRequest = {
  /** The client; null when its connection is gone. */
  readonly source: SocketAddr | null;
  readonly destination: SocketAddr;
  readonly destinationLabels: Labels;
  readonly routeLabels: Labels;
  readonly method: string;
  /** Lower case. */
  readonly scheme: string;
  /** Of the URI, else Host; empty without. */
  readonly authority: string;
  /** Without query. */
  readonly path: string;
};

export type Match = (request: TapRequest) => boolean;

/** The match cannot be understood; the message goes to the client with INVALID_ARGUMENT. */
export class InvalidMatch extends Error {
  override readonly name = "InvalidMatch";
}

/** Names of `HttpMethod.Registered`, by number. */
export const METHODS: readonly string[] = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "HEAD", "TRACE"];
/** Names of `Scheme.Registered`, by number. */
export const SCHEMES: readonly string[] = ["http", "https"];

// RFC 9110 §5.6.2, RFC 3986 §3.1.
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const SCHEME = /^[A-Za-z][A-Za-z0-9+.-]*$/;
const MAX_PORT = 65535;

const EMPTY = "missing required field";

/** @throws {InvalidMatch} */
export function compileMatch(match: Plain<ObserveRequest_Match> | undefined): Match {
  const of = match?.match;
  switch (of?.case) {
    case "all": {
      const parts = sequence(of.value.matches);
      return (request) => parts.every((part) => part(request));
    }
    case "any": {
      const parts = sequence(of.value.matches);
      return (request) => parts.some((part) => part(request));
    }
    case "not": {
      const inner = compileMatch(of.value);
      return (request) => !inner(request);
    }
    case "source": {
      const test = tcp(of.value);
      return ({ source }) => source !== null && test(source);
    }
    case "destination": {
      const test = tcp(of.value);
      return ({ destination }) => test(destination);
    }
    case "http":
      return http(of.value);
    case "destinationLabel": {
      const test = label(of.value);
      return ({ destinationLabels }) => test(destinationLabels);
    }
    case "routeLabel": {
      const test = label(of.value);
      return ({ routeLabels }) => test(routeLabels);
    }
    default:
      throw new InvalidMatch(EMPTY);
  }
}

/** Children that say nothing are passed over. */
function sequence(matches: readonly Plain<ObserveRequest_Match>[]): Match[] {
  return matches.filter(({ match }) => match.case !== undefined).map(compileMatch);
}

function tcp({ match }: Plain<ObserveRequest_Match_Tcp>): (addr: SocketAddr) => boolean {
  switch (match.case) {
    case "ports": {
      // One of the two alone is a single port.
      const min = match.value.min === 0 ? match.value.max : match.value.min;
      const max = match.value.max === 0 ? match.value.min : match.value.max;
      if (min === 0) throw new InvalidMatch(EMPTY);
      if (max > MAX_PORT || min > max) throw new InvalidMatch("invalid port number");
      return ({ port }) => min <= port && port <= max;
    }
    case "netmask": {
      const { ip, mask } = match.value;
      if (mask === 0 || ip === undefined || ip.ip.case === undefined) throw new InvalidMatch(EMPTY);
      const network = ip.ip.case === "ipv4" ? network4(ip.ip.value, mask) : network6(hextets(ip.ip.value), mask);
      if (network === null) throw new InvalidMatch("invalid network address");
      return (addr) => contains(network, parseAddress(addr.ip));
    }
    default:
      throw new InvalidMatch(EMPTY);
  }
}

function hextets({ first, last }: { readonly first: bigint; readonly last: bigint }): number[] {
  return [first, last].flatMap((half) => [48n, 32n, 16n, 0n].map((shift) => Number((half >> shift) & 0xffffn)));
}

function label({ key, value }: Plain<ObserveRequest_Match_Label>): (labels: Labels) => boolean {
  if (key === "" || value === "") throw new InvalidMatch(EMPTY);
  return (labels) => labels.some(([k, v]) => k === key && v === value);
}

function http({ match }: Plain<ObserveRequest_Match_Http>): Match {
  switch (match.case) {
    case "scheme": {
      const { type } = match.value;
      const wanted = type.case === "registered" ? SCHEMES[type.value] : type.value;
      if (type.case === undefined) throw new InvalidMatch(EMPTY);
      if (wanted === undefined || !SCHEME.test(wanted)) throw new InvalidMatch("invalid request scheme");
      return ({ scheme }) => scheme === wanted.toLowerCase();
    }
    case "method": {
      const { type } = match.value;
      const wanted = type.case === "registered" ? METHODS[type.value] : type.value;
      if (type.case === undefined) throw new InvalidMatch(EMPTY);
      if (wanted === undefined || !TOKEN.test(wanted)) throw new InvalidMatch("invalid http method");
      return ({ method }) => method === wanted;
    }
    case "authority": {
      const test = text(match.value.match);
      return ({ authority }) => test(authority);
    }
    case "path": {
      const test = text(match.value.match);
      return ({ path }) => test(path);
    }
    default:
      throw new InvalidMatch(EMPTY);
  }
}

type StringMatch = { readonly case: "exact" | "prefix"; readonly value: string } | { readonly case: undefined };

function text(match: StringMatch): (value: string) => boolean {
  if (match.case === undefined) throw new InvalidMatch(EMPTY);
  const { value: wanted } = match;
  return match.case === "exact" ? (value) => value === wanted : (value) => value.startsWith(wanted);
}
