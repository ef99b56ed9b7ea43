// The head of a request: request line, fields, and the facts of framing that follow from them (RFC 9112 §3, §6).
import { type HttpVersion, isAuthority, portOf, RequestHead, sameAuthority, type TargetForm } from "#http";
import { CLASS, CR, LF, PATH, QUERY, SP, TCHAR } from "./chars.ts";
import { FramingFields, HeadFault, parseFields, readFraming } from "./fields.ts";
import { latin1 } from "./latin1.ts";

/** A parsed request head with what the server engine needs to know of it, worked out once. */
export class ParsedRequest {
  readonly head: RequestHead;
  readonly http10: boolean;
  /** Bytes of the body; -1 when it is chunked. */
  readonly contentLength: number;
  readonly chunked: boolean;
  readonly keepAlive: boolean;
  /** HTTP/1.1 with an Upgrade other than h2c (spec proxy §3.6), or CONNECT: nothing behind the request is read before the response. */
  readonly wantsUpgrade: boolean;
  readonly expectContinue: boolean;
  readonly teTrailers: boolean;

  constructor(head: RequestHead, facts: FramingFields) {
    this.head = head;
    this.http10 = head.version === "HTTP/1.0";
    this.chunked = facts.chunked;
    this.contentLength = facts.chunked ? -1 : Math.max(0, facts.contentLength);
    this.keepAlive = this.http10 ? facts.keepAlive && !facts.close : !facts.close;
    this.wantsUpgrade =
      !this.http10 && (head.method === "CONNECT" || (facts.upgrade !== null && !/(^|,)[ \t]*h2c[ \t]*(,|$)/i.test(facts.upgrade)));
    this.expectContinue = !this.http10 && facts.expectContinue;
    this.teTrailers = facts.teTrailers;
  }

  get hasBody(): boolean {
    return this.chunked || this.contentLength > 0;
  }
}

/** Parses the head `bytes[start..end)`, `end` standing behind its empty line. */
export function parseRequestHead(bytes: Uint8Array, start: number, end: number): ParsedRequest | HeadFault {
  const text = latin1(bytes, start, end);
  let i = start;
  while (((CLASS[bytes[i] as number] as number) & TCHAR) !== 0) i++;
  if (bytes[i] !== SP || i === start) return new HeadFault(400, "invalid method");
  const method = text.slice(0, i - start);
  const targetStart = ++i;
  for (let c = bytes[i] as number; c > SP && c < 0x7f; c = bytes[i] as number) i++;
  if (bytes[i] !== SP || i === targetStart) return new HeadFault(400, "invalid request target");
  const target = text.slice(targetStart - start, i - start);
  const lineEnd = i + 9;
  if (bytes[lineEnd] !== CR || bytes[lineEnd + 1] !== LF) return new HeadFault(400, "invalid HTTP version");
  const version = text.slice(i + 1 - start, lineEnd - start);
  if (version !== "HTTP/1.1" && version !== "HTTP/1.0") return new HeadFault(400, "invalid HTTP version");
  const fields: string[] = [];
  const fault = parseFields(bytes, text, start, lineEnd + 2, end - 2, fields);
  if (fault !== null) return fault;
  const facts = new FramingFields();
  const framingFault = readFraming(fields, version === "HTTP/1.0", facts);
  if (framingFault !== null) return framingFault;
  return requestFrom(method, target, version, fields, facts);
}

function requestFrom(
  method: string,
  target: string,
  version: HttpVersion,
  fields: string[],
  facts: FramingFields,
): ParsedRequest | HeadFault {
  const http10 = version === "HTTP/1.0";
  if (facts.namesFraming) return new HeadFault(400, "connection names a field of framing");
  if (facts.hosts > 1) return new HeadFault(400, "more than one host");
  if (facts.hosts === 0 && !http10) return new HeadFault(400, "no host");
  if (facts.hosts === 1 && facts.host !== "" && !isAuthority(facts.host)) return new HeadFault(400, "invalid host");
  let form: TargetForm = "origin";
  let scheme: string | null = null;
  let authority: string | null = null;
  let path = target;
  if (method === "CONNECT") {
    // spec proxy §3.6: 400 for CONNECT on HTTP/1.0 and for CONNECT whose target is not an authority.
    if (http10) return new HeadFault(400, "CONNECT on HTTP/1.0");
    if (!isAuthority(target) || portOf(target) === "") return new HeadFault(400, "CONNECT without authority");
    if (facts.chunked || facts.contentLength > 0) return new HeadFault(400, "CONNECT with content");
    if (!sameAuthority(facts.host, target, portOf(target))) return new HeadFault(400, "host differs from authority");
    form = "authority";
    authority = target;
    path = "";
  } else if (target.charCodeAt(0) === 0x2f) {
    if (!isPath(target)) return new HeadFault(400, "invalid request target");
  } else if (target === "*") {
    if (method !== "OPTIONS") return new HeadFault(400, "asterisk-form without OPTIONS");
    form = "asterisk";
  } else {
    const match = /^(https?):\/\/([^/?]*)(.*)$/i.exec(target);
    // Also authority-form without CONNECT, which is 400 by spec proxy §3.6.
    if (match === null) return new HeadFault(400, "invalid request target");
    scheme = (match[1] as string).toLowerCase();
    authority = match[2] as string;
    const rest = match[3] as string;
    path = rest.charCodeAt(0) === 0x2f ? rest : `/${rest}`;
    if (!isAuthority(authority) || !isPath(path)) return new HeadFault(400, "invalid request target");
    if (facts.hosts === 1 && !sameAuthority(facts.host, authority, scheme === "https" ? "443" : "80"))
      return new HeadFault(400, "host differs from authority");
    form = "absolute";
  }
  return new ParsedRequest(new RequestHead({ version, method, form, scheme, authority, path, fields }), facts);
}

/** Path and query. A fragment is refused: peers disagree about dropping it (CVE-2021-39156). */
export function isPath(text: string): boolean {
  if (text.charCodeAt(0) !== 0x2f) return false;
  let bit = PATH;
  for (let i = 1; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === 0x3f) bit = QUERY;
    else if (c > 255 || ((CLASS[c] as number) & bit) === 0) return false;
  }
  return true;
}
