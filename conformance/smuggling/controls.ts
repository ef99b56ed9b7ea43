// The control group: requests that are odd but valid. Each must reach the application, once, as what it is; a proxy that
// refuses everything would pass the rest of the suite.
import { FOLLOWING, type RequestCase, type Sighting, show } from "./case.ts";

type Row = {
  readonly name: string;
  readonly bytes: string;
  readonly seen: Sighting;
  readonly source?: string;
  readonly closes?: boolean;
};

const TE = "Transfer-Encoding: chunked\r\n";
const post = (fields: string, body: string): string => `POST /p HTTP/1.1\r\nHost: a\r\n${fields}\r\n${body}`;
const get = (fields: string): string => `GET /g HTTP/1.1\r\nHost: a\r\n${fields}\r\n`;
const line = (target: string, method = "GET"): string => `${method} ${target} HTTP/1.1\r\nHost: a\r\n\r\n`;

const rows: Row[] = [
  { name: "two empty lines before", source: "RFC 9112 §2.2", bytes: `\r\n\r\n${get("")}`, seen: { method: "GET", target: "/g" } },
  {
    name: "HTTP/1.0 without Host",
    source: "RFC 9112 §3.2",
    bytes: "GET /g HTTP/1.0\r\n\r\n",
    seen: { method: "GET", target: "/g" },
    closes: true,
  },
  {
    name: "HTTP/1.0 with a body",
    source: "RFC 9112 §6.3",
    bytes: "POST /p HTTP/1.0\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    seen: { method: "POST", target: "/p", body: "hello" },
    closes: true,
  },
  {
    name: "HTTP/1.0 with keep-alive",
    source: "RFC 9112 §9.3",
    bytes: "GET /g HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
    seen: { method: "GET", target: "/g", fields: [["keep-alive", null]] },
  },
  {
    name: "POST of HTTP/1.0 without a length has no content",
    source: "CVE-2026-2835",
    bytes: "POST /p HTTP/1.0\r\nHost: a\r\n\r\n",
    seen: { method: "POST", target: "/p", body: "" },
    closes: true,
  },
  { name: "empty Host", source: "RFC 9112 §3.2", bytes: "GET /g HTTP/1.1\r\nHost:\r\n\r\n", seen: { method: "GET", target: "/g" } },
  ...["a:80", "[::1]:80", "a_b", "a,b", "A.Example", "a.example.", "a:0", "a%41", "127.0.0.1:65535", "xn--bcher-kva.example"].map(
    (host): Row => ({
      name: `Host ${host}`,
      source: "RFC 9110 §7.2",
      bytes: `GET /g HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
      seen: { method: "GET", target: "/g", fields: [["host", host]] },
    }),
  ),
  ...["M-SEARCH", "get", "GETX", "!#$%&'*+-.^_`|~", "X".repeat(40), "TRACE", "DELETE"].map(
    (method): Row => ({ name: `method ${method}`, source: "RFC 9110 §9.1", bytes: line("/g", method), seen: { method, target: "/g" } }),
  ),
  ...[
    ...[
      '/a[]|{}"^\\?b=[]|{}^`>?',
      "//a",
      "/a//b/../c/./d",
      "/%2e%2E/%00%0d%0a",
      "/a;b=c",
      "/a:b@c",
      "/?",
      "/??",
      "/?a=//b",
      "/~a!$&'()*+,;=",
      "/%zz",
    ],
    ...["/".repeat(30), `/${"x".repeat(8000)}`, "/GET%20/admin%20HTTP/1.1"],
  ].map(
    (target): Row => ({
      name: `target ${show(target.slice(0, 40))}`,
      source: "RFC 3986 §3.3",
      bytes: line(target),
      seen: { method: "GET", target },
    }),
  ),
  {
    name: "absolute-form",
    source: "RFC 9112 §3.2.2",
    bytes: line("http://a/x?y"),
    seen: { method: "GET", target: "http://a/x?y", fields: [["host", "a"]] },
  },
  {
    name: "absolute-form without a path, with a port, in capitals",
    source: "RFC 9112 §3.2.2",
    bytes: "GET HTTP://A:80?x HTTP/1.1\r\nHost: a\r\n\r\n",
    seen: { method: "GET", target: "http://A:80/?x" },
  },
  { name: "OPTIONS *", source: "RFC 9112 §3.2.4", bytes: line("*", "OPTIONS"), seen: { method: "OPTIONS", target: "*" } },
  {
    name: "obs-text in a value",
    source: "RFC 9110 §5.5",
    bytes: get("X: \xff\x80\r\n"),
    seen: { method: "GET", target: "/g", fields: [["x", "\xff\x80"]] },
  },
  { name: "empty value", source: "RFC 9110 §5.5", bytes: get("X:\r\n"), seen: { method: "GET", target: "/g", fields: [["x", ""]] } },
  {
    name: "tabs and spaces around a value",
    source: "RFC 9112 §5.1",
    bytes: get("X:\t \t1\t 2\t \r\n"),
    seen: { method: "GET", target: "/g", fields: [["x", "1\t 2"]] },
  },
  {
    name: "colon at the start of a value",
    source: "RFC 9110 §5.5",
    bytes: get("X:: 1\r\n"),
    seen: { method: "GET", target: "/g", fields: [["x", ": 1"]] },
  },
  {
    name: "every character of a name",
    source: "RFC 9110 §5.6.2",
    bytes: get("!#$%&'*+-.^`|~0aZ: 1\r\n"),
    seen: { method: "GET", target: "/g", fields: [["!#$%&'*+-.^`|~0az", "1"]] },
  },
  {
    name: "a name of 300 characters",
    source: "CVE-2021-40346",
    bytes: get(`Content-Length0${"a".repeat(285)}: 5\r\n`),
    seen: { method: "GET", target: "/g" },
  },
  {
    name: "names that only begin like those of framing",
    source: "RFC 9110 §5.1",
    bytes: get("Content-Lengths: 5\r\nTransfer-Encodings: chunked\r\nX-Content-Length: 7\r\nContent.Length: 9\r\n"),
    seen: {
      method: "GET",
      target: "/g",
      fields: [
        ["content-lengths", "5"],
        ["x-content-length", "7"],
        ["content.length", "9"],
      ],
    },
  },
  {
    name: "length of 0",
    source: "RFC 9110 §8.6",
    bytes: post("Content-Length: 0\r\n", ""),
    seen: { method: "POST", target: "/p", body: "" },
  },
  {
    name: "white space around a length",
    source: "RFC 9112 §5.1",
    bytes: post("Content-Length: \t5 \r\n", "hello"),
    seen: { method: "POST", target: "/p", body: "hello" },
  },
  {
    name: "name of the length in capitals",
    source: "RFC 9110 §5.1",
    bytes: post("CONTENT-LENGTH:5\r\n", "hello"),
    seen: { method: "POST", target: "/p", body: "hello" },
  },
  {
    name: "content that looks like a request",
    source: "RFC 9112 §6",
    bytes: post(`Content-Length: ${FOLLOWING.length}\r\n`, FOLLOWING),
    seen: { method: "POST", target: "/p", body: FOLLOWING },
  },
  {
    name: "content of GET",
    source: "RUSTSEC-2020-0008",
    bytes: `${get("Content-Length: 5\r\n")}hello`,
    seen: { method: "GET", target: "/g", body: "hello" },
  },
  {
    name: "chunks of GET",
    source: "RFC 9110 §9.3.1",
    bytes: `${get(TE)}5\r\nhello\r\n0\r\n\r\n`,
    seen: { method: "GET", target: "/g", body: "hello" },
  },
  {
    name: "coding in mixed case",
    source: "RFC 9112 §7",
    bytes: post("transfer-ENCODING: ChunKed \r\n", "5\r\nhello\r\n0\r\n\r\n"),
    seen: { method: "POST", target: "/p", body: "hello" },
  },
  {
    name: "leading zeros of a chunk size",
    source: "RFC 9112 §7.1",
    bytes: post(TE, "0000000000000005\r\nhello\r\n000\r\n\r\n"),
    seen: { method: "POST", target: "/p", body: "hello" },
  },
  {
    name: "hexadecimal chunk sizes in both cases",
    source: "RFC 9112 §7.1",
    bytes: post(TE, `A\r\n${"x".repeat(10)}\r\nf\r\n${"y".repeat(15)}\r\n0\r\n\r\n`),
    seen: { method: "POST", target: "/p", body: "x".repeat(10) + "y".repeat(15) },
  },
  {
    name: "chunk that looks like the end",
    source: "RFC 9112 §7.1",
    bytes: post(TE, "5\r\n0\r\n\r\n\r\n0\r\n\r\n"),
    seen: { method: "POST", target: "/p", body: "0\r\n\r\n" },
  },
  {
    name: "chunk that looks like a request",
    source: "RFC 9112 §7.1",
    bytes: post(TE, `${FOLLOWING.length.toString(16)}\r\n${FOLLOWING}\r\n0\r\n\r\n`),
    seen: { method: "POST", target: "/p", body: FOLLOWING },
  },
  {
    name: "chunks of one byte",
    source: "RFC 9112 §7.1",
    bytes: post(TE, `${[..."hello"].map((c) => `1\r\n${c}\r\n`).join("")}0\r\n\r\n`),
    seen: { method: "POST", target: "/p", body: "hello" },
  },
  {
    name: "no chunk but the last",
    source: "RFC 9112 §7.1",
    bytes: post(TE, "0\r\n\r\n"),
    seen: { method: "POST", target: "/p", body: "" },
  },
  {
    name: "chunk extensions",
    source: "RFC 9112 §7.1.1",
    bytes: post(TE, '5 ; a ; b = "c\\"\\t\t\xff" ;d=e\r\nhello\r\n0;f\r\n\r\n'),
    seen: { method: "POST", target: "/p", body: "hello" },
  },
  {
    name: "trailers",
    source: "RFC 9112 §7.1.2",
    bytes: post(TE, "5\r\nhello\r\n0\r\nX-T: 1\r\nx-u:\r\n\r\n"),
    seen: { method: "POST", target: "/p", body: "hello" },
  },
  {
    name: "Connection takes a field away",
    source: "RFC 9110 §7.6.1",
    bytes: get("Connection: keep-alive, x-foo\r\nX-Foo: 1\r\nKeep-Alive: timeout=5\r\nX-Bar: 2\r\n"),
    seen: {
      method: "GET",
      target: "/g",
      fields: [
        ["x-foo", null],
        ["keep-alive", null],
        ["x-bar", "2"],
      ],
    },
  },
  {
    name: "Proxy-Connection",
    source: "RFC 9110 §7.6.1",
    bytes: get("Proxy-Connection: keep-alive\r\n"),
    seen: { method: "GET", target: "/g", fields: [["proxy-connection", null]] },
  },
  {
    name: "Connection: close",
    source: "RFC 9112 §9.6",
    bytes: get("Connection: close\r\n"),
    seen: { method: "GET", target: "/g" },
    closes: true,
  },
  {
    name: "Upgrade: h2c",
    source: "spec proxy §3.6",
    bytes: get("Connection: upgrade, http2-settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"),
    seen: {
      method: "GET",
      target: "/g",
      fields: [
        ["upgrade", null],
        ["http2-settings", null],
      ],
    },
  },
  {
    name: "TE: trailers",
    source: "RFC 9110 §10.1.4",
    bytes: get("TE: trailers\r\n"),
    seen: { method: "GET", target: "/g", fields: [["te", "trailers"]] },
  },
  { name: "a field 99 times", source: "RFC 9110 §5.3", bytes: get("x: 1\r\n".repeat(99)), seen: { method: "GET", target: "/g" } },
  {
    name: "a value of 32 KiB",
    source: "RFC 9110 §5.4",
    bytes: get(`x: ${"1".repeat(32_768)}\r\n`),
    seen: { method: "GET", target: "/g", fields: [["x", "1".repeat(32_768)]] },
  },
  {
    name: "l5d-orig-proto on HTTP/1",
    source: "spec proxy §3.7",
    bytes: get("l5d-orig-proto: HTTP/1.0; absolute-form\r\n"),
    seen: { method: "GET", target: "/g" },
  },
  {
    name: "Expect: 100-continue with the content at once",
    source: "RFC 9110 §10.1.1",
    bytes: post("Expect: 100-continue\r\nContent-Length: 5\r\n", "hello"),
    seen: { method: "POST", target: "/p", body: "hello", fields: [["expect", "100-continue"]] },
  },
];

export const CONTROLS: readonly RequestCase[] = rows.map(({ name, source = "RFC 9112", bytes, seen, closes = false }) => ({
  group: "valid",
  name,
  source,
  bytes,
  verdict: { kind: "accepted", seen, closes },
}));
