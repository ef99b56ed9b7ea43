// Heads to bytes, with the framing each direction needs. What cannot be written without being misread is refused: a head
// may come from HTTP/2, where CR, LF and spaces are just bytes.
import { type Fields, isAuthority, portOf, type RequestHead, type ResponseHead, reasonPhrase, sameAuthority } from "#http";
import { all, NAME, TCHAR, VALUE } from "./chars.ts";
import { eachMember, parseContentLength } from "./fields.ts";
import { latin1Bytes } from "./latin1.ts";
import { isPath } from "./request-head.ts";

/** How the end of a body is told. */
export const Body = {
  /** There is none, whatever the fields say (HEAD, 1xx, 204, 304, requests that ended). */
  NONE: 0,
  LENGTH: 1,
  CHUNKED: 2,
  /** By the end of the connection. */
  CLOSE: 3,
  /** 101 or 2xx to CONNECT: no message but raw bytes follow. */
  TUNNEL: 4,
} as const;
export type Body = (typeof Body)[keyof typeof Body];

/** What a response depends on beside its head; bits of one number. */
export const Variant = { HTTP10: 1, HEAD: 2, CONNECT: 4, CLOSE: 8, END: 16 } as const;

/** The form of a head on the wire, kept in `Head.encoded`. */
export class EncodedHead {
  readonly kind: "request" | "response";
  readonly variant: number;
  /** Complete, but for `date` and the empty line when {@link needsDate}. */
  readonly bytes: Uint8Array;
  readonly body: Body;
  /** Bytes of the body with `Body.LENGTH`. */
  readonly length: number;
  readonly needsDate: boolean;
  /** The connection ends with this message. */
  readonly close: boolean;

  constructor(init: {
    kind: "request" | "response";
    variant: number;
    text: string;
    body: Body;
    length: number;
    needsDate: boolean;
    close: boolean;
  }) {
    this.kind = init.kind;
    this.variant = init.variant;
    this.bytes = latin1Bytes(init.text);
    this.body = init.body;
    this.length = init.length;
    this.needsDate = init.needsDate;
    this.close = init.close;
  }
}

/** The encoded response, from the head's slot when it is there; a text tells why the head cannot be sent. */
export function encodeResponse(head: ResponseHead, variant: number): EncodedHead | string {
  const known = head.encoded;
  if (known instanceof EncodedHead && known.variant === variant && known.kind === "response") return known;
  const encoded = responseOf(head, variant);
  if (typeof encoded !== "string") head.encoded = encoded;
  return encoded;
}

/** The encoded request; `end`: it has no body. */
export function encodeRequest(head: RequestHead, end: boolean): EncodedHead | string {
  const variant = end ? Variant.END : 0;
  const known = head.encoded;
  if (known instanceof EncodedHead && known.variant === variant && known.kind === "request") return known;
  const encoded = requestOf(head, variant);
  if (typeof encoded !== "string") head.encoded = encoded;
  return encoded;
}

/** A 1xx response other than 101; a text tells why it cannot be sent. */
export function encodeInformational(head: ResponseHead): Uint8Array | string {
  if (head.status < 100 || head.status > 199 || head.status === 101) return "status of an informational response";
  const fields = checkFields(head.fields);
  if (fields !== null) return fields;
  let text = statusLine(head, false);
  for (let i = 0; i < head.fields.length; i += 2) {
    const name = head.fields[i] as string;
    if (name !== "content-length" && name !== "transfer-encoding" && !isConnectionField(name)) text += `${name}: ${head.fields[i + 1]}\r\n`;
  }
  return latin1Bytes(`${text}\r\n`);
}

function responseOf(head: ResponseHead, variant: number): EncodedHead | string {
  const { status, fields } = head;
  if (!Number.isInteger(status) || status < 101 || status > 599) return "invalid status";
  if (head.reason !== null && head.reason !== "" && !all(head.reason, VALUE)) return "invalid reason";
  const fault = checkFields(fields);
  if (fault !== null) return fault;
  const http10 = (variant & Variant.HTTP10) !== 0;
  const end = (variant & Variant.END) !== 0;
  const tunnel = status === 101 || ((variant & Variant.CONNECT) !== 0 && status >= 200 && status < 300);
  // RFC 9110 §8.6: no content-length in 1xx, 204 and 2xx to CONNECT.
  const noLength = tunnel || status === 204;
  const noBody = noLength || status === 304 || (variant & Variant.HEAD) !== 0;
  let close = (variant & Variant.CLOSE) !== 0;
  let length = -1;
  let chunkedField = false;
  let date = false;
  let text = statusLine(head, http10);
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string;
    const value = fields[i + 1] as string;
    if (name === "content-length") {
      if (length >= 0) return "more than one content-length";
      length = parseContentLength(value);
      if (length < 0) return "invalid content-length";
      continue;
    }
    if (name === "transfer-encoding") {
      chunkedField = true;
      continue;
    }
    if (isConnectionField(name) && status !== 101) {
      if (name === "connection")
        eachMember(value, (member) => {
          if (member === "close") close = true;
        });
      continue;
    }
    if (name === "date") date = true;
    text += `${name}: ${value}\r\n`;
  }
  // A message that came chunked has no length that could be trusted.
  if (chunkedField) length = -1;
  let body: Body = Body.NONE;
  if (tunnel) body = Body.TUNNEL;
  else if (noBody) {
    if (length >= 0 && !noLength) text += `content-length: ${length}\r\n`;
    else if (chunkedField && !noLength && !http10) text += "transfer-encoding: chunked\r\n";
  } else if (end) {
    if (length > 0) return "content-length of a response without content";
    text += "content-length: 0\r\n";
  } else if (length >= 0) {
    body = Body.LENGTH;
    text += `content-length: ${length}\r\n`;
  } else if (http10) {
    body = Body.CLOSE;
    close = true;
  } else {
    body = Body.CHUNKED;
    text += "transfer-encoding: chunked\r\n";
  }
  if (!tunnel) {
    if (close) text += "connection: close\r\n";
    else if (http10) text += "connection: keep-alive\r\n";
  }
  // RFC 9110 §6.6.1, spec proxy §3.9; a 101 has ended HTTP.
  const needsDate = !date && status !== 101;
  if (!needsDate) text += "\r\n";
  return new EncodedHead({ kind: "response", variant, text, body, length, needsDate, close });
}

function requestOf(head: RequestHead, variant: number): EncodedHead | string {
  const { fields, method, authority, form, path } = head;
  const end = (variant & Variant.END) !== 0;
  if (!all(method, TCHAR)) return "invalid method";
  if (authority !== null && !isAuthority(authority)) return "invalid authority";
  const fault = checkFields(fields);
  if (fault !== null) return fault;
  let target = path;
  if (form === "authority") {
    if (method !== "CONNECT" || authority === null) return "authority-form without CONNECT";
    target = authority;
  } else if (method === "CONNECT") return "CONNECT without authority";
  else if (form === "asterisk") {
    if (method !== "OPTIONS" || path !== "*") return "invalid asterisk-form";
  } else {
    if (!isPath(path)) return "invalid path";
    if (form === "absolute") {
      if (authority === null || (head.scheme !== "http" && head.scheme !== "https")) return "absolute-form without authority";
      target = `${head.scheme}://${authority}${path}`;
    }
  }
  let length = -1;
  let host: string | null = null;
  let cookie = "";
  let close = false;
  let keepAlive = false;
  let lines = "";
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string;
    const value = fields[i + 1] as string;
    switch (name) {
      case "content-length":
        if (length >= 0) return "more than one content-length";
        length = parseContentLength(value);
        if (length < 0) return "invalid content-length";
        continue;
      case "transfer-encoding":
        continue;
      case "host":
        if (host !== null) return "more than one host";
        if (value !== "" && !isAuthority(value)) return "invalid host";
        host = value;
        continue;
      case "cookie":
        // HTTP/2 splits the field, HTTP/1 must not (RFC 9113 §8.2.3).
        if (value !== "") cookie = cookie === "" ? value : `${cookie}; ${value}`;
        continue;
      case "connection":
        eachMember(value, (member) => {
          if (member === "close") close = true;
          else if (member === "keep-alive") keepAlive = true;
        });
        break;
      default:
    }
    lines += `${name}: ${value}\r\n`;
  }
  if (cookie !== "") lines += `cookie: ${cookie}\r\n`;
  let http10 = head.version === "HTTP/1.0";
  let body: Body = Body.NONE;
  if (end) {
    if (length > 0) return "content-length of a request without content";
    // RFC 9110 §8.6: methods that define content tell that there is none.
    if (length === 0 || method === "POST" || method === "PUT" || method === "PATCH") lines += "content-length: 0\r\n";
  } else if (method === "CONNECT") return "CONNECT with content";
  else if (length >= 0) {
    body = Body.LENGTH;
    lines += `content-length: ${length}\r\n`;
  } else {
    // An HTTP/1.0 request cannot have content of unknown length; a gateway may speak its own version (RFC 9112 §2.5).
    http10 = false;
    body = Body.CHUNKED;
    lines += "transfer-encoding: chunked\r\n";
  }
  const defaultPort = form === "authority" ? portOf(authority as string) : head.scheme === "https" ? "443" : "80";
  if (host === null && authority !== null) host = authority;
  else if (host !== null && authority !== null && (host === "" || !sameAuthority(host, authority, defaultPort)))
    return "host differs from authority";
  if (host === null && !http10) return "no host";
  const hostLine = host === null ? "" : `host: ${host}\r\n`;
  const text = `${method} ${target} ${http10 ? "HTTP/1.0" : "HTTP/1.1"}\r\n${hostLine}${lines}\r\n`;
  return new EncodedHead({ kind: "request", variant, text, body, length, needsDate: false, close: close || (http10 && !keepAlive) });
}

/** Trailer fields as bytes with the empty line; fields that would change the message's framing or routing are left out (RFC 9110 §6.5.1). */
export function encodeTrailers(fields: Fields): Uint8Array | string {
  const fault = checkFields(fields);
  if (fault !== null) return fault;
  let text = "";
  for (let i = 0; i < fields.length; i += 2) if (!FORBIDDEN_TRAILERS.has(fields[i] as string)) text += `${fields[i]}: ${fields[i + 1]}\r\n`;
  return latin1Bytes(`${text}\r\n`);
}

/** Fields that must not stand in trailers: framing, routing, connection options. */
export const FORBIDDEN_TRAILERS: ReadonlySet<string> = new Set([
  "content-length",
  "transfer-encoding",
  "host",
  "connection",
  "keep-alive",
  "proxy-connection",
  "upgrade",
  "te",
  "trailer",
]);

function statusLine(head: ResponseHead, http10: boolean): string {
  return `${http10 ? "HTTP/1.0" : "HTTP/1.1"} ${head.status} ${head.reason ?? reasonPhrase(head.status)}\r\n`;
}

function isConnectionField(name: string): boolean {
  return name === "connection" || name === "keep-alive" || name === "proxy-connection" || name === "upgrade";
}

/** Names must be tokens in lower case, values free of control characters and outer white space. */
function checkFields(fields: Fields): string | null {
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string;
    const value = fields[i + 1] as string;
    if (!all(name, NAME)) return "invalid field name";
    if (value !== "" && (!all(value, VALUE) || isSpace(value.charCodeAt(0)) || isSpace(value.charCodeAt(value.length - 1))))
      return `invalid value of field ${name}`;
  }
  return null;
}

function isSpace(code: number): boolean {
  return code === 32 || code === 9;
}
