// HTTP/2 requests that would be something else as HTTP/1 (CVE-2021-21295 class): with `l5d-orig-proto`, as a meshed peer sends
// them, and the same without it to an application that speaks HTTP/2.
import type { Sighting } from "./case.ts";
import type { FieldList } from "./frames.ts";

export type DowngradeVerdict =
  /** A stream or connection error, and not one byte for the application. */
  | { readonly kind: "refused" }
  /** The same, but the application may have seen the beginning, which must be broken off. */
  | { readonly kind: "broken" }
  | { readonly kind: "accepted"; readonly seen: Sighting; readonly version?: string; readonly trailers?: FieldList };

export type DowngradeCase = {
  readonly group: string;
  readonly name: string;
  readonly source: string;
  /** Without `l5d-orig-proto`, which is added where it applies. */
  readonly fields: FieldList;
  /** DATA frames; none: END_STREAM stands on HEADERS. */
  readonly data: readonly string[];
  readonly trailers: FieldList | null;
  readonly verdict: DowngradeVerdict;
  /** What HTTP/2 itself says of it; null: nothing that is tried. */
  readonly native: "refused" | "broken" | "accepted" | null;
  readonly origProto: string;
  /** Bytes of a frame of the header block. */
  readonly pieceBytes?: number;
};

const cases: DowngradeCase[] = [];
const REFUSED: DowngradeVerdict = { kind: "refused" };
const BROKEN: DowngradeVerdict = { kind: "broken" };
const accepted = (
  method: string,
  target: string,
  body = "",
  fields: Sighting["fields"] = [],
  more: Partial<Extract<DowngradeVerdict, { kind: "accepted" }>> = {},
): DowngradeVerdict => ({
  kind: "accepted",
  seen: { method, target, body, fields },
  ...more,
});

type Change = {
  /** Replaces a pseudo-header; null leaves it out. */
  readonly method?: string | null;
  readonly scheme?: string | null;
  readonly authority?: string | null;
  readonly path?: string | null;
  /** Behind the pseudo-headers. */
  readonly more?: FieldList;
  /** Instead of everything. */
  readonly fields?: FieldList;
  readonly data?: readonly string[];
  readonly trailers?: FieldList;
  readonly native?: DowngradeCase["native"];
  readonly origProto?: string;
  readonly pieceBytes?: number;
};

function add(group: string, source: string, name: string, change: Change, verdict: DowngradeVerdict = REFUSED): void {
  const { method = change.data === undefined ? "GET" : "POST", scheme = "http", authority = "a", path = "/d" } = change;
  const pseudo: [string, string | null][] = [
    [":method", method],
    [":scheme", scheme],
    [":authority", authority],
    [":path", path],
  ];
  const fields = change.fields ?? [...(pseudo.filter(([, value]) => value !== null) as [string, string][]), ...(change.more ?? [])];
  cases.push({
    group: `downgrade ${group}`,
    name,
    source,
    fields,
    data: change.data ?? [],
    trailers: change.trailers ?? null,
    verdict,
    native: change.native === undefined ? verdict.kind : change.native,
    origProto: change.origProto ?? "HTTP/1.1",
    ...(change.pieceBytes === undefined ? {} : { pieceBytes: change.pieceBytes }),
  });
}

const EVIL: readonly (readonly [string, string])[] = [
  ["CR", "\r"],
  ["LF", "\n"],
  ["CR LF", "\r\n"],
  ["NUL", "\0"],
];
const SECOND = "\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

for (const [name, evil] of EVIL) {
  add("values", "RFC 9113 §8.2.1", `${name} in a value`, { more: [["x", `a${evil}b`]] });
  add("values", "RFC 9113 §8.2.1", `${name} before a value`, { more: [["x", `${evil}b`]] });
  add("values", "RFC 9113 §8.2.1", `${name} behind a value`, { more: [["x", `a${evil}`]] });
  add("values", "RFC 9113 §8.2.1", `${name} in a cookie`, { more: [["cookie", `a=${evil}b`]] });
  add("names", "RFC 9113 §8.2.1", `${name} in a name`, { more: [[`x${evil}y`, "1"]] });
  add(":path", "RFC 9113 §8.3.1", `${name} in :path`, { path: `/a${evil}b` });
  add(":method", "RFC 9113 §8.3.1", `${name} in :method`, { method: `GET${evil}` });
  add(":authority", "RFC 9113 §8.3.1", `${name} in :authority`, { authority: `a${evil}b` });
  add(":scheme", "RFC 9113 §8.3.1", `${name} in :scheme`, { scheme: `http${evil}` });
  add("host", "RFC 9113 §8.3.1", `${name} in host`, { more: [["host", `a${evil}`]] });
  add("content-length", "RFC 9113 §8.2.1", `${name} in content-length`, { more: [["content-length", `5${evil}`]], data: ["hello"] });
  add("trailers", "RFC 9113 §8.2.1", `${name} in a trailer`, { data: ["hello"], trailers: [["x", `a${evil}b`]] }, BROKEN);
  add("trailers", "RFC 9113 §8.2.1", `${name} in a trailer's name`, { data: ["hello"], trailers: [[`x${evil}`, "1"]] }, BROKEN);
}
add("values", "CVE-2021-21295", "a second request in a value", { more: [["x", `1${SECOND}`]] });
add("values", "CVE-2021-21295", "a framing field in a value", {
  more: [["x", "1\r\nTransfer-Encoding: chunked"]],
  data: ["0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"],
});
add("values", "CVE-2021-21295", "a second request in l5d-orig-proto", { native: null, origProto: `HTTP/1.1${SECOND}` });
add("values", "CVE-2021-21295", "a second request in a value, cut into frames", { more: [["x", `1${SECOND}`]], pieceBytes: 3 });
for (const [name, value] of [
  ["space before", " a"],
  ["space behind", "a "],
  ["tab before", "\ta"],
  ["tab behind", "a\t"],
  ["DEL", "a\x7fb"],
  ["control character", "a\x01b"],
  ["vertical tab", "a\x0bb"],
] as const)
  add("values", "RFC 9113 §8.2.1", `${name} in a value`, { more: [["x", value]] });

for (const [name, value] of [
  ["upper case", "X"],
  ["upper case within", "x-Foo"],
  ["empty", ""],
  ["space", "x y"],
  ["space behind", "x "],
  ["space before", " x"],
  ["colon within", "x:y"],
  ["colon behind", "x:"],
  ["obs-text", "x\xe9"],
  ["DEL", "x\x7f"],
  ["a whole line", "x: 1\r\ntransfer-encoding"],
  ["a second request", `x: 1${SECOND}x`],
  ["parenthesis", "x(y)"],
  ["tab", "x\t"],
] as const)
  add("names", "RFC 9113 §8.2", `${name} in a name`, { more: [[value, "1"]] });
for (const name of ["Content-Length", "Transfer-Encoding", "Host"])
  add("names", "RFC 9113 §8.2", `${name} in upper case`, {
    more: [[name, name === "Host" ? "a" : name === "Content-Length" ? "0" : "chunked"]],
  });
for (const name of ["content_length", "transfer_encoding"]) add("names", "spec hardening §2", name, { more: [[name, "5"]], native: null });

for (const [name, path] of [
  ["space", "/a b"],
  ["a request line", "/ HTTP/1.1\r\nHost: b\r\n\r\nGET /smuggled"],
  ["a request line without line ends", "/smuggled HTTP/1.1"],
  ["tab", "/a\tb"],
  ["empty", ""],
  ["no slash", "a"],
  ["dots", ".."],
  ["absolute", "http://b/smuggled"],
  ["authority", "//b:80 "],
  ["fragment", "/a#b"],
  ["fragment in the query", "/?a#b"],
  ["asterisk with GET", "*"],
  ["asterisk and more", "*x"],
  ["query alone", "?a"],
  ["obs-text", "/\xe9"],
  ["DEL", "/\x7f"],
  ["backslash first", "\\a"],
] as const)
  add(":path", "RFC 9113 §8.3.1", `${name} in :path`, { path });

for (const [name, method] of [
  ["empty", ""],
  ["space", "G ET"],
  ["a request line", "GET /smuggled HTTP/1.1\r\nx:"],
  ["a target", "GET /smuggled"],
  ["parenthesis", "G(T"],
  ["obs-text", "G\xc9T"],
  ["colon", "GET:"],
] as const)
  add(":method", "RFC 9113 §8.3.1, RFC 9110 §9.1", `${name} in :method`, { method });
add(":method", "spec proxy §4.8", "CONNECT", {
  fields: [
    [":method", "CONNECT"],
    [":authority", "a:80"],
  ],
  native: null,
});
add(":method", "RFC 9113 §8.5", "CONNECT with :path", { method: "CONNECT" });

for (const authority of [
  "",
  "a b",
  "u@a",
  "u:p@a",
  "a/b",
  "a?b",
  "a#b",
  "a\\b",
  "a:b",
  "a:99999",
  "[::1",
  "a, b",
  "http://a",
  "a\tb",
  "<a>",
  "\xe9",
])
  add(":authority", "RFC 9113 §8.3.1", `:authority ${JSON.stringify(authority)}`, { authority });
for (const scheme of ["", "ht tp", "http://a", "http:", "1http"])
  add(":scheme", "RFC 9113 §8.3.1", `:scheme ${JSON.stringify(scheme)}`, { scheme });
for (const scheme of ["ftp", "javascript", "ws"]) add(":scheme", "spec hardening §2", `:scheme ${scheme}`, { scheme, native: null });

const PSEUDO: FieldList = [
  [":method", "GET"],
  [":scheme", "http"],
  [":authority", "a"],
  [":path", "/d"],
];
for (const [name, value] of PSEUDO) {
  add("pseudo-headers", "RFC 9113 §8.3", `two ${name}`, { fields: [...PSEUDO, [name, value]] });
  add("pseudo-headers", "RFC 9113 §8.3", `two ${name} that differ`, { fields: [...PSEUDO, [name, name === ":path" ? "/smuggled" : "b"]] });
  add("pseudo-headers", "RFC 9113 §8.3", `${name} behind a field`, {
    fields: [...PSEUDO.filter(([own]) => own !== name), ["x", "1"], [name, value]],
  });
  if (name !== ":authority") add("pseudo-headers", "RFC 9113 §8.3.1", `no ${name}`, { fields: PSEUDO.filter(([own]) => own !== name) });
  add("trailers", "RFC 9113 §8.1", `${name} in trailers`, { data: ["hello"], trailers: [[name, value]] }, BROKEN);
}
for (const name of [":status", ":foo", ":", ":protocol", ":Path"])
  add("pseudo-headers", "RFC 9113 §8.3", `${name} in a request`, { fields: [...PSEUDO, [name, name === ":status" ? "200" : "x"]] });

for (const [name, value] of [
  ["connection", "close"],
  ["connection", "x-foo"],
  ["connection", "transfer-encoding"],
  ["keep-alive", "timeout=5"],
  ["proxy-connection", "keep-alive"],
  ["transfer-encoding", "chunked"],
  ["transfer-encoding", "identity"],
  ["transfer-encoding", ""],
  ["upgrade", "websocket"],
  ["upgrade", "h2c"],
  ["te", "gzip"],
  ["te", "trailers, deflate"],
  ["te", "chunked"],
] as const)
  add("connection fields", "RFC 9113 §8.2.2", `${name}: ${value}`, { more: [[name, value]], data: ["hello"] });
add("connection fields", "RFC 9113 §8.2.2", "transfer-encoding and content-length", {
  more: [
    ["transfer-encoding", "chunked"],
    ["content-length", "5"],
  ],
  data: ["hello"],
});

for (const host of ["b", "a:81", "a.", "a, b", "a b", "u@a", "a/b", "a#", "b:80"])
  add("host", "RFC 9113 §8.3.1, ISTIO-SECURITY-2021-008", `host ${JSON.stringify(host)} against :authority a`, { more: [["host", host]] });
add("host", "RFC 9112 §3.2", "two host", {
  more: [
    ["host", "a"],
    ["host", "a"],
  ],
});
add("host", "RFC 9112 §3.2", "two host that differ, no :authority", {
  authority: null,
  more: [
    ["host", "a"],
    ["host", "b"],
  ],
});

for (const value of [
  "5, 5",
  "5,5",
  "+5",
  "-5",
  "0x5",
  "5 5",
  " 5",
  "5 ",
  "",
  "5h",
  "18446744073709551621",
  "99999999999999999999",
  "5.0",
  "five",
])
  add("content-length", "RFC 9110 §8.6", `content-length ${JSON.stringify(value)}`, { more: [["content-length", value]], data: ["hello"] });
add("content-length", "RFC 9110 §8.6", "two that differ", {
  more: [
    ["content-length", "5"],
    ["content-length", "6"],
  ],
  data: ["hello"],
});
add("content-length", "RFC 9113 §8.1.1", "5 with END_STREAM on HEADERS", { method: "POST", more: [["content-length", "5"]] });
for (const [length, data] of [
  ["5", ["hell"]],
  ["5", ["hello!"]],
  ["5", ["hell", "o!"]],
  ["5", ["hello", "!"]],
  ["0", ["h"]],
  ["5", [""]],
  ["6", ["hello", ""]],
  ["1", ["0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"]],
] as const)
  add(
    "content-length",
    "RFC 9113 §8.1.1",
    `${length} with DATA of ${data.map((d) => d.length).join(" and ")}`,
    { more: [["content-length", length]], data },
    BROKEN,
  );
add(
  "content-length",
  "RFC 9113 §8.1.1",
  "6 with DATA of 5 and trailers",
  { more: [["content-length", "6"]], data: ["hello"], trailers: [["x", "1"]] },
  BROKEN,
);

add("l5d-orig-proto", "spec proxy §3.7", "twice", { native: null, more: [["l5d-orig-proto", "HTTP/1.0"]] });
add("l5d-orig-proto", "spec proxy §3.7", "with transfer-encoding", {
  native: null,
  more: [["transfer-encoding", "chunked"]],
  data: ["0\r\n\r\n"],
});

// --- valid ---
const VALID = "valid";
add(
  VALID,
  "RFC 9113 §8.3.1",
  "GET",
  {},
  accepted("GET", "/d", "", [
    ["host", "a"],
    ["l5d-orig-proto", null],
  ]),
);
add(VALID, "RFC 9113 §8.3.1", "HEAD", { method: "HEAD" }, accepted("HEAD", "/d"));
add(VALID, "RFC 9113 §8.1", "content without a length", { data: ["hel", "lo"] }, accepted("POST", "/d", "hello"));
add(
  VALID,
  "RFC 9113 §8.1.1",
  "content with its length",
  { more: [["content-length", "5"]], data: ["hel", "lo"] },
  accepted("POST", "/d", "hello", [["content-length", "5"]]),
);
add(
  VALID,
  "RFC 9113 §8.1.1",
  "the length twice, the same",
  {
    more: [
      ["content-length", "5"],
      ["content-length", "5"],
    ],
    data: ["hello"],
  },
  accepted("POST", "/d", "hello", [["content-length", "5"]]),
);
add(
  VALID,
  "RFC 9113 §8.1.1",
  "a length of 0",
  { method: "POST", more: [["content-length", "0"]] },
  accepted("POST", "/d", "", [["content-length", "0"]]),
);
add(VALID, "RFC 9113 §6.1", "empty DATA in between", { data: ["", "hel", "", "lo", ""] }, accepted("POST", "/d", "hello"));
add(
  VALID,
  "RFC 9112 §7.1",
  "content that looks like chunks",
  { data: ["0\r\n\r\nGET /x HTTP/1.1\r\n\r\n"] },
  accepted("POST", "/d", "0\r\n\r\nGET /x HTTP/1.1\r\n\r\n"),
);
add(
  VALID,
  "RFC 9113 §8.1",
  "trailers",
  { data: ["hello"], trailers: [["x", "1"]] },
  accepted("POST", "/d", "hello", [], { trailers: [["x", "1"]] }),
);
for (const name of ["content-length", "host"])
  add(
    VALID,
    "RFC 9110 §6.5.1",
    `${name} in trailers is not passed on`,
    {
      data: ["hello"],
      trailers: [
        [name, "5"],
        ["x", "1"],
      ],
    },
    accepted("POST", "/d", "hello", [], { trailers: [["x", "1"]] }),
  );
add(VALID, "RFC 9113 §8.3.1", "host equal to :authority", { more: [["host", "a"]] }, accepted("GET", "/d", "", [["host", "a"]]));
add(VALID, "RFC 9110 §4.2.3", "host equal but for its case", { more: [["host", "A"]] }, accepted("GET", "/d"));
add(VALID, "RFC 9110 §4.2.3", "host equal but for the default port", { more: [["host", "a:80"]] }, accepted("GET", "/d"));
add(VALID, "RFC 9113 §8.3.1", "host alone", { authority: null, more: [["host", "b"]] }, accepted("GET", "/d", "", [["host", "b"]]));
add(
  VALID,
  "RFC 9113 §8.2.3",
  "cookies in pieces",
  {
    more: [
      ["cookie", "a=1"],
      ["x", "1"],
      ["cookie", "b=2"],
    ],
  },
  accepted("GET", "/d", "", [["cookie", "a=1; b=2"]]),
);
add(
  VALID,
  "RFC 9110 §5.5",
  "obs-text and tabs in a value",
  { more: [["x", "\xff\t\x80"]] },
  accepted("GET", "/d", "", [["x", "\xff\t\x80"]]),
);
add(VALID, "RFC 9110 §5.5", "empty value", { more: [["x", ""]] }, accepted("GET", "/d", "", [["x", ""]]));
add(VALID, "RFC 9113 §8.2.2", "te: trailers", { more: [["te", "trailers"]] }, accepted("GET", "/d", "", [["te", "trailers"]]));
add(VALID, "RFC 9113 §8.3.1", "OPTIONS *", { method: "OPTIONS", path: "*" }, accepted("OPTIONS", "*"));
add(
  VALID,
  "RFC 3986 §3.3",
  "odd characters in :path",
  { path: "/a;b=c@d:e//f/../g/%00?h=/i?j&k" },
  accepted("GET", "/a;b=c@d:e//f/../g/%00?h=/i?j&k"),
);
add(
  VALID,
  "RFC 9113 §6.10",
  "a block in frames of 3 bytes",
  { more: [["x", "1"]], pieceBytes: 3, native: null },
  accepted("GET", "/d", "", [["x", "1"]]),
);
add(
  VALID,
  "spec proxy §3.7",
  "absolute-form",
  { origProto: "HTTP/1.1; absolute-form", native: null },
  accepted("GET", "http://a/d", "", [["host", "a"]]),
);
add(
  VALID,
  "spec proxy §3.7",
  "HTTP/1.0",
  { origProto: "HTTP/1.0", more: [["host", "a"]], native: null },
  accepted("GET", "/d", "", [], { version: "HTTP/1.0" }),
);
add(VALID, "spec proxy §3.7", "more behind the version", { origProto: "HTTP/1.1 chunked", native: null }, accepted("GET", "/d"));

export const DOWNGRADES: readonly DowngradeCase[] = cases;
