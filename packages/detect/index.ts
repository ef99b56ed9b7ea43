// Decides from the first read of a connection whether it speaks HTTP (spec proxy §3.5). Pure.

export type HttpVersion = "http1" | "http2";

/** Bytes of the first read that are looked at. */
export const DETECT_BYTES = 1024;
const MIN_BYTES = 14;
// `PRI * HTTP/2.0`: the first 14 bytes of the client preface, RFC 9113 §3.4.
const PREFACE = Uint8Array.from([80, 82, 73, 32, 42, 32, 72, 84, 84, 80, 47, 50, 46, 48]);

// RFC 9110 §5.6.2 tchar.
const TOKEN = new Uint8Array(256);
for (const c of "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") TOKEN[c.charCodeAt(0)] = 1;

/**
 * Exactly one read decides: waiting for more would break server-first and slow protocols (spec proxy §16.1). Fewer than
 * 14 bytes are never HTTP; anything "valid so far" as an HTTP/1 request head is HTTP/1.
 */
export function detectHttp(firstRead: Uint8Array): HttpVersion | null {
  if (firstRead.length < MIN_BYTES) return null;
  let preface = true;
  for (let i = 0; i < MIN_BYTES; i++)
    if (firstRead[i] !== PREFACE[i]) {
      preface = false;
      break;
    }
  if (preface) return "http2";
  return isHttp1(firstRead, Math.min(firstRead.length, DETECT_BYTES)) ? "http1" : null;
}

function isHttp1(b: Uint8Array, n: number): boolean {
  let i = 0;
  // Empty lines before the request line, RFC 9112 §2.2.
  while (i < n && (b[i] === 10 || b[i] === 13)) {
    if (b[i] === 13) {
      if (i + 1 === n) return true;
      if (b[i + 1] !== 10) return false;
      i++;
    }
    i++;
  }
  const method = i;
  while (i < n && TOKEN[b[i] ?? 0] === 1) i++;
  if (i === n) return true;
  if (i === method || b[i] !== 32) return false;
  const target = ++i;
  while (i < n && (b[i] ?? 0) > 32 && b[i] !== 127) i++;
  if (i === n) return true;
  if (i === target || b[i] !== 32) return false;
  i++;
  const version = "HTTP/1.";
  for (let k = 0; k < version.length; k++, i++) {
    if (i === n) return true;
    if (b[i] !== version.charCodeAt(k)) return false;
  }
  if (i === n) return true;
  if (b[i] !== 48 && b[i] !== 49) return false;
  i++;
  if (i === n) return true;
  if (b[i] === 10) return true;
  if (b[i] !== 13) return false;
  return i + 1 === n || b[i + 1] === 10;
}
