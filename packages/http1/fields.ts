// Field lines: `name ":" OWS value OWS CRLF`, RFC 9112 §5, without any of its leniencies.
import { CLASS, COLON, CR, HTAB, LF, SP, TCHAR, VALUE } from "./chars.ts";
import { MAX_FIELDS } from "./limits.ts";
import { knownName } from "./names.ts";

/** Why a head is refused, with the status a server answers. */
export class HeadFault {
  readonly status: number;
  readonly message: string;

  constructor(status: number, message: string) {
    this.status = status;
    this.message = message;
  }
}

/**
 * Reads field lines from `bytes[pos..end)`, `end` being where the empty line begins; appends name, value, name, value to `out`.
 * `text` is the latin1 text of `bytes` from `base` on.
 */
export function parseFields(bytes: Uint8Array, text: string, base: number, pos: number, end: number, out: string[]): HeadFault | null {
  while (pos < end) {
    let i = pos;
    while (((CLASS[bytes[i] as number] as number) & TCHAR) !== 0) i++;
    if (bytes[i] !== COLON || i === pos) return nameFault(bytes, pos, i);
    const name = knownName(bytes, pos, i) ?? text.slice(pos - base, i - base).toLowerCase();
    i++;
    while (bytes[i] === SP || bytes[i] === HTAB) i++;
    const valueStart = i;
    while (((CLASS[bytes[i] as number] as number) & VALUE) !== 0) i++;
    if (bytes[i] !== CR || bytes[i + 1] !== LF || i >= end) return new HeadFault(400, `control character in field ${name}`);
    let valueEnd = i;
    while (valueEnd > valueStart && (bytes[valueEnd - 1] === SP || bytes[valueEnd - 1] === HTAB)) valueEnd--;
    if (out.length >= MAX_FIELDS * 2) return new HeadFault(431, `more than ${MAX_FIELDS} fields`);
    out.push(name, text.slice(valueStart - base, valueEnd - base));
    pos = i + 2;
  }
  return null;
}

function nameFault(bytes: Uint8Array, start: number, at: number): HeadFault {
  const c = bytes[at];
  if (at === start && (c === SP || c === HTAB)) return new HeadFault(400, "obsolete line folding");
  if (at === start && c === COLON) return new HeadFault(400, "empty field name");
  if (c === SP || c === HTAB) return new HeadFault(400, "white space in field name");
  if (c === CR || c === LF) return new HeadFault(400, "field line without colon");
  return new HeadFault(400, "invalid character in field name");
}

/** A Content-Length: digits only, no sign, list or leading zero, at most 2^53 - 1; -1 when it is none. */
export function parseContentLength(value: string): number {
  const length = value.length;
  if (length === 0 || length > 16 || (length > 1 && value.charCodeAt(0) === 48)) return -1;
  let n = 0;
  for (let i = 0; i < length; i++) {
    const digit = value.charCodeAt(i) - 48;
    if (digit < 0 || digit > 9) return -1;
    n = n * 10 + digit;
  }
  return Number.isSafeInteger(n) ? n : -1;
}

/** Calls `each` with every member of a comma-separated list, trimmed and in lower case; empty members are left out. */
export function eachMember(list: string, each: (member: string) => void): void {
  for (const part of list.split(",")) {
    const member = part.trim().toLowerCase();
    if (member !== "") each(member);
  }
}

/** Facts about a message that stand in its fields. */
export class FramingFields {
  /** -1: none. */
  contentLength = -1;
  chunked = false;
  close = false;
  keepAlive = false;
  /** Value of Upgrade, null: none. */
  upgrade: string | null = null;
  expectContinue = false;
  teTrailers = false;
  hosts = 0;
  host = "";
  /** Connection asks for the removal of a field that delimits or routes the message. */
  namesFraming = false;
}

/** Reads the framing of a message (RFC 9112 §6), refusing whatever two readers could understand differently. */
export function readFraming(fields: readonly string[], http10: boolean, facts: FramingFields): HeadFault | null {
  let lengths = 0;
  let codings = 0;
  let coding = "";
  for (let i = 0; i < fields.length; i += 2) {
    const value = fields[i + 1] as string;
    switch (fields[i]) {
      case "content-length":
        if (++lengths > 1) return new HeadFault(400, "more than one content-length");
        facts.contentLength = parseContentLength(value);
        if (facts.contentLength < 0) return new HeadFault(400, "invalid content-length");
        break;
      case "transfer-encoding":
        if (++codings > 1) return new HeadFault(400, "more than one transfer-encoding");
        coding = value.toLowerCase();
        break;
      case "connection":
        eachMember(value, (member) => {
          if (member === "close") facts.close = true;
          else if (member === "keep-alive") facts.keepAlive = true;
          else if (member === "content-length" || member === "transfer-encoding" || member === "host") facts.namesFraming = true;
        });
        break;
      case "upgrade":
        facts.upgrade = facts.upgrade === null ? value : `${facts.upgrade},${value}`;
        break;
      case "expect":
        eachMember(value, (member) => {
          if (member === "100-continue") facts.expectContinue = true;
        });
        break;
      case "te":
        eachMember(value, (member) => {
          if (member.split(";", 1)[0]?.trim() === "trailers") facts.teTrailers = true;
        });
        break;
      case "host":
        facts.hosts++;
        facts.host = value;
        break;
      case "content_length":
      case "transfer_encoding":
        // Servers that turn names into variables (CGI) cannot tell these from the real ones.
        return new HeadFault(400, `ambiguous field ${fields[i]}`);
      default:
    }
  }
  if (codings > 0) {
    if (lengths > 0) return new HeadFault(400, "both content-length and transfer-encoding");
    if (http10) return new HeadFault(400, "transfer-encoding in HTTP/1.0");
    if (coding !== "chunked") {
      // Only a list of codings that ends in one `chunked` has a length at all; but none of the others is implemented.
      const members = coding.split(",").map((member) => member.trim());
      const wellFormed = members.length > 1 && members.every((member) => /^[!#$%&'*+\-.^_`|~0-9a-z]+$/.test(member));
      const chunkedLast = wellFormed && members.indexOf("chunked") === members.length - 1 && !members.includes("identity");
      return chunkedLast ? new HeadFault(501, "unknown transfer-encoding") : new HeadFault(400, "invalid transfer-encoding");
    }
    facts.chunked = true;
  }
  return null;
}
