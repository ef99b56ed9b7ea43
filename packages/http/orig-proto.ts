// HTTP/1 messages over HTTP/2 between proxies: `l5d-orig-proto` (spec proxy §3.7, §4.8). Pure; callers keep the results with the heads.
//
//   app ──HTTP/1──► outbound: upgradeRequest ──HTTP/2──► inbound: downgradeRequest ──HTTP/1──► app
//       ◄─HTTP/1── downgradeResponse ◄────────HTTP/2──── upgradeResponse ◄──────────HTTP/1───
import { isAuthority, sameAuthority } from "./authority.ts";
import { type Fields, type HttpVersion, RequestHead, ResponseHead } from "./head.ts";
import { isHopByHop, stripHopByHop, withoutField } from "./hop-by-hop.ts";

export const ORIG_PROTO = "l5d-orig-proto";

const ABSOLUTE_FORM = "; absolute-form";

/**
 * An HTTP/1 request as it goes over HTTP/2: `l5d-orig-proto` added, connection-specific fields and `transfer-encoding` taken
 * away, `host` kept for the other side. `authority`: for a request that names none. Not for upgrades and CONNECT.
 */
export function upgradeRequest(head: RequestHead, authority: string): RequestHead {
  const absolute = head.form === "absolute";
  const fields = http2Fields(head.fields, true);
  fields.push(ORIG_PROTO, absolute ? head.version + ABSOLUTE_FORM : head.version);
  return new RequestHead({
    version: "HTTP/2",
    method: head.method,
    form: head.form === "asterisk" ? "asterisk" : "origin",
    scheme: head.scheme ?? "http",
    authority: head.authority ?? (head.get("host") || authority),
    path: head.path,
    fields,
  });
}

/** What an HTTP/2 request turns out to be. */
export type Downgraded =
  /** No `l5d-orig-proto`: HTTP/2 from end to end. */
  | { readonly kind: "native" }
  /** The request as HTTP/1; its response is marked with {@link upgradeResponse}. */
  | { readonly kind: "downgraded"; readonly head: RequestHead }
  /** The field has an unknown value and is taken away; still HTTP/2, but its response is marked. */
  | { readonly kind: "unknown"; readonly head: RequestHead; readonly value: string }
  /** As HTTP/1 it could be read in two ways (CVE-2021-21295 class): a stream error, nothing goes on. */
  | { readonly kind: "malformed"; readonly message: string };

const NATIVE: Downgraded = { kind: "native" };

/** Reads `l5d-orig-proto` of an HTTP/2 request. It is honoured from any client (spec proxy §3.7). */
export function downgradeRequest(head: RequestHead): Downgraded {
  if (head.version !== "HTTP/2") return NATIVE;
  const value = head.get(ORIG_PROTO);
  if (value === undefined) return NATIVE;
  if (head.all(ORIG_PROTO).length > 1) return { kind: "malformed", message: `more than one ${ORIG_PROTO}` };
  let version: HttpVersion;
  if (value.startsWith("HTTP/1.1")) version = "HTTP/1.1";
  else if (value.startsWith("HTTP/1.0")) version = "HTTP/1.0";
  else return { kind: "unknown", value, head: head.with({ fields: withoutField(head.fields, ORIG_PROTO) }) };
  const message = http1Fault(head);
  if (message !== null) return { kind: "malformed", message };
  // The suffix is recognised by its place alone, bytes 10 to 23 (spec proxy §3.7).
  const absolute = value.slice(10, 23) === ABSOLUTE_FORM.slice(2) && head.path !== "*";
  const fields = withoutField(head.fields, ORIG_PROTO);
  const form = head.path === "*" ? "asterisk" : absolute ? "absolute" : "origin";
  return {
    kind: "downgraded",
    head: new RequestHead({
      version,
      method: head.method,
      form,
      scheme: absolute ? head.scheme : null,
      authority: absolute ? head.authority : null,
      path: head.path,
      // An HTTP/1.1 request cannot go without; the sender took its authority from Host or made it up for want of one.
      fields:
        absolute || version === "HTTP/1.0" || head.authority === null || head.has("host") ? fields : ["host", head.authority, ...fields],
    }),
  };
}

/** An HTTP/1 response as it goes over HTTP/2 to the proxy that upgraded its request. */
export function upgradeResponse(head: ResponseHead): ResponseHead {
  const fields = http2Fields(head.fields, false);
  if (head.version !== "HTTP/2") fields.push(ORIG_PROTO, head.version);
  return new ResponseHead({ version: "HTTP/2", status: head.status, reason: null, fields });
}

/** The response to an upgraded request as HTTP/1: its version from `l5d-orig-proto`, else `requestVersion` (spec proxy §16 item 25). */
export function downgradeResponse(head: ResponseHead, requestVersion: HttpVersion): ResponseHead {
  const value = head.get(ORIG_PROTO);
  const version = value?.startsWith("HTTP/1.1") ? "HTTP/1.1" : value?.startsWith("HTTP/1.0") ? "HTTP/1.0" : requestVersion;
  return new ResponseHead({ version, status: head.status, reason: null, fields: withoutField(stripHopByHop(head.fields), ORIG_PROTO) });
}

/** Fields fit for HTTP/2 (RFC 9113 §8.2.2): no connection-specific ones, no framing of HTTP/1, `te` only as `trailers`. */
function http2Fields(fields: Fields, request: boolean): string[] {
  const out: string[] = [];
  const stripped = stripHopByHop(fields);
  for (let i = 0; i < stripped.length; i += 2) {
    const name = stripped[i] as string;
    let value = stripped[i + 1] as string;
    if (name === "transfer-encoding" || name === ORIG_PROTO) continue;
    if (name === "te") {
      if (!request || !value.split(",").some((member) => member.split(";", 1)[0]?.trim().toLowerCase() === "trailers")) continue;
      value = "trailers";
    }
    out.push(name, value);
  }
  return out;
}

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const LOWER_TOKEN = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
const PATH = /^\/[!"$-;=@-_a-~]*(?:\?[!$-;=>?@-~]*)?$/;

/** Why an HTTP/2 request cannot be written as HTTP/1; null when it can. */
export function http1Fault(head: RequestHead): string | null {
  if (!TOKEN.test(head.method)) return "invalid :method";
  if (head.method === "CONNECT") return "CONNECT";
  if (head.scheme !== null && head.scheme !== "http" && head.scheme !== "https") return "invalid :scheme";
  if (head.path === "*" ? head.method !== "OPTIONS" : !PATH.test(head.path)) return "invalid :path";
  if (head.authority !== null && !isAuthority(head.authority)) return "invalid :authority";
  let lengths = 0;
  let hosts = 0;
  for (let i = 0; i < head.fields.length; i += 2) {
    const name = head.fields[i] as string;
    const value = head.fields[i + 1] as string;
    if (!LOWER_TOKEN.test(name)) return "invalid field name";
    if (!VALUE.test(value) || /^[\t ]|[\t ]$/.test(value)) return `invalid value of field ${name}`;
    if (isHopByHop(name) || name === "transfer-encoding") return `connection-specific field ${name}`;
    if (name === "content_length" || name === "transfer_encoding") return `ambiguous field ${name}`;
    if (name === "te" && value.toLowerCase() !== "trailers") return "te other than trailers";
    if (name === "content-length" && (++lengths > 1 || !/^(?:0|[1-9][0-9]{0,15})$/.test(value) || !Number.isSafeInteger(Number(value))))
      return "invalid content-length";
    if (name === "host") {
      if (++hosts > 1) return "more than one host";
      if (value !== "" && !isAuthority(value)) return "invalid host";
      // An empty Host is how a client says that the target has no authority; the sender's :authority is then its own doing.
      const defaultPort = head.scheme === "https" ? "443" : "80";
      if (value !== "" && head.authority !== null && !sameAuthority(value, head.authority, defaultPort))
        return "host differs from :authority";
    }
  }
  return null;
}
