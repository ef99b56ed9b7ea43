// The one read that decides (spec proxy §3.5, §16.1).
import { expect, test } from "bun:test";
import { DETECT_BYTES, detectHttp } from "./index.ts";

const cases: [string, "http1" | "http2" | null][] = [
  ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "http1"],
  ["GET / HTTP/1.0\r\n", "http1"],
  ["POST /a/b?c=d HTTP/1.1\n", "http1"],
  ["\r\n\r\nGET / HTTP/1.1\r\n", "http1"],
  ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "http2"],
  ["PRI * HTTP/2.0", "http2"],
  ["PRI * HTTP/2.", null],
  ["GET / HT", null],
  ["GET / HTTP/1.", null],
  ["GET / HTTP/1.1", "http1"],
  ["ABCDEFGHIJKLMN", "http1"],
  ["ABCDEFGHIJKLM", null],
  ["GET / HTTP/2.0\r\n", null],
  ["GET /\r\nHost: a\r\n\r\n", null],
  ["220 smtp.example.com ESMTP\r\n", null],
  ["GET  / HTTP/1.1\r\n", null],
  ["\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03aaaa", null],
  ["GET / HTTP/1.1\rX", null],
  [" GET / HTTP/1.1\r\n", null],
  ["", null],
];

for (const [text, version] of cases) test(JSON.stringify(text), () => expect(detectHttp(Buffer.from(text, "latin1"))).toBe(version));

test("only the first bytes are looked at", () => {
  const target = "a".repeat(DETECT_BYTES);
  expect(detectHttp(Buffer.from(`GET /${target} nonsense`))).toBe("http1");
  expect(detectHttp(Buffer.from(`GET /${"a".repeat(100)} nonsense`))).toBeNull();
});
