// What a server can answer that two parsers could read differently: response smuggling and splitting. `answer` is all that the
// application writes to the request; then the connection stays open unless `ends`.

export type ResponseVerdict =
  /** An error of the proxy instead; nothing of the answer is passed on. */
  | { readonly kind: "bad-gateway" }
  /** The head may have been passed on; the client can tell that the message is not complete. */
  | { readonly kind: "broken" }
  /** Passed on as this. */
  | {
      readonly kind: "passed";
      readonly status: number;
      readonly body: string;
      readonly fields?: readonly (readonly [string, string | null])[];
    };

export type ResponseCase = {
  readonly group: string;
  readonly name: string;
  readonly source: string;
  readonly method: string;
  readonly answer: string;
  /** The application half-closes behind its answer. */
  readonly ends: boolean;
  readonly verdict: ResponseVerdict;
};

/** A response that answers no request: no client may ever see it. */
export const POISON = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\npoisoned";

const TE = "Transfer-Encoding: chunked\r\n";
const ok = (fields: string, body = ""): string => `HTTP/1.1 200 OK\r\n${fields}\r\n${body}`;

const cases: ResponseCase[] = [];
const BAD: ResponseVerdict = { kind: "bad-gateway" };
const BROKEN: ResponseVerdict = { kind: "broken" };
const passed = (body: string, status = 200, fields: readonly (readonly [string, string | null])[] = []): ResponseVerdict => ({
  kind: "passed",
  status,
  body,
  fields,
});

function add(
  group: string,
  source: string,
  name: string,
  answer: string,
  verdict: ResponseVerdict,
  options: { method?: string; ends?: boolean } = {},
): void {
  cases.push({ group: `response ${group}`, name, source, method: options.method ?? "GET", answer, ends: options.ends ?? false, verdict });
}

// --- length ---
for (const [first, second] of [
  ["5", "5"],
  ["5", "6"],
  ["0", "5"],
] as const)
  add(
    "framing",
    "RFC 9112 §6.3",
    `two lengths, ${first} and ${second}`,
    ok(`Content-Length: ${first}\r\nContent-Length: ${second}\r\n`, "hello"),
    BAD,
  );
for (const value of ["", "5, 5", "5, 6", "+5", "-1", "0x5", "05", "5 5", "5h", "99999999999999999999", "5\v", "NaN", '"5"'])
  add("framing", "RFC 9110 §8.6", `length ${JSON.stringify(value)}`, ok(`Content-Length: ${value}\r\n`, "hello"), BAD);
for (const order of [`Content-Length: 5\r\n${TE}`, `${TE}Content-Length: 5\r\n`])
  add("framing", "RFC 9112 §6.3", `length and coding, ${order.startsWith("T") ? "coding" : "length"} first`, ok(order, "0\r\n\r\n"), BAD);
for (const value of ["xchunked", "chunked, identity", "identity", "chunked, chunked", "\vchunked", "", "gzip, chunked", "chunked;q=1"])
  add("framing", "RFC 9112 §6.1", `coding ${JSON.stringify(value)}`, ok(`Transfer-Encoding: ${value}\r\n`, "0\r\n\r\n"), BAD);
add("framing", "RFC 9112 §6.1", "two codings", ok(`${TE}${TE}`, "0\r\n\r\n"), BAD);
add("framing", "RFC 9112 §6.1", "coding in HTTP/1.0", `HTTP/1.0 200 OK\r\n${TE}\r\n0\r\n\r\n`, BAD);
add("framing", "RFC 9112 §5.1", "space before the colon of the length", ok("Content-Length : 5\r\n", "hello"), BAD);
add("framing", "RFC 9112 §5.1", "Content_Length", ok("Content_Length: 5\r\n", "hello"), BAD);

// --- heads ---
add("head", "RFC 9112 §2.2", "bare LF lines", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok", BAD);
add("head", "RFC 9112 §2.2", "LF behind a field", "HTTP/1.1 200 OK\r\nContent-Length: 2\n\r\nok", BAD);
add("head", "RFC 9112 §5.2", "obs-fold", ok("X: 1\r\n 2\r\nContent-Length: 2\r\n", "ok"), BAD);
add("head", "RFC 9112 §5.2", "obs-fold before the first field", "HTTP/1.1 200 OK\r\n X: 1\r\nContent-Length: 2\r\n\r\nok", BAD);
add("head", "RFC 9110 §5.5", "CR in a value", ok("X: a\rb\r\nContent-Length: 2\r\n", "ok"), BAD);
add("head", "RFC 9110 §5.5", "NUL in a value", ok("X: a\0b\r\nContent-Length: 2\r\n", "ok"), BAD);
add("head", "RFC 9110 §5.5", "DEL in a value", ok("X: a\x7fb\r\nContent-Length: 2\r\n", "ok"), BAD);
add("head", "CVE-2023-25725", "empty name", ok(": 1\r\nContent-Length: 2\r\n", "ok"), BAD);
add("head", "RFC 9112 §5", "line without colon", ok("X\r\nContent-Length: 2\r\n", "ok"), BAD);
add("head", "RFC 9112 §4", "splitting by CR CR LF", ok("X: 1\r\r\nContent-Length: 2\r\n", "ok"), BAD);
add("head", "RFC 9112 §4", "empty line before the status line", `\r\n${ok("Content-Length: 2\r\n", "ok")}`, BAD);
add("head", "RFC 9112 §4", "101 fields", ok("x: 1\r\n".repeat(101), "ok"), BAD);
add("head", "RFC 9112 §4", "head of more than 64 KiB", ok(`x: ${"1".repeat(65_536)}\r\n`, "ok"), BAD);
for (const line of [
  ...[
    "HTTP/1.1",
    "HTTP/1.1 ",
    "HTTP/1.1 20",
    "HTTP/1.1 2000 OK",
    "HTTP/1.1 099 OK",
    "HTTP/1.1 600 OK",
    "HTTP/1.1 999 OK",
    "HTTP/1.1 abc OK",
  ],
  ...["HTTP/1.1  200 OK", "HTTP/1.1\t200 OK", " HTTP/1.1 200 OK", "HTTP/1.2 200 OK", "HTTP/2 200 OK", "HTTP/0.9 200 OK", "http/1.1 200 OK"],
  ...[
    "HTTP/1.1 -20 OK",
    "HTTP/1.1 +20 OK",
    "HTTP/1.1 2\xb20 OK",
    "ICY 200 OK",
    "HTTP/1.1 200\tOK",
    "HTTP/1.1 200OK",
    "HTTP/1.1 200 O\0K",
    "HTTP/1.1 200 O\rK",
  ],
  ...["<html>", "GET / HTTP/1.1", "hello"],
])
  add("status line", "RFC 9112 §4", JSON.stringify(line), `${line}\r\nContent-Length: 2\r\n\r\nok`, BAD);

// --- chunks ---
for (const body of [
  ...[
    "g\r\n",
    "-1\r\n",
    "+1\r\nx",
    "0x1\r\nx",
    " 1\r\nx",
    "1 \r\nx",
    "1\nx\n",
    "1\r\nxx\r\n",
    "1\r\nx\n0\r\n\r\n",
    "\r\n",
    "1;\nx\r\n0\r\n\r\n",
  ],
  ...["1;a\rb\r\nx", "ffffffffffffffff\r\nx", "10000000000000000\r\nx", "00000000000000001\r\nx", "0\n\n", "0\r\n\rX", "0\r\nX\r\n\r\n"],
  ...["0\r\nX: 1\n\r\n", "0\r\nContent-Length: 5\r\n\r\n", "0\r\nX: a\rb\r\n\r\n", "0\r\n: 1\r\n\r\n", "0\r\n X: 1\r\n\r\n"],
])
  add("chunks", "RFC 9112 §7.1", JSON.stringify(body), ok(TE, body), BROKEN);
for (const body of [
  "",
  "5",
  "5\r\n",
  "5\r\nhel",
  "5\r\nhello",
  "5\r\nhello\r\n",
  "5\r\nhello\r\n0",
  "5\r\nhello\r\n0\r\n",
  "5\r\nhello\r\n0\r\nX: 1\r\n",
])
  add("chunks", "RFC 9112 §8", `truncated: ${JSON.stringify(body)}`, ok(TE, body), BROKEN, { ends: true });
for (const body of ["", "hel", "hell"])
  add("framing", "RFC 9112 §8", `content of ${body.length} bytes, length 5`, ok("Content-Length: 5\r\n", body), BROKEN, { ends: true });
add("head", "RFC 9112 §8", "truncated status line", "HTTP/1.1 20", BAD, { ends: true });
add("head", "RFC 9112 §8", "truncated head", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", BAD, { ends: true });
add("head", "RFC 9112 §8", "nothing at all", "", BAD, { ends: true });

// --- bytes behind a response: never the answer to the next request ---
const behind: readonly (readonly [string, string, ResponseVerdict, string?])[] = [
  ["a response with a length", ok("Content-Length: 2\r\n", "ok"), passed("ok")],
  ["a response with chunks", ok(TE, "2\r\nok\r\n0\r\n\r\n"), passed("ok")],
  ["an empty response", ok("Content-Length: 0\r\n"), passed("")],
  ["204", "HTTP/1.1 204 No Content\r\n\r\n", passed("", 204)],
  ["204 with a length", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello", passed("", 204, [["content-length", null]])],
  ["204 with chunks", `HTTP/1.1 204 No Content\r\n${TE}\r\n5\r\nhello\r\n0\r\n\r\n`, passed("", 204, [["transfer-encoding", null]])],
  ["304 with a length", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello", passed("", 304)],
  ["the response to HEAD", ok("Content-Length: 5\r\n", "hello"), passed(""), "HEAD"],
  ["the response to HEAD with chunks", ok(TE, "5\r\nhello\r\n0\r\n\r\n"), passed(""), "HEAD"],
];
for (const [name, answer, verdict, method = "GET"] of behind)
  add("bytes behind", "RFC 9112 §6.3, §9.2", name, answer + POISON, verdict, { method });

// --- 1xx ---
const interim = (status: number, fields = ""): string => `HTTP/1.1 ${status} x\r\n${fields}\r\n`;
add("1xx", "RFC 9110 §15.2", "100 nobody asked for", interim(100) + ok("Content-Length: 2\r\n", "ok"), passed("ok"));
add(
  "1xx",
  "RFC 9110 §15.2",
  "102 and 103",
  interim(102) + interim(103, "link: </a>\r\n") + ok("Content-Length: 2\r\n", "ok"),
  passed("ok"),
);
add("1xx", "RFC 9110 §15.2", "199", interim(199) + ok("Content-Length: 2\r\n", "ok"), passed("ok"));
add(
  "1xx",
  "RFC 9110 §8.6",
  "100 with a length is followed by no content",
  interim(100, "content-length: 49\r\n") + ok("Content-Length: 2\r\n", "ok"),
  passed("ok"),
);
add(
  "1xx",
  "RFC 9112 §6.1",
  "103 with chunks is followed by no content",
  interim(103, TE) + ok("Content-Length: 2\r\n", "ok"),
  passed("ok"),
);
add("1xx", "RFC 9112 §6.3", "103 with content", `${interim(103, "content-length: 5\r\n")}hello${ok("Content-Length: 2\r\n", "ok")}`, BAD);
add("1xx", "RFC 9110 §15.2.2", "101 to a request without Upgrade", interim(101, "Connection: upgrade\r\nUpgrade: x\r\n") + POISON, BAD);
add("1xx", "RFC 9110 §15.2", "more than a hundred", interim(103).repeat(101) + ok("Content-Length: 2\r\n", "ok"), BAD);
add("1xx", "RFC 9110 §15.2", "and then the end", interim(103), BAD, { ends: true });

// --- close-delimited ---
add("close-delimited", "RFC 9112 §6.3", "content until the end of the connection", "HTTP/1.1 200 OK\r\n\r\nhello", passed("hello"), {
  ends: true,
});
add("close-delimited", "RFC 9112 §6.3", "HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\nhello", passed("hello"), { ends: true });
add(
  "close-delimited",
  "RFC 9112 §6.3",
  "content that looks like a response",
  `HTTP/1.1 200 OK\r\n\r\n${POISON.replace("poisoned", "nothing!")}`,
  passed(POISON.replace("poisoned", "nothing!")),
  { ends: true },
);

// --- what is odd but clear ---
add("valid", "RFC 9112 §4", "no reason", "HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok", passed("ok"));
add("valid", "RFC 9112 §4", "no reason and no space", "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", passed("ok"));
add("valid", "RFC 9112 §4", "obs-text in the reason", "HTTP/1.1 200 \xe9\r\nContent-Length: 2\r\n\r\nok", passed("ok"));
add("valid", "RFC 9110 §15", "an unknown status", "HTTP/1.1 299 x\r\nContent-Length: 2\r\n\r\nok", passed("ok", 299));
add("valid", "RFC 9110 §15", "599", "HTTP/1.1 599 x\r\nContent-Length: 2\r\n\r\nok", passed("ok", 599));
add("valid", "RFC 9112 §2.3", "HTTP/1.0 with a length", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", passed("ok"));
add(
  "valid",
  "RFC 9110 §7.6.1",
  "Connection takes a field away",
  ok("Connection: x-foo\r\nX-Foo: 1\r\nContent-Length: 2\r\n", "ok"),
  passed("ok", 200, [["x-foo", null]]),
);
add("valid", "RFC 9112 §7.1.1", "chunk extensions", ok(TE, '2;a="b"\r\nok\r\n0\r\n\r\n'), passed("ok"));
add("valid", "RFC 9112 §7.1.2", "trailers", ok(TE, "2\r\nok\r\n0\r\nX-T: 1\r\n\r\n"), passed("ok"));
add(
  "valid",
  "RFC 9110 §5.5",
  "obs-text and tabs in a value",
  ok("X: \xff\t\x80\r\nContent-Length: 2\r\n", "ok"),
  passed("ok", 200, [["x", "\xff\t\x80"]]),
);
add("valid", "RFC 9110 §6.6.1", "the same field often", ok(`${"set-cookie: a=1\r\n".repeat(20)}Content-Length: 2\r\n`, "ok"), passed("ok"));
add("valid", "RFC 9112 §9.3", "Connection: close", ok("Connection: close\r\nContent-Length: 2\r\n", "ok"), passed("ok"), { ends: true });

export const RESPONSES: readonly ResponseCase[] = cases;
