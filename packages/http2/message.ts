// HTTP messages in header blocks, RFC 9113 §8: lists of fields to heads, with all that makes a message malformed, and back.
import type { Encoder, HeaderField } from "#hpack";
import { type Fields, isAuthority, RequestHead, ResponseHead, sameAuthority } from "#http";
import { isMethod, isName, isPath, isScheme, isValue, parseLength } from "./chars.ts";

/** A head and what the engine needs to know of it; kept with its block. */
export class Message<H> {
  constructor(
    readonly head: H,
    /** Value of `content-length`, -1 when absent. */
    readonly contentLength: number,
  ) {}
}

/** Why a message is malformed. */
export class Malformed {
  constructor(readonly reason: string) {}
}

// Kinds of fields, in the slot of HeaderField.
const REGULAR = 1;
const METHOD = 2;
const SCHEME = 3;
const PATH = 4;
const AUTHORITY = 5;
const STATUS = 6;
const CONTENT_LENGTH = 7;
const HOST = 8;
const COOKIE = 9;
const BAD = 10;
const UNKNOWN_PSEUDO = 11;
const CONNECTION_SPECIFIC = 12;

const KINDS: ReadonlyMap<string, number> = new Map([
  [":method", METHOD],
  [":scheme", SCHEME],
  [":path", PATH],
  [":authority", AUTHORITY],
  [":status", STATUS],
  ["content-length", CONTENT_LENGTH],
  ["host", HOST],
  ["cookie", COOKIE],
  // RFC 9113 §8.2.2.
  ["connection", CONNECTION_SPECIFIC],
  ["proxy-connection", CONNECTION_SPECIFIC],
  ["keep-alive", CONNECTION_SPECIFIC],
  ["transfer-encoding", CONNECTION_SPECIFIC],
  ["upgrade", CONNECTION_SPECIFIC],
]);

/** What depends on a field alone; fields of the tables are looked at once. */
function classify(field: HeaderField): number {
  const { name, value } = field;
  let kind = KINDS.get(name);
  if (kind === undefined) {
    if (name.charCodeAt(0) === 0x3a) kind = UNKNOWN_PSEUDO;
    else if (!isName(name)) kind = BAD;
    else if (name === "te" && value !== "trailers") kind = CONNECTION_SPECIFIC;
    else kind = REGULAR;
  }
  if (!isValidValue(kind, value)) kind = BAD;
  field.kind = kind;
  return kind;
}

function isValidValue(kind: number, value: string): boolean {
  switch (kind) {
    case METHOD:
      return isMethod(value);
    case SCHEME:
      return isScheme(value);
    case PATH:
      return isPath(value);
    case AUTHORITY:
    case HOST:
      return isAuthority(value);
    default:
      return isValue(value);
  }
}

/** The request of `fields[0..count)`. */
export function readRequest(fields: readonly HeaderField[], count: number): Message<RequestHead> | Malformed {
  let method: string | null = null;
  let scheme: string | null = null;
  let path: string | null = null;
  let authority: string | null = null;
  let host: string | null = null;
  let contentLength = -1;
  let cookieAt = -1;
  let regular = false;
  const list: string[] = [];
  for (let i = 0; i < count; i++) {
    const field = fields[i] as HeaderField;
    const kind = field.kind === 0 ? classify(field) : field.kind;
    if (kind >= METHOD && kind <= AUTHORITY) {
      if (regular) return new Malformed(`${field.name} after a field that is no pseudo-header`);
      const { value } = field;
      switch (kind) {
        case METHOD:
          if (method !== null) return new Malformed("two :method");
          method = value;
          break;
        case SCHEME:
          if (scheme !== null) return new Malformed("two :scheme");
          scheme = value;
          break;
        case PATH:
          if (path !== null) return new Malformed("two :path");
          path = value;
          break;
        default:
          if (authority !== null) return new Malformed("two :authority");
          authority = value;
      }
      continue;
    }
    regular = true;
    switch (kind) {
      case REGULAR:
        list.push(field.name, field.value);
        break;
      case CONTENT_LENGTH: {
        const length = parseLength(field.value);
        if (length < 0 || (contentLength >= 0 && length !== contentLength)) return new Malformed("bad content-length");
        if (contentLength < 0) list.push(field.name, field.value);
        contentLength = length;
        break;
      }
      case HOST:
        if (host !== null) return new Malformed("two host fields");
        host = field.value;
        break;
      case COOKIE:
        // RFC 9113 §8.2.3: one field again before it leaves HTTP/2.
        if (cookieAt < 0) {
          cookieAt = list.length + 1;
          list.push(field.name, field.value);
        } else if (field.value !== "") list[cookieAt] = list[cookieAt] === "" ? field.value : `${list[cookieAt]}; ${field.value}`;
        break;
      default:
        return bad(field, kind);
    }
  }
  if (method === null) return new Malformed("no :method");
  if (method === "CONNECT") {
    // RFC 9113 §8.5.
    if (authority === null || scheme !== null || path !== null) return new Malformed("CONNECT takes :method and :authority alone");
    if (host !== null && !sameAuthority(authority, host, "")) return new Malformed("host is not :authority");
    return new Message(
      new RequestHead({ version: "HTTP/2", method, form: "authority", scheme: null, authority, path: "", fields: list }),
      contentLength,
    );
  }
  if (scheme === null) return new Malformed("no :scheme");
  if (path === null) return new Malformed("no :path");
  const asterisk = path === "*";
  if (asterisk && method !== "OPTIONS") return new Malformed(":path * without OPTIONS");
  if (host !== null) {
    // RFC 9113 §8.3.1: one that names another entity is malformed; one that names the same is not needed.
    if (authority === null) list.push("host", host);
    else if (!sameAuthority(authority, host, scheme === "https" ? "443" : "80")) return new Malformed("host is not :authority");
  }
  return new Message(
    new RequestHead({ version: "HTTP/2", method, form: asterisk ? "asterisk" : "origin", scheme, authority, path, fields: list }),
    contentLength,
  );
}

/** The response (also 1xx) of `fields[0..count)`. */
export function readResponse(fields: readonly HeaderField[], count: number): Message<ResponseHead> | Malformed {
  let status = 0;
  let contentLength = -1;
  let regular = false;
  const list: string[] = [];
  for (let i = 0; i < count; i++) {
    const field = fields[i] as HeaderField;
    const kind = field.kind === 0 ? classify(field) : field.kind;
    switch (kind) {
      case STATUS: {
        if (regular || status !== 0) return new Malformed(":status after a field");
        status = field.value.length === 3 ? parseLength(field.value) : -1;
        // 101 has no meaning here, RFC 9113 §8.6.
        if (status < 100 || status > 599 || status === 101) return new Malformed("invalid :status");
        break;
      }
      case REGULAR:
      case HOST:
      case COOKIE:
        regular = true;
        list.push(field.name, field.value);
        break;
      case CONTENT_LENGTH: {
        regular = true;
        const length = parseLength(field.value);
        if (length < 0 || (contentLength >= 0 && length !== contentLength)) return new Malformed("bad content-length");
        if (contentLength < 0) list.push(field.name, field.value);
        contentLength = length;
        break;
      }
      default:
        return bad(field, kind);
    }
  }
  if (status === 0) return new Malformed("no :status");
  return new Message(new ResponseHead({ version: "HTTP/2", status, reason: null, fields: list }), contentLength);
}

/** Trailers: no pseudo-headers, RFC 9113 §8.1. */
export function readTrailers(fields: readonly HeaderField[], count: number): Fields | Malformed {
  const list: string[] = [];
  for (let i = 0; i < count; i++) {
    const field = fields[i] as HeaderField;
    const kind = field.kind === 0 ? classify(field) : field.kind;
    if (kind !== REGULAR && kind !== CONTENT_LENGTH && kind !== HOST && kind !== COOKIE) return bad(field, kind);
    list.push(field.name, field.value);
  }
  return list;
}

function bad(field: HeaderField, kind: number): Malformed {
  const name = JSON.stringify(field.name.slice(0, 64));
  if (kind === CONNECTION_SPECIFIC) return new Malformed(`connection-specific field ${name}`);
  if (kind === BAD) return new Malformed(`invalid field ${name}`);
  return new Malformed(`pseudo-header ${name} in the wrong place`);
}

/** Fields of HTTP/1 that have no place in HTTP/2, RFC 9113 §8.2.2; `te` only as "trailers". */
function isConnectionSpecific(name: string, value: string): boolean {
  switch (name) {
    case "connection":
    case "proxy-connection":
    case "keep-alive":
    case "transfer-encoding":
    case "upgrade":
    case "http2-settings":
      return true;
    case "te":
      return value !== "trailers";
    default:
      return false;
  }
}

/** Writers of request heads; `scheme` for those that have none. */
export function requestWriter(scheme: string): (encoder: Encoder, head: RequestHead) => void {
  return (encoder, head) => {
    const { fields } = head;
    const authority = head.authority ?? head.get("host") ?? "";
    encoder.field(":method", head.method);
    if (head.form === "authority") encoder.field(":authority", authority);
    else {
      encoder.field(":scheme", head.scheme ?? scheme);
      if (authority !== "") encoder.field(":authority", authority);
      encoder.field(":path", head.path === "" ? "/" : head.path);
    }
    for (let i = 0; i < fields.length; i += 2) {
      const name = fields[i] as string;
      const value = fields[i + 1] as string;
      if (name !== "host" && !isConnectionSpecific(name, value)) encoder.field(name, value);
    }
  };
}

export function writeResponse(encoder: Encoder, head: ResponseHead): void {
  encoder.field(":status", String(head.status));
  writeTrailers(encoder, head.fields);
}

export function writeTrailers(encoder: Encoder, fields: Fields): void {
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string;
    const value = fields[i + 1] as string;
    if (!isConnectionSpecific(name, value)) encoder.field(name, value);
  }
}
