// The samples of spec hardening §2, in its order.
import { broken, type RequestCase, refused, type Verdict } from "./case.ts";

const post = (fields: string, body: string): string => `POST / HTTP/1.1\r\nHost: a\r\n${fields}\r\n${body}`;

const ROWS: readonly (readonly [name: string, source: string, bytes: string, verdict?: Verdict])[] = [
  ["CL and TE together", "RFC 9112 §6.1", post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")],
  ["Content-Length: 5, 5", "RFC 9110 §8.6", post("Content-Length: 5, 5\r\n", "hello")],
  ["TE chunked in HTTP/1.0", "RFC 9112 §6.1", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
  ["bare LF lines", "RFC 9112 §2.2", "GET / HTTP/1.1\nHost: a\n\n"],
  ["obs-fold", "RFC 9112 §5.2", "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n"],
  ["two Host headers", "RFC 9112 §3.2", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"],
  ["empty header name", "RFC 9112 §5", "GET / HTTP/1.1\r\nHost: a\r\n: 1\r\n\r\n"],
  ["bare LF in a chunk extension", "CVE-2025-55315", post("Transfer-Encoding: chunked\r\n", "2;\nxx\r\n4c\r\n0\r\n\r\n"), broken()],
  ["# in the request target", "RFC 9112 §3.2, CVE-2021-39156", "GET /public#/../admin HTTP/1.1\r\nHost: a\r\n\r\n"],
  ["differing CLs", "RFC 9112 §6.3", post("Content-Length: 5\r\nContent-Length: 6\r\n", "hello!")],
  ["+5", "RUSTSEC-2021-0078", post("Content-Length: +5\r\n", "hello")],
  ["space before the colon", "RFC 9112 §5.1", post("Content-Length : 5\r\n", "hello")],
  ["xchunked", "RFC 9112 §6.1", post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n")],
  ["chunked, identity", "RFC 9112 §6.1", post("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n")],
  ["no Host in HTTP/1.1", "RFC 9112 §3.2", "GET / HTTP/1.1\r\n\r\n"],
  ["NUL", "RFC 9110 §5.5", "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n"],
  ["lone CR", "RFC 9112 §2.2", "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n"],
  ["chunk-size overflow", "RUSTSEC-2021-0079", post("Transfer-Encoding: chunked\r\n", "fffffffffffffffff\r\nx"), broken()],
];

export const SAMPLES: readonly RequestCase[] = ROWS.map(([name, source, bytes, verdict = refused()]) => ({
  group: "samples",
  name,
  source,
  bytes,
  verdict,
}));
