// The head of a response: status line, fields, and the facts of framing (RFC 9112 §4, §6).
import { ResponseHead } from "#http";
import { CLASS, CR, DIGIT, LF, SP, VALUE } from "./chars.ts";
import { FramingFields, HeadFault, parseFields, readFraming } from "./fields.ts";
import { latin1 } from "./latin1.ts";

export class ParsedResponse {
  readonly head: ResponseHead;
  /** -1: none. */
  readonly contentLength: number;
  readonly chunked: boolean;
  readonly keepAlive: boolean;

  constructor(head: ResponseHead, facts: FramingFields) {
    this.head = head;
    this.contentLength = facts.contentLength;
    this.chunked = facts.chunked;
    this.keepAlive = head.version === "HTTP/1.0" ? facts.keepAlive && !facts.close : !facts.close;
  }
}

/** Parses the head `bytes[start..end)`, `end` standing behind its empty line. The status of a fault means nothing here. */
export function parseResponseHead(bytes: Uint8Array, start: number, end: number): ParsedResponse | HeadFault {
  const text = latin1(bytes, start, end);
  const version = text.slice(0, 8);
  if (version !== "HTTP/1.1" && version !== "HTTP/1.0") return new HeadFault(502, "invalid HTTP version");
  let i = start + 9;
  if (bytes[start + 8] !== SP) return new HeadFault(502, "invalid status line");
  for (; i < start + 12; i++) if (((CLASS[bytes[i] as number] as number) & DIGIT) === 0) return new HeadFault(502, "invalid status");
  const status = Number(text.slice(9, 12));
  if (status < 100 || status > 599) return new HeadFault(502, "invalid status");
  let reason = "";
  if (bytes[i] === SP) {
    // The space is a MUST of RFC 9112 §4, but servers that have no reason to tell leave it out.
    const reasonStart = ++i;
    while (((CLASS[bytes[i] as number] as number) & VALUE) !== 0) i++;
    reason = text.slice(reasonStart - start, i - start);
  }
  if (bytes[i] !== CR || bytes[i + 1] !== LF) return new HeadFault(502, "invalid status line");
  const fields: string[] = [];
  const fault = parseFields(bytes, text, start, i + 2, end - 2, fields);
  if (fault !== null) return fault;
  const facts = new FramingFields();
  const framingFault = readFraming(fields, version === "HTTP/1.0", facts);
  if (framingFault !== null) return framingFault;
  return new ParsedResponse(new ResponseHead({ version, status, reason, fields }), facts);
}
