// Reads the server name out of the first bytes of a connection without touching them (spec proxy §3.3). Pure.

/**
 * - `need-more`: a ClientHello as far as seen; keep reading (until {@link MAX_SNIFF_BYTES}).
 * - `absent`: not a ClientHello.
 * - `hello`: a complete one; `serverName` is lower-case, null when there is none or it is no valid DNS name.
 */
export type Sniff =
  | { readonly kind: "need-more" }
  | { readonly kind: "absent" }
  | { readonly kind: "hello"; readonly serverName: string | null };

/** Bytes read before giving up: one record of the largest accepted length plus its header (spec proxy §3.3). */
export const MAX_SNIFF_BYTES = 8192 + 5;
const MAX_VECTOR = 8192;

const NEED_MORE: Sniff = { kind: "need-more" };
const ABSENT: Sniff = { kind: "absent" };

/**
 * Looks at the bytes received so far. Split-invariant: on any prefix the answer is `need-more` or the final one. Hellos
 * with post-quantum key shares (> 1.2 KB, several TCP segments) are ordinary here; a ClientHello fragmented over several
 * TLS records is `absent`, as the protocol's sharp edge says.
 */
export function sniff(b: Uint8Array): Sniff {
  const n = b.length;
  // TLSPlaintext header, RFC 8446 §5.1.
  if (n < 1) return NEED_MORE;
  if (b[0] !== 0x16) return ABSENT;
  if (n < 2) return NEED_MORE;
  if (b[1] !== 0x03) return ABSENT;
  if (n < 3) return NEED_MORE;
  if (b[2] !== 0x01 && b[2] !== 0x03) return ABSENT;
  if (n < 5) return NEED_MORE;
  const recordLength = u16(b, 3);
  if (recordLength > MAX_VECTOR || recordLength < 4) return ABSENT;
  const recordEnd = 5 + recordLength;
  // Handshake header, RFC 8446 §4: type, u24 length.
  if (n < 6) return NEED_MORE;
  if (b[5] !== 1) return ABSENT;
  if (n < 7) return NEED_MORE;
  if (b[6] !== 0) return ABSENT;
  if (n < 9) return NEED_MORE;
  const helloLength = u16(b, 7);
  if (helloLength > MAX_VECTOR) return ABSENT;
  const end = 9 + helloLength;
  if (end > recordEnd) return ABSENT;
  if (n < 11) return NEED_MORE;
  if (b[9] !== 0x03 || b[10] !== 0x03) return ABSENT;
  // From here on the answer waits for the whole record: a truncated vector inside a complete one is a malformed hello.
  if (n < recordEnd) return NEED_MORE;
  return parseBody(b, 11, end);
}

// ClientHello from `random` on, RFC 8446 §4.1.2.
function parseBody(b: Uint8Array, start: number, end: number): Sniff {
  let at = start + 32;
  if (at + 1 > end) return ABSENT;
  at += 1 + (b[at] ?? 0); // legacy_session_id
  if (at + 2 > end) return ABSENT;
  at += 2 + u16(b, at); // cipher_suites
  if (at + 1 > end) return ABSENT;
  at += 1 + (b[at] ?? 0); // legacy_compression_methods
  if (at === end) return { kind: "hello", serverName: null };
  if (at + 2 > end) return ABSENT;
  const extensionsEnd = at + 2 + u16(b, at);
  if (extensionsEnd > end) return ABSENT;
  at += 2;
  while (at < extensionsEnd) {
    if (at + 4 > extensionsEnd) return ABSENT;
    const type = u16(b, at);
    const next = at + 4 + u16(b, at + 2);
    if (next > extensionsEnd) return ABSENT;
    if (type === 0) return serverName(b, at + 4, next);
    at = next;
  }
  return { kind: "hello", serverName: null };
}

// server_name, RFC 6066 §3: a list whose first entry must be a host name.
function serverName(b: Uint8Array, start: number, end: number): Sniff {
  if (start + 5 > end) return ABSENT;
  if (start + 2 + u16(b, start) > end) return ABSENT;
  if (b[start + 2] !== 0) return ABSENT;
  const from = start + 5;
  const to = from + u16(b, start + 3);
  if (to > end) return ABSENT;
  return { kind: "hello", serverName: dnsName(b, from, to) };
}

// A name that is not a DNS name (non-ASCII, trailing dot, numeric last label) counts as no name.
function dnsName(b: Uint8Array, from: number, to: number): string | null {
  if (to - from < 1 || to - from > 253) return null;
  let name = "";
  let label = 0;
  let numeric = true;
  let previous = 46;
  for (let i = from; i < to; i++) {
    let c = b[i] ?? 0;
    if (c >= 65 && c <= 90) c += 32;
    if (c === 46) {
      if (label === 0 || previous === 45) return null;
      label = 0;
      numeric = true;
    } else {
      const digit = c >= 48 && c <= 57;
      if (!digit && !(c >= 97 && c <= 122) && c !== 45 && c !== 95) return null;
      if (c === 45 && label === 0) return null;
      if (++label > 63) return null;
      if (!digit) numeric = false;
    }
    previous = c;
    name += String.fromCharCode(c);
  }
  return label === 0 || numeric || previous === 45 ? null : name;
}

function u16(b: Uint8Array, at: number): number {
  return ((b[at] ?? 0) << 8) | (b[at + 1] ?? 0);
}
