// Everything two parsers could read differently is refused with 400 (501 for an unknown coding) and a closed connection, and
// no handler sees a complete request of it (spec hardening §2). The variants are made systematically; each is tried whole and
// byte by byte.
import { describe, expect, test } from "bun:test";
import { MAX_CHUNK_EXTENSION_BYTES, MAX_EMPTY_LINES, MAX_FIELDS, MAX_HEAD_BYTES, MAX_TRAILER_BYTES } from "./limits.ts";
import { response, TestServer } from "./testing.ts";

type Variant = { readonly name: string; readonly data: string; readonly status?: number };

const SMUGGLED = "GET /admin HTTP/1.1\r\nHost: a\r\n\r\n";
const show = (text: string): string => JSON.stringify(text).slice(1, -1);

/** The samples of spec hardening §2, in its order. */
const SAMPLES: Variant[] = [
  { name: "CL and TE together", data: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" },
  { name: "Content-Length: 5, 5", data: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello" },
  { name: "TE chunked in HTTP/1.0", data: "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" },
  { name: "bare LF lines", data: "GET / HTTP/1.1\nHost: a\n\n" },
  { name: "obs-fold", data: "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n" },
  { name: "two Host headers", data: "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" },
  { name: "empty header name", data: "GET / HTTP/1.1\r\nHost: a\r\n: 1\r\n\r\n" },
  {
    name: "bare LF in a chunk extension",
    data: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;\nxx\r\n4c\r\n0\r\n\r\n",
  },
  { name: "# in the request target", data: "GET /public#/../admin HTTP/1.1\r\nHost: a\r\n\r\n" },
  { name: "differing CLs", data: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!" },
  { name: "+5", data: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello" },
  { name: "space before the colon", data: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello" },
  { name: "xchunked", data: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" },
  { name: "chunked, identity", data: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" },
  { name: "no Host in HTTP/1.1", data: "GET / HTTP/1.1\r\n\r\n" },
  { name: "NUL", data: "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n" },
  { name: "lone CR", data: "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n" },
  { name: "chunk-size overflow", data: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nx" },
];

function post(fields: string, body: string): string {
  return `POST / HTTP/1.1\r\nHost: a\r\n${fields}\r\n${body}`;
}

function variants(): Variant[] {
  const out: Variant[] = [];
  const add = (name: string, data: string, status = 400): void => {
    out.push({ name, data, status });
  };

  for (const value of [
    "",
    "-1",
    "+0",
    "0x5",
    "5h",
    "5 5",
    "5,5",
    "5,",
    ",5",
    "5;",
    "5.0",
    "1e1",
    "٥",
    "05",
    "00",
    "0_5",
    "5\t5",
    "9007199254740992",
    "18446744073709551616",
    "99999999999999999999",
    "NaN",
    "Infinity",
    "chunked",
    '"5"',
    "\v5",
    "5\f",
    "\x855",
  ])
    add(`content-length ${show(value)}`, post(`Content-Length: ${value}\r\n`, "hello"));

  // A length beside a coding, in each order, number and spelling.
  for (const te of ["chunked", "Chunked", "CHUNKED", " chunked ", "\tchunked"])
    for (const cl of ["0", "5", "6"])
      for (const first of ["te", "cl"]) {
        const lines = [`Transfer-Encoding:${te}\r\n`, `Content-Length:${cl}\r\n`];
        if (first === "cl") lines.reverse();
        add(`${lines.map(show).join("")}`, post(lines.join(""), "0\r\n\r\n"));
      }

  for (const value of [
    "",
    "chunke",
    "chunkedd",
    "xchunked",
    "chunked\x00",
    "chunked\v",
    "\vchunked",
    "\xa0chunked",
    "chunked,",
    ",chunked",
    "chunked, chunked",
    "chunked, identity",
    "chunked, gzip",
    "identity",
    "identity, chunked",
    "gzip",
    '"chunked"',
    "chunked;q=1",
    "chunked ; x",
    "chu nked",
    "chunked chunked",
    "cow",
    "'chunked'",
    "chunked/1",
    "\u212achunked",
    "chun\rked",
  ])
    add(`transfer-encoding ${show(value)}`, post(`Transfer-Encoding: ${value}\r\n`, "0\r\n\r\n"));
  for (const value of ["gzip, chunked", "deflate,chunked", "x-foo , Chunked", "br, gzip, chunked"])
    add(`transfer-encoding ${value}`, post(`Transfer-Encoding: ${value}\r\n`, "0\r\n\r\n"), 501);
  for (const [a, b] of [
    ["chunked", "chunked"],
    ["chunked", "identity"],
    ["identity", "chunked"],
    ["gzip", "chunked"],
    ["", "chunked"],
  ])
    add(`two transfer-encodings ${a}/${b}`, post(`Transfer-Encoding: ${a}\r\nTransfer-Encoding: ${b}\r\n`, "0\r\n\r\n"));

  // Names that some servers take for the real ones.
  const names = ["Transfer-Encoding", "Content-Length"];
  for (const name of names) {
    const value = name === "Content-Length" ? "5" : "chunked";
    // A value that begins with a colon is legal; as a framing value it is not.
    for (const spelt of [
      `${name} `,
      `${name}\t`,
      ` ${name}`,
      `\t${name}`,
      `${name}\0`,
      `${name}\r`,
      `${name}\x0b`,
      `"${name}"`,
      `${name.replace("-", "_")}`,
      `${name}\xad`,
      `${name}(`,
      `${name}[`,
      `x ${name}`,
      `${name}:`,
    ])
      add(`name ${show(spelt)}`, post(`${spelt}: ${value}\r\n`, "0\r\n\r\n"));
    add(`${name} folded`, post(`${name}:\r\n ${value}\r\n`, "0\r\n\r\n"));
    add(`${name} folded by tab`, post(`X: 1\r\n\t${name}: ${value}\r\n`, "0\r\n\r\n"));
    add(`${name} behind a bare CR`, post(`X: 1\r${name}: ${value}\r\n`, "0\r\n\r\n"));
    add(`${name} behind a bare LF`, post(`X: 1\n${name}: ${value}\r\n`, "0\r\n\r\n"));
    add(`${name} behind CR CR LF`, post(`X: 1\r\r\n${name}: ${value}\r\n`, "0\r\n\r\n"));
    add(`${name} behind NUL`, post(`X: 1\0${name}: ${value}\r\n`, "0\r\n\r\n"));
    add(`${name} behind LF CR`, post(`X: 1\n\r${name}: ${value}\r\n`, "0\r\n\r\n"));
    for (const connection of [name, `close, ${name}`, `keep-alive,${name.toLowerCase()}`])
      add(
        `connection names it: ${connection}`,
        post(`Connection: ${connection}\r\n${name}: ${value}\r\n`, name === "Content-Length" ? "hello" : "0\r\n\r\n"),
      );
  }
  add("connection names host", "GET / HTTP/1.1\r\nHost: a\r\nConnection: host\r\n\r\n");

  // Line ends and control characters everywhere in a head.
  const head = "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n\r\n";
  const places: [string, number][] = [
    ["method", 1],
    ["before the target", 4],
    ["behind the target", 5],
    ["version", 8],
    ["behind the version", 14],
    ["name", 17],
    ["behind the name", 20],
    ["value", 22],
    ["behind the value", 23],
    ["second name", 25],
  ];
  for (const [place, at] of places)
    for (const evil of ["\0", "\n", "\r", "\x01", "\x0b", "\x0c", "\x7f", "\x1f"])
      add(`${show(evil)} in ${place}`, head.slice(0, at) + evil + head.slice(at));
  add("CR LF CR X ends the head (CVE-2025-23167)", `GET / HTTP/1.1\r\nHost: a\r\n\r${SMUGGLED}`);
  add("LF LF ends the head", "GET / HTTP/1.1\r\nHost: a\n\nGET /admin HTTP/1.1\r\nHost: a\r\n\r\n");
  add("CR CR ends the head", "GET / HTTP/1.1\r\nHost: a\r\r");

  // Request lines.
  for (const line of [
    "GET /",
    "GET / HTTP/0.9",
    "GET / HTTP/1.2",
    "GET / HTTP/2.0",
    "GET / HTTP/1.10",
    "GET / HTTP/1",
    "GET / http/1.1",
    "GET / HTTP/1.1 ",
    "GET / HTTP/1.1\t",
    "GET  / HTTP/1.1",
    "GET /  HTTP/1.1",
    "GET\t/ HTTP/1.1",
    "GET /\tHTTP/1.1",
    " GET / HTTP/1.1",
    "GET / x HTTP/1.1",
    "GET /a b HTTP/1.1",
    "G(T / HTTP/1.1",
    "GET\xa0/ HTTP/1.1",
    "GET /\xe9 HTTP/1.1",
    "GET /\x80 HTTP/1.1",
    "/ HTTP/1.1",
    "GET HTTP/1.1",
    "",
    "GET /#a HTTP/1.1",
    "GET /?a#b HTTP/1.1",
    "GET # HTTP/1.1",
    "GET * HTTP/1.1",
    "OPTIONS ** HTTP/1.1",
    "GET a HTTP/1.1",
    "GET a/b HTTP/1.1",
    "GET a:80 HTTP/1.1",
    "GET //a:b@c HTTP/1.1\r\nX Y: 1",
    "GET ?a HTTP/1.1",
    "GET http:// HTTP/1.1",
    "GET http:///x HTTP/1.1",
    "GET http://u@a/ HTTP/1.1",
    "GET http://a#b HTTP/1.1",
    "GET http://a\\b/ HTTP/1.1",
    "GET http://b/ HTTP/1.1",
    "GET http://a:81/ HTTP/1.1",
    "GET http:/a HTTP/1.1",
    "GET ftp://a/ HTTP/1.1",
    "GET javascript:x HTTP/1.1",
    "GET <a> HTTP/1.1",
    "CONNECT / HTTP/1.1",
    "CONNECT a HTTP/1.1",
    "CONNECT a: HTTP/1.1",
    "CONNECT a:b HTTP/1.1",
    "CONNECT a:99999 HTTP/1.1",
    "CONNECT http://a:80/ HTTP/1.1",
    "CONNECT b:80 HTTP/1.1",
    "CONNECT a:80 HTTP/1.0",
    "CONNECT * HTTP/1.1",
  ])
    add(`request line ${show(line)}`, `${line}\r\nHost: a\r\n\r\n`);
  add("CONNECT with content", "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\nContent-Length: 5\r\n\r\nhello");
  add("CONNECT with chunks", "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");

  // Host.
  for (const host of [
    "a b",
    "a, b",
    "a/b",
    "a?b",
    "a#b",
    "a@b",
    "u:p@a",
    "a\\b",
    "http://a",
    "a:b",
    "a:-1",
    "a:65536",
    "a:000080",
    "a::80",
    "[::1",
    "[::g]",
    "[]",
    "[::1]x",
    "\xe9",
    "a\x7fb",
    "a\tb",
    "<a>",
    "{a}",
    "a|b",
    "^",
    ":80",
    "a:80:80",
  ])
    add(`host ${show(host)}`, `GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
  for (const [a, b] of [
    ["a", "a"],
    ["a", "b"],
    ["", "a"],
    ["a", ""],
  ])
    add(`hosts ${a}/${b}`, `GET / HTTP/1.1\r\nHost: ${a}\r\nHost: ${b}\r\n\r\n`);
  add("two hosts in HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n");
  add("absolute-form without host", "GET http://a/ HTTP/1.1\r\n\r\n");

  // Field lines.
  for (const line of [
    "X",
    "X\t: 1",
    "X : 1",
    ": 1",
    "X@: 1",
    "X,Y: 1",
    "X/Y: 1",
    "(X): 1",
    "X{}: 1",
    "\xe9: 1",
    "X\x80: 1",
    "GET / HTTP/1.1",
    "X=1",
    "{x: 1",
    "=: 1",
    "?: 1",
  ])
    add(`field line ${show(line)}`, `GET / HTTP/1.1\r\nHost: a\r\n${line}\r\n\r\n`);

  // Chunks.
  const te = "Transfer-Encoding: chunked\r\n";
  for (const body of [
    "\r\n",
    "\n",
    "g\r\n",
    "-1\r\n",
    "+1\r\nx",
    "0x1\r\nx",
    " 1\r\nx",
    "1 \r\nx",
    "1\t\r\nx",
    "1\nx\n",
    "1\r\nx\n0\r\n",
    "1\r\nxx\r\n",
    "1\r\nx0\r\n\r\n",
    "1\rx",
    "1\n\r\nx",
    "1\r\nx\r\r\n",
    "1\r\nx\rX",
    "1,1\r\nx",
    "1.\r\nx",
    "1_0\r\nx",
    "1\x0b\r\nx",
    "1\0\r\nx",
    "\0\r\n",
    "0\n\n",
    "0\r\n\n",
    "0\r\n\rX",
    "0\r\r\n",
    "00000000000000001\r\nx",
    "fffffffffffffff\r\nx",
    "20000000000000\r\nx",
    "ffffffffffffffff\r\nx",
    "10000000000000000\r\nx",
    "1;\r\nx",
    "1; \r\nx",
    "1;a=\r\nx",
    "1;=b\r\nx",
    "1;a b\r\nx",
    "1;a\nb\r\nx",
    "1;a\rb\r\nx",
    '1;a="\n"\r\nx',
    '1;a="\r\n"\r\nx',
    '1;a="b\r\nx',
    '1;a="\\\n"\r\nx',
    '1;a="b"c\r\nx',
    "1;a\0\r\nx",
    "1;a=b\x7f\r\nx",
    "1;;\r\nx",
    "1;a=b=c\r\nx",
    "1 a\r\nx",
    "1\t;\r\nx",
    "1;a \r\nx",
    "1;a=b \r\nx",
    "1;\xe9\r\nx",
    "1;a\r\r\nx",
    '1;a="\x01"\r\nx',
    "0\r\nX\r\n\r\n",
    "0\r\n X: 1\r\n\r\n",
    "0\r\nX : 1\r\n\r\n",
    "0\r\n: 1\r\n\r\n",
    "0\r\nX: 1\n\r\n",
    "0\r\nX: 1\r\n 2\r\n\r\n",
    "0\r\nX: \0\r\n\r\n",
    "0\r\nX: a\rb\r\n\r\n",
    "0\r\nContent-Length: 5\r\n\r\n",
    "0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "0\r\nHost: b\r\n\r\n",
    "0\r\nConnection: close\r\n\r\n",
    "0\r\nX: 1\r\n\n",
  ])
    add(`chunks ${show(body)}`, post(te, body));
  return out;
}

const VARIANTS = variants();

function refused(data: string, split: boolean): { status: number; server: TestServer } {
  const server = new TestServer();
  let out = "";
  for (const piece of split ? data : [data]) {
    server.receive(piece);
    out += server.output();
    if (server.host.finished) break;
  }
  // What follows must never be read as a request.
  server.receive(SMUGGLED);
  out += server.output();
  const match = /^HTTP\/1\.1 (\d{3}) [^\r]+\r\ncontent-length: 0\r\nconnection: close\r\ndate: [^\r]+\r\n\r\n$/.exec(out);
  return { status: match === null ? -1 : Number(match[1]), server };
}

describe("spec hardening §2", () => {
  test.each(SAMPLES)("$name", ({ data }) => {
    for (const split of [false, true]) {
      const { status, server } = refused(data, split);
      expect(status).toBe(400);
      expect(server.host.finished).toBe(true);
      expect(server.requests.filter((request) => request.ended)).toHaveLength(0);
      expect(server.faults).toHaveLength(1);
    }
  });
});

describe("variants", () => {
  test("there are at least 200, each once", () => {
    expect(VARIANTS.length).toBeGreaterThanOrEqual(200);
    const seen = new Set<string>();
    expect(VARIANTS.filter(({ data }) => seen.has(data) || !seen.add(data)).map(({ name }) => name)).toEqual([]);
  });

  test.each(VARIANTS)("$name", ({ data, status = 400 }) => {
    for (const split of [false, true]) {
      const result = refused(data, split);
      expect(result.status).toBe(status);
      expect(result.server.host.finished).toBe(true);
      expect(result.server.requests.filter((request) => request.ended)).toHaveLength(0);
      // Of a head that is refused the handler sees nothing; of refused chunks it sees an aborted request.
      for (const request of result.server.requests) expect(request.error?.kind).toBe("protocol");
    }
  });

  test("malformed chunks behind a response that began: no second response", () => {
    const server = new TestServer((request) => request.stream.respond(response(200), false));
    server.receive(post("Transfer-Encoding: chunked\r\n", "x"));
    expect(server.host.aborted).toBe(true);
    expect(server.engine.output()).toBeNull();
    expect(server.last().error).toEqual({ kind: "protocol", message: "invalid chunk size" });
  });

  test("a malformed request behind a good one: the good one is answered first", () => {
    const server = new TestServer((request) => request.stream.respond(response(204, ["date", "x"]), true));
    server.receive("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n\r\n");
    expect(server.output()).toMatch(/^HTTP\/1\.1 204 No Content\r\ndate: x\r\n\r\nHTTP\/1\.1 400 Bad Request\r\n/);
    expect(server.requests).toHaveLength(1);
    expect(server.host.finished).toBe(true);
  });
});

describe("what is strange but clear is accepted", () => {
  const rows: [string, string][] = [
    ["empty lines before", `${"\r\n".repeat(MAX_EMPTY_LINES)}GET / HTTP/1.1\r\nHost: a\r\n\r\n`],
    ["no host in HTTP/1.0", "GET / HTTP/1.0\r\n\r\n"],
    ["empty host", "GET / HTTP/1.1\r\nHost:\r\n\r\n"],
    ["port 0 digits", "GET / HTTP/1.1\r\nHost: a:80\r\n\r\n"],
    ["IPv6 host", "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n"],
    ["underscore in host", "GET / HTTP/1.1\r\nHost: a_b\r\n\r\n"],
    ["unusual method", "M-SEARCH / HTTP/1.1\r\nHost: a\r\n\r\n"],
    ["unescaped characters browsers send", 'GET /a[]|{}"^\\?b=[]|{}^`>? HTTP/1.1\r\nHost: a\r\n\r\n'],
    ["double slash", "GET //a HTTP/1.1\r\nHost: a\r\n\r\n"],
    ["absolute-form", "GET HTTP://A:80?x HTTP/1.1\r\nHost: a\r\n\r\n"],
    ["obs-text", "GET / HTTP/1.1\r\nHost: a\r\nX: \xff\x80\r\n\r\n"],
    ["empty value", "GET / HTTP/1.1\r\nHost: a\r\nX:\r\n\r\n"],
    ["tabs around a value", "GET / HTTP/1.1\r\nHost: a\r\nX:\t \t1\t \r\n\r\n"],
    ["length of 0", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"],
    ["leading zeros of a chunk size", `${post("Transfer-Encoding: chunked\r\n", "0000000000000001\r\nx\r\n000\r\n\r\n")}`],
    ["extensions", `${post("Transfer-Encoding: chunked\r\n", '1 ; a ; b = "c\\"\\t\t\xff" ;d=e\r\nx\r\n0;f\r\n\r\n')}`],
    ["CONNECT", "CONNECT a:80 HTTP/1.1\r\nHost: A\r\n\r\n"],
    ["OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"],
  ];
  test.each(rows)("%s", (_name, data) => {
    for (const split of [false, true]) {
      const server = new TestServer();
      for (const piece of split ? data : [data]) server.receive(piece);
      expect(server.faults).toEqual([]);
      expect(server.requests).toHaveLength(1);
      expect(server.last().ended).toBe(true);
    }
  });

  test("absolute-form and obs-text come out as they went in", () => {
    const server = new TestServer();
    server.receive("GET HTTP://A:80?x HTTP/1.1\r\nHost: a\r\nX: \xff\x80\r\n\r\n");
    const { head } = server.last();
    expect([head.form, head.scheme, head.authority, head.path, head.get("x")]).toEqual(["absolute", "http", "A:80", "/?x", "\xff\x80"]);
  });
});

describe("bounds", () => {
  const status = (data: string): number => refused(data, false).status;
  const accepted = (data: string): boolean => {
    const server = new TestServer();
    server.receive(data);
    return server.requests.length === 1 && server.faults.length === 0 && server.last().ended;
  };

  test("fields", () => {
    const fields = (n: number): string => `GET / HTTP/1.1\r\nHost: a\r\n${"x: 1\r\n".repeat(n - 1)}\r\n`;
    expect(accepted(fields(MAX_FIELDS))).toBe(true);
    expect(status(fields(MAX_FIELDS + 1))).toBe(431);
  });

  test("bytes of a head", () => {
    const head = (n: number): string => `GET / HTTP/1.1\r\nHost: a\r\nx: ${"1".repeat(n - 32)}\r\n\r\n`;
    expect(head(MAX_HEAD_BYTES)).toHaveLength(MAX_HEAD_BYTES);
    expect(accepted(head(MAX_HEAD_BYTES))).toBe(true);
    expect(status(head(MAX_HEAD_BYTES + 1))).toBe(431);
    // Before its end is seen.
    expect(status(head(MAX_HEAD_BYTES + 10).slice(0, -4))).toBe(431);
  });

  test("request line", () => {
    expect(status(`GET /${"x".repeat(MAX_HEAD_BYTES)}`)).toBe(414);
    expect(status(`GET /${"x".repeat(MAX_HEAD_BYTES)} HTTP/1.1\r\nHost: a\r\n\r\n`)).toBe(414);
  });

  test("empty lines", () => {
    expect(status(`${"\r\n".repeat(MAX_EMPTY_LINES + 1)}GET / HTTP/1.1\r\nHost: a\r\n\r\n`)).toBe(400);
  });

  test("chunk extensions", () => {
    // Counted from behind the `;` of each size to its CR.
    const body = (n: number): string => post("Transfer-Encoding: chunked\r\n", `1;${"a".repeat(n - 1)}\r\nx\r\n0\r\n\r\n`);
    expect(accepted(body(MAX_CHUNK_EXTENSION_BYTES))).toBe(true);
    expect(status(body(MAX_CHUNK_EXTENSION_BYTES + 1))).toBe(400);
    expect(status(post("Transfer-Encoding: chunked\r\n", `1;${"a".repeat(1000)}\r\nx\r\n`.repeat(17)))).toBe(400);
  });

  test("trailers", () => {
    const body = (n: number): string => post("Transfer-Encoding: chunked\r\n", `0\r\nx: ${"1".repeat(n - 7)}\r\n\r\n`);
    expect(accepted(body(MAX_TRAILER_BYTES))).toBe(true);
    expect(status(body(MAX_TRAILER_BYTES + 1))).toBe(400);
    expect(status(post("Transfer-Encoding: chunked\r\n", `0\r\n${"x: 1\r\n".repeat(MAX_FIELDS + 1)}\r\n`))).toBe(400);
  });
});
