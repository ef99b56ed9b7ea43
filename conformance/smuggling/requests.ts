// Requests that two parsers could read differently, made systematically: each table is one place of a message and what can
// be wrong there. All are refused.
import { broken, type RequestCase, refused, SMUGGLED, show, type Verdict } from "./case.ts";

const TE = "Transfer-Encoding: chunked\r\n";
const post = (fields: string, body: string): string => `POST / HTTP/1.1\r\nHost: a\r\n${fields}\r\n${body}`;
const get = (fields: string): string => `GET / HTTP/1.1\r\nHost: a\r\n${fields}\r\n`;

type Add = (name: string, bytes: string, verdict?: Verdict, source?: string) => void;

function table(group: string, source: string, fill: (add: Add) => void): RequestCase[] {
  const cases: RequestCase[] = [];
  fill((name, bytes, verdict = refused(), own = source) => cases.push({ group, name, source: own, bytes, verdict }));
  return cases;
}

const contentLength = table("content-length", "RFC 9110 §8.6, RFC 9112 §6.3", (add) => {
  const values: readonly string[] = [
    ...["", "-1", "-0", "+0", "0x5", "5h", "5 5", "5,5", "5, 6", "5,", ",5", "5;", "5;q=1", "5.0", "1e1", "05", "00", "0_5", "5\t5"],
    ...["9007199254740992", "18446744073709551616", "18446744073709551621", "99999999999999999999"],
    ...["NaN", "Infinity", "chunked", '"5"', "(5)", "5 (five)", "\v5", "5\f", "\x855", "5\xa0", "\xef\xbc\x95", "0b101", "0o5", "\xd9\xa5"],
  ];
  for (const value of values) add(show(value) || "empty", post(`Content-Length: ${value}\r\n`, "hello"));
  for (const [first, second] of [
    ["5", "5"],
    ["5", "6"],
    ["0", "5"],
    ["5", "0"],
    ["", "5"],
    ["5", ""],
    ["5", "+5"],
  ] as const)
    add(
      `two fields: ${show(first)} and ${show(second)}`,
      post(`Content-Length: ${first}\r\nX: 1\r\ncontent-length: ${second}\r\n`, "hello"),
    );
});

const both = table("length and coding", "RFC 9112 §6.1, §6.3", (add) => {
  for (const coding of ["chunked", "Chunked", "CHUNKED", " chunked ", "\tchunked"])
    for (const length of ["0", "5", "6"])
      for (const order of ["coding first", "length first"]) {
        const lines = [`Transfer-Encoding:${coding}\r\n`, `Content-Length:${length}\r\n`];
        if (order === "length first") lines.reverse();
        add(`${show(coding)} and ${length}, ${order}`, post(lines.join(""), "0\r\n\r\n"));
      }
  add("on GET", `GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n${TE}\r\n0\r\n\r\n`, refused(), "RUSTSEC-2020-0008");
  add("far apart", post(`Content-Length: 5\r\n${"X: 1\r\n".repeat(50)}${TE}`, "0\r\n\r\n"));
  add("coding unknown", post("Content-Length: 5\r\nTransfer-Encoding: x\r\n", "hello"));
  add("coding empty", post("Content-Length: 5\r\nTransfer-Encoding:\r\n", "hello"));
  add("coding identity", post("Content-Length: 5\r\nTransfer-Encoding: identity\r\n", "hello"));
});

const transferEncoding = table("transfer-encoding", "RFC 9112 §6.1, §7", (add) => {
  const values: readonly string[] = [
    ...["", "chunke", "chunkedd", "chunked\0", "chunked\v", "\vchunked", "\xa0chunked", "chunked\x85", "chunked,", ",chunked", ", chunked"],
    ...[
      "chunked, chunked",
      "chunked, gzip",
      "identity",
      "identity, chunked",
      "chunked,,",
      "gzip",
      '"chunked"',
      "chunked;q=1",
      "chunked ; x",
    ],
    ...[
      "chu nked",
      "chunked chunked",
      "cow",
      "'chunked'",
      "chunked/1",
      "\xe2\x84\xaachunked",
      "chun\rked",
      "chunked;",
      "chunked x",
      "chunked,\tx",
    ],
    ...["trailers", "deflate", "[chunked]", "chunked\x7f", "x:chunked"],
  ];
  for (const value of values) add(show(value) || "empty", post(`Transfer-Encoding: ${value}\r\n`, "0\r\n\r\n"));
  for (const value of ["gzip, chunked", "deflate,chunked", "x-foo , Chunked", "br, gzip, chunked"])
    add(`${value}: a coding that is not implemented`, post(`Transfer-Encoding: ${value}\r\n`, "0\r\n\r\n"), refused(501));
  for (const [first, second] of [
    ["chunked", "chunked"],
    ["chunked", "identity"],
    ["identity", "chunked"],
    ["gzip", "chunked"],
    ["", "chunked"],
    ["chunked", ""],
    ["chunked", "cow"],
  ] as const)
    add(
      `two fields: ${show(first)} and ${show(second)}`,
      post(`Transfer-Encoding: ${first}\r\nX: 1\r\ntransfer-encoding: ${second}\r\n`, "0\r\n\r\n"),
      refused(),
      "RUSTSEC-2021-0020, CVE-2026-2835",
    );
  for (const version of ["1.0"])
    for (const value of ["chunked", "identity", "gzip, chunked"])
      add(
        `${value} in HTTP/${version}`,
        `POST / HTTP/${version}\r\nHost: a\r\nConnection: keep-alive\r\nTransfer-Encoding: ${value}\r\n\r\n0\r\n\r\n`,
      );
});

const names = table("names like those of framing", "RFC 9112 §5.1, RFC 9110 §5.1", (add) => {
  for (const [name, value] of [
    ["Transfer-Encoding", "chunked"],
    ["Content-Length", "5"],
  ] as const) {
    for (const spelt of [
      ...[`${name} `, `${name}\t`, ` ${name}`, `\t${name}`, `${name}\0`, `${name}\r`, `${name}\x0b`, `"${name}"`, name.replace("-", "_")],
      ...[
        `${name}\xad`,
        `${name}(`,
        `${name}[`,
        `x ${name}`,
        `${name}:`,
        `${name}\x1f`,
        `\x7f${name}`,
        `${name},x`,
        `${name}/`,
        `${name}=x`,
      ],
    ])
      add(show(spelt), post(`${spelt}: ${value}\r\n`, "0\r\n\r\n"));
    add(`${name} folded`, post(`${name}:\r\n ${value}\r\n`, "0\r\n\r\n"), refused(), "RFC 9112 §5.2");
    add(`${name} folded by tab`, post(`X: 1\r\n\t${name}: ${value}\r\n`, "0\r\n\r\n"), refused(), "RFC 9112 §5.2");
    add(
      `${name} folded before the first field`,
      `POST / HTTP/1.1\r\n ${name}: ${value}\r\nHost: a\r\n\r\n0\r\n\r\n`,
      refused(),
      "CVE-2024-27982",
    );
    add(`${name} behind a bare CR`, post(`X: 1\r${name}: ${value}\r\n`, "0\r\n\r\n"), refused(), "RFC 9112 §2.2");
    add(`${name} behind a bare LF`, post(`X: 1\n${name}: ${value}\r\n`, "0\r\n\r\n"), refused(), "RFC 9112 §2.2");
    add(`${name} behind CR CR LF`, post(`X: 1\r\r\n${name}: ${value}\r\n`, "0\r\n\r\n"), refused(), "RFC 9112 §2.2");
    add(`${name} behind NUL`, post(`X: 1\0${name}: ${value}\r\n`, "0\r\n\r\n"), refused(), "RFC 9110 §5.5");
    add(`${name} behind LF CR`, post(`X: 1\n\r${name}: ${value}\r\n`, "0\r\n\r\n"), refused(), "RFC 9112 §2.2");
    for (const connection of [name, `close, ${name}`, `keep-alive,${name.toLowerCase()}`, `${name.toUpperCase()}, x`])
      add(
        `Connection names it: ${connection}`,
        post(`Connection: ${connection}\r\n${name}: ${value}\r\n`, name === "Content-Length" ? "hello" : "0\r\n\r\n"),
        refused(),
        "RFC 9110 §7.6.1",
      );
  }
  add("Connection names Host", get("Connection: host\r\n"), refused(), "RFC 9110 §7.6.1");
  add("space before the first name", "POST / HTTP/1.1\r\n Content-Length: 30\r\nHost: a\r\n\r\n", refused(), "CVE-2024-27982");
});

const lineEnds = table("line ends and control characters", "RFC 9112 §2.2, RFC 9110 §5.5", (add) => {
  const head = "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n\r\n";
  const places: readonly (readonly [string, number])[] = [
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
      add(`${show(evil)}: ${place}`, head.slice(0, at) + evil + head.slice(at));
  add("CR LF CR X ends the head", `GET / HTTP/1.1\r\nHost: a\r\n\rX`, refused(), "CVE-2025-23167");
  add("LF LF ends the head", "GET / HTTP/1.1\r\nHost: a\n\n");
  add("CR CR ends the head", "GET / HTTP/1.1\r\nHost: a\r\r");
  add("CR LF LF ends the head", "GET / HTTP/1.1\r\nHost: a\r\n\n");
  add("LF CR LF ends the head", "GET / HTTP/1.1\r\nHost: a\n\r\n");
  add("empty lines without end", "\r\n".repeat(20));
  add("LF before the request line", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
  add("CR before the request line", "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n");
  add("NUL before the request line", "\0GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  add("byte order mark before the request line", "\xef\xbb\xbfGET / HTTP/1.1\r\nHost: a\r\n\r\n");
  add("TLS on a clear-text port", "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n");
});

const requestLine = table("request line", "RFC 9112 §3", (add) => {
  for (const line of [
    ...[
      "GET /",
      "GET / HTTP/0.9",
      "GET / HTTP/1.2",
      "GET / HTTP/2.0",
      "GET / HTTP/3",
      "GET / HTTP/1.10",
      "GET / HTTP/01.1",
      "GET / HTTP/1",
    ],
    ...["GET / HTTP/1.", "GET / HTTP/1,1", "GET / http/1.1", "GET / HTTP /1.1", "GET / HTTP/ 1.1", "GET / HTTPS/1.1", "GET / HTTP/1.1 "],
    ...["GET / HTTP/1.1\t", "GET  / HTTP/1.1", "GET /  HTTP/1.1", "GET\t/ HTTP/1.1", "GET /\tHTTP/1.1", " GET / HTTP/1.1"],
    ...["GET / x HTTP/1.1", "GET /a b HTTP/1.1", "G(T / HTTP/1.1", "GET, / HTTP/1.1", '"GET" / HTTP/1.1', "GET\xa0/ HTTP/1.1"],
    ...["GET /\xe9 HTTP/1.1", "GET /\x80 HTTP/1.1", "/ HTTP/1.1", " / HTTP/1.1", "GET HTTP/1.1", "", "GET / HTTP/1.1 GET / HTTP/1.1"],
  ])
    add(show(line) || "empty", `${line}\r\nHost: a\r\n\r\n`);
});

const target = table("request target", "RFC 9112 §3.2", (add) => {
  for (const line of [
    ...["GET /#a HTTP/1.1", "GET /?a#b HTTP/1.1", "GET # HTTP/1.1", "GET * HTTP/1.1", "OPTIONS ** HTTP/1.1", "OPTIONS *?a HTTP/1.1"],
    ...[
      "GET a HTTP/1.1",
      "GET a/b HTTP/1.1",
      "GET a:80 HTTP/1.1",
      "GET ?a HTTP/1.1",
      "GET \\ HTTP/1.1",
      "GET .. HTTP/1.1",
      "GET %2F HTTP/1.1",
    ],
    ...[
      "GET http:// HTTP/1.1",
      "GET http:///x HTTP/1.1",
      "GET http://u@a/ HTTP/1.1",
      "GET http://a@b@a/ HTTP/1.1",
      "GET http://a#b HTTP/1.1",
    ],
    ...["GET http://a\\b/ HTTP/1.1", "GET http://b/ HTTP/1.1", "GET http://a:81/ HTTP/1.1", "GET http:/a HTTP/1.1", "GET http:a HTTP/1.1"],
    ...[
      "GET ftp://a/ HTTP/1.1",
      "GET javascript:x HTTP/1.1",
      "GET file:///etc/passwd HTTP/1.1",
      "GET <a> HTTP/1.1",
      "GET http://a:/x:y@/ HTTP/1.1",
    ],
    ...["CONNECT / HTTP/1.1", "CONNECT a HTTP/1.1", "CONNECT a: HTTP/1.1", "CONNECT a:b HTTP/1.1", "CONNECT a:99999 HTTP/1.1"],
    ...["CONNECT http://a:80/ HTTP/1.1", "CONNECT b:80 HTTP/1.1", "CONNECT a:80 HTTP/1.0", "CONNECT * HTTP/1.1", "CONNECT u@a:80 HTTP/1.1"],
  ])
    add(show(line), `${line}\r\nHost: a\r\n\r\n`);
  add("CONNECT with a length", "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\nContent-Length: 5\r\n\r\nhello", refused(), "RFC 9110 §9.3.6");
  add("CONNECT with chunks", `CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n${TE}\r\n0\r\n\r\n`, refused(), "RFC 9110 §9.3.6");
});

const host = table("host", "RFC 9112 §3.2, RFC 9110 §7.2", (add) => {
  for (const value of [
    ...["a b", "a, b", "a/b", "a?b", "a#b", "a@b", "u:p@a", "a\\b", "http://a", "a:b", "a:-1", "a:+80", "a:65536", "a:000080", "a::80"],
    ...[
      "[::1",
      "[::g]",
      "[]",
      "[::1]x",
      "[::1]:x",
      "::1",
      "\xe9",
      "a\x7fb",
      "a\tb",
      "<a>",
      "{a}",
      "a|b",
      "^",
      ":80",
      "a:80:80",
      "a:80 b",
      "'a\"",
      "a`b",
    ],
  ])
    add(show(value), `GET / HTTP/1.1\r\nHost: ${value}\r\n\r\n`);
  for (const [first, second] of [
    ["a", "a"],
    ["a", "b"],
    ["", "a"],
    ["a", ""],
  ] as const)
    add(`two: ${show(first)} and ${show(second)}`, `GET / HTTP/1.1\r\nHost: ${first}\r\nX: 1\r\nhost: ${second}\r\n\r\n`);
  add("two in HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n");
  add("none with an absolute-form", "GET http://a/ HTTP/1.1\r\n\r\n");
  add("other than the absolute-form", "GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", refused(), "RFC 9112 §3.2.2, ISTIO-SECURITY-2021-008");
  add("folded", "GET / HTTP/1.1\r\nHost:\r\n a\r\n\r\n", refused(), "RFC 9112 §5.2");
  add("space before the colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n");
});

const fieldLines = table("field lines", "RFC 9112 §5, RFC 9110 §5.1", (add) => {
  for (const line of [
    ...[
      "X",
      "X\t: 1",
      "X : 1",
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
    ],
    ...[
      "?: 1",
      "X\0Y: 1",
      "[x]: 1",
      "X;y: 1",
      '"X": 1',
      "<x>: 1",
      "X\\: 1",
      "::",
      ":a: 1",
      ":authority: b",
      ":path: /admin",
      ":method: PUT",
    ],
  ])
    add(show(line), get(`${line}\r\n`));
});

const chunks = table("chunks", "RFC 9112 §7.1", (add) => {
  const rows: readonly (readonly [string, string?])[] = [
    ...[
      "\r\n",
      "\n",
      "g\r\n",
      "-1\r\n",
      "-0\r\n\r\n",
      "+1\r\nx",
      "0x1\r\nx",
      " 1\r\nx",
      "1 \r\nx",
      "1\t\r\nx",
      "1\nx\n",
      "1\r\nx\n0\r\n",
    ].map((c) => [c] as const),
    ...["1\r\nxx\r\n", "1\r\nx0\r\n\r\n", "1\rx", "1\n\r\nx", "1\r\nx\r\r\n", "1\r\nx\rX", "1,1\r\nx", "1.\r\nx", "1_0\r\nx"].map(
      (c) => [c] as const,
    ),
    ...[
      "1\x0b\r\nx",
      "1\0\r\nx",
      "\0\r\n",
      "0\n\n",
      "0\r\n\n",
      "0\r\n\rX",
      "0\r\r\n",
      "1\r\n\r\nx",
      "\r\n1\r\nx",
      "1\r\nx\r\n\r\n0\r\n\r\n",
    ].map((c) => [c] as const),
    ["00000000000000001\r\nx", "RUSTSEC-2021-0079"],
    ["fffffffffffffff\r\nx", "RUSTSEC-2021-0079"],
    ["20000000000000\r\nx", "RUSTSEC-2021-0079"],
    ["ffffffffffffffff\r\nx", "RUSTSEC-2021-0079"],
    ["10000000000000000\r\nx", "RUSTSEC-2021-0079"],
    ["f0000000000000003\r\nabc", "RUSTSEC-2021-0079"],
    ["8000000000000000\r\nabc", "RUSTSEC-2021-0079"],
    ["\xef\xbc\x91\r\nx"],
    ["0\r\nX: 1\r\n"],
  ];
  for (const [body, source] of rows) {
    // An end that has not come is no fault yet; the request behind it makes it one.
    add(show(body), post(TE, body), broken(), source);
  }
});

const extensions = table("chunk extensions", "RFC 9112 §7.1.1, CVE-2025-55315", (add) => {
  for (const body of [
    ...[
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
    ],
    ...[
      '1;a="\\\n"\r\nx',
      '1;a="b"c\r\nx',
      "1;a\0\r\nx",
      "1;a=b\x7f\r\nx",
      "1;;\r\nx",
      "1;a=b=c\r\nx",
      "1 a\r\nx",
      "1\t;\r\nx",
      "1;a \r\nx",
    ],
    ...[
      "1;a=b \r\nx",
      "1;\xe9\r\nx",
      "1;a\r\r\nx",
      '1;a="\x01"\r\nx',
      "2;\rxx\r\n0\r\n\r\n",
      "2;a\n\r\nxx\r\n0\r\n\r\n",
      "0;\n\r\n\r\n",
      "0;a\n\r\n",
    ],
  ])
    add(show(body), post(TE, body), broken());
  add("beyond their bound", post(TE, `1;${"a".repeat(17 * 1024)}\r\nx\r\n0\r\n\r\n`), broken(), "CVE-2023-39326");
});

const trailers = table("trailers", "RFC 9112 §7.1.2, RFC 9110 §6.5.1", (add) => {
  for (const lines of [
    ...["X\r\n", " X: 1\r\n", "X : 1\r\n", ": 1\r\n", "X: 1\n", "X: 1\r\n 2\r\n", "X: \0\r\n", "X: a\rb\r\n", "X: 1\r\n\n", "X: a\nb\r\n"],
    ...[
      "Content-Length: 5\r\n",
      "Transfer-Encoding: chunked\r\n",
      "Host: b\r\n",
      "Connection: close\r\n",
      "TE: x\r\n",
      "Upgrade: x\r\n",
      "Trailer: x\r\n",
    ],
  ])
    add(show(lines), post(TE, `1\r\nx\r\n0\r\n${lines}\r\n`), broken());
  add("beyond their bound", post(TE, `0\r\nx: ${"1".repeat(17 * 1024)}\r\n\r\n`), broken());
  add("more fields than the bound", post(TE, `0\r\n${"x: 1\r\n".repeat(101)}\r\n`), broken());
});

const bounds = table("bounds", "RFC 9112 §3, RFC 6585 §5", (add) => {
  add("101 fields", get("x: 1\r\n".repeat(100)), refused(431));
  add("head of 64 KiB and more", get(`x: ${"1".repeat(65_536)}\r\n`), refused(431));
  add("request line of 64 KiB and more", `GET /${"x".repeat(65_536)} HTTP/1.1\r\nHost: a\r\n\r\n`, refused(414));
});

const advisories = table("advisories", "spec hardening §3", (add) => {
  add("Kestrel: chunk extension with LF hides a request", post(TE, `1;\n5\r\n0\r\n\r\n${SMUGGLED}`), broken(), "#13 CVE-2025-55315");
  add("llhttp: LF in a field value", get("X: 1\nContent-Length: 5\r\n"), refused(), "#12 CVE-2022-32214");
  add("llhttp: fields end at CR", get("X: a\r\rTransfer-Encoding: chunked\r\n"), refused(), "#12 CVE-2023-30589");
  add(
    "llhttp: several lines of Transfer-Encoding",
    post("Transfer-Encoding: chunked\r\n , identity\r\n", "1\r\na\r\n0\r\n\r\n"),
    refused(),
    "#12 CVE-2022-32215",
  );
  add(
    "llhttp: coding that only ends in chunked",
    post("Transfer-Encoding: chunkedchunked\r\n", "0\r\n\r\n"),
    refused(),
    "#12 CVE-2022-32213",
  );
  add("HAProxy: empty name hides what follows", post(": x\r\nContent-Length: 5\r\n", "hello"), refused(), "CVE-2023-25725");
  add(
    "HAProxy: long length of 256 and more digits",
    post(`Content-Length: 5${"0".repeat(300)}\r\n`, "hello"),
    refused(),
    "CVE-2021-40346 class",
  );
  add("HAProxy: empty length", post("Content-Length:\r\n", "hello"), refused(), "CVE-2023-40225");
  add("HAProxy: # in the target", "GET /static#.png HTTP/1.1\r\nHost: a\r\n\r\n", refused(), "CVE-2023-45539");
  add("Apache: white space before chunk size", post(TE, " 5\r\nhello\r\n0\r\n\r\n"), broken(), "CVE-2015-3183");
  add("Puma: LF ends a chunk size", post(TE, "1\nx\r\n0\r\n\r\n"), broken(), "CVE-2023-40175 class");
  add(
    "gunicorn: Sec-WebSocket-Key1 has content",
    get("Sec-WebSocket-Key1: x\r\nContent-Length: 0x8\r\n"),
    refused(),
    "CVE-2018-1000164 class",
  );
  add("Node: Host of two names", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", refused(), "#19");
  add("pingora: HTTP/1.0 with chunks", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", refused(), "#15 CVE-2026-2835");
  add(
    "pingora: Transfer-Encoding of several members",
    post("Transfer-Encoding: identity, chunked\r\n", "0\r\n\r\n"),
    refused(),
    "#15 CVE-2026-2835",
  );
  add(
    "Envoy: TE and CL with upgrade",
    get(`Connection: upgrade\r\nUpgrade: x\r\nContent-Length: 5\r\n${TE}`),
    refused(),
    "#14 CVE-2025-64763 class",
  );
});

export const REQUESTS: readonly RequestCase[] = [
  ...contentLength,
  ...both,
  ...transferEncoding,
  ...names,
  ...lineEnds,
  ...requestLine,
  ...target,
  ...host,
  ...fieldLines,
  ...chunks,
  ...extensions,
  ...trailers,
  ...bounds,
  ...advisories,
];
