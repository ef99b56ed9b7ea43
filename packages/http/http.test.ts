// Hop-by-hop fields, kinds of exchanges, authorities, and HTTP/1 carried over HTTP/2.
import { describe, expect, test } from "bun:test";
import {
  downgradeRequest,
  downgradeResponse,
  type Fields,
  isAuthority,
  isClassifiedAsGrpc,
  isGrpc,
  isTunnel,
  RequestHead,
  type RequestInit,
  ResponseHead,
  reasonPhrase,
  sameAuthority,
  stripHopByHop,
  upgradeRequest,
  upgradeResponse,
  wantsUpgrade,
  withField,
  withoutField,
} from "./index.ts";

function request(changes: Partial<RequestInit> = {}): RequestHead {
  return new RequestHead({
    version: "HTTP/1.1",
    method: "GET",
    form: "origin",
    scheme: null,
    authority: null,
    path: "/",
    fields: ["host", "a"],
    ...changes,
  });
}

function h2(changes: Partial<RequestInit> = {}): RequestHead {
  return request({ version: "HTTP/2", scheme: "http", authority: "a", ...changes });
}

function response(fields: Fields, version: "HTTP/1.0" | "HTTP/1.1" | "HTTP/2" = "HTTP/1.1", status = 200): ResponseHead {
  return new ResponseHead({ version, status, reason: "x", fields });
}

describe("hop-by-hop fields", () => {
  test.each<[string, Fields, Fields]>([
    ["connection and what it names", ["connection", "x-foo", "x-foo", "1", "y", "2"], ["y", "2"]],
    [
      "named anywhere, in any case, in several fields",
      ["a", "1", "connection", "A , ,b", "b", "2", "connection", "C", "c", "3", "d", "4"],
      ["d", "4"],
    ],
    ["the usual ones without being named", ["keep-alive", "5", "proxy-connection", "close", "upgrade", "h2c", "x", "1"], ["x", "1"]],
    [
      "not framing and host",
      ["connection", "host, content-length, transfer-encoding", "host", "a", "content-length", "1"],
      ["host", "a", "content-length", "1"],
    ],
    ["te when named", ["connection", "te", "te", "trailers"], []],
    ["te and trailer otherwise stay", ["te", "trailers", "trailer", "x"], ["te", "trailers", "trailer", "x"]],
  ])("%s", (_name, fields, kept) => {
    expect(stripHopByHop(fields)).toEqual(kept);
  });

  test("nothing to take away: the same list", () => {
    const fields = ["host", "a"];
    expect(stripHopByHop(fields)).toBe(fields);
    expect(withoutField(fields, "x")).toBe(fields);
  });

  test("one field", () => {
    expect(withoutField(["x", "1", "y", "2", "x", "3"], "x")).toEqual(["y", "2"]);
    expect(withField(["x", "1", "y", "2", "x", "3"], "x", "4")).toEqual(["y", "2", "x", "4"]);
  });
});

describe("kinds", () => {
  test("gRPC", () => {
    expect(isGrpc(h2({ fields: ["content-type", "application/grpc"] }))).toBe(true);
    expect(isGrpc(h2({ fields: ["content-type", "application/grpc+proto"] }))).toBe(true);
    expect(isGrpc(request({ fields: ["content-type", "application/grpc"] }))).toBe(false);
    expect(isGrpc(h2({ fields: ["content-type", "text/plain"] }))).toBe(false);
    expect(isClassifiedAsGrpc(h2({ fields: ["content-type", "application/grpc"] }))).toBe(false);
    expect(isClassifiedAsGrpc(h2({ fields: ["content-type", "application/grpc+proto"] }))).toBe(true);
  });

  test.each<[Partial<RequestInit>, boolean]>([
    [{ fields: ["upgrade", "websocket"] }, true],
    [{ fields: ["upgrade", "h2c"] }, false],
    [{ fields: ["upgrade", "H2C"] }, false],
    [{ fields: ["upgrade", "websocket, h2c"] }, false],
    [{ fields: ["upgrade", "websocket", "upgrade", "h2c"] }, false],
    [{ fields: [] }, false],
    [{ version: "HTTP/1.0", fields: ["upgrade", "websocket"] }, false],
    [{ version: "HTTP/2", fields: ["upgrade", "websocket"] }, false],
    [{ method: "CONNECT" }, true],
    [{ version: "HTTP/1.0", method: "CONNECT" }, false],
  ])("upgrade %j: %p", (changes, wanted) => {
    expect(wantsUpgrade(request(changes))).toBe(wanted);
  });

  test("tunnels", () => {
    expect(isTunnel(request(), response([], "HTTP/1.1", 101))).toBe(true);
    expect(isTunnel(request({ method: "CONNECT" }), response([]))).toBe(true);
    expect(isTunnel(request({ method: "CONNECT" }), response([], "HTTP/1.1", 403))).toBe(false);
    expect(isTunnel(request(), response([]))).toBe(false);
  });

  test("reasons", () => {
    expect([200, 404, 502, 299].map(reasonPhrase)).toEqual(["OK", "Not Found", "Bad Gateway", "<none>"]);
  });
});

describe("authorities", () => {
  test.each(["a", "a:80", "A.b-c_d:1", "10.0.0.1:65535", "[::1]", "[::ffff:1.2.3.4]:80", "%41", "a."])("%s", (text) => {
    expect(isAuthority(text)).toBe(true);
  });
  test.each(["", ":80", "a:", "a:65536", "a:b", "a b", "a/b", "u@a", "a#", "a?", "[::1", "::1", "[]", "[::1]a", "é", "a\r\n", "a:80\n"])(
    "not %j",
    (text) => {
      expect(isAuthority(text)).toBe(false);
    },
  );
  test("sameness", () => {
    expect(sameAuthority("A", "a:80", "80")).toBe(true);
    expect(sameAuthority("a:443", "a", "80")).toBe(false);
    expect(sameAuthority("a.", "a", "80")).toBe(false);
    expect(sameAuthority("[::1]:80", "[::1]", "80")).toBe(true);
  });
});

describe("requests over HTTP/2 and back (spec proxy §3.7)", () => {
  test.each<[string, Partial<RequestInit>, string, Partial<RequestInit>]>([
    ["HTTP/1.1", { path: "/x?y", fields: ["host", "a:1", "x", "1"] }, "HTTP/1.1", { authority: "a:1" }],
    ["HTTP/1.0", { version: "HTTP/1.0", fields: ["host", "a"] }, "HTTP/1.0", {}],
    ["HTTP/1.0 without host", { version: "HTTP/1.0", fields: [] }, "HTTP/1.0", { authority: "default:80", fields: [] }],
    ["absolute-form", { form: "absolute", scheme: "http", authority: "a" }, "HTTP/1.1; absolute-form", {}],
    ["asterisk-form", { method: "OPTIONS", form: "asterisk", path: "*" }, "HTTP/1.1", { form: "asterisk" }],
    ["empty host", { fields: ["host", ""] }, "HTTP/1.1", { authority: "default:80", fields: ["host", ""] }],
  ])("%s", (_name, changes, value, expected) => {
    const head = request(changes);
    const up = upgradeRequest(head, "default:80");
    expect(up.version).toBe("HTTP/2");
    expect(up.scheme).toBe("http");
    expect(up.authority).toBe(expected.authority ?? "a");
    expect(up.form).toBe(expected.form ?? "origin");
    expect(up.all("l5d-orig-proto")).toEqual([value]);
    const down = downgradeRequest(up);
    expect(down.kind).toBe("downgraded");
    if (down.kind !== "downgraded") return;
    const { version, method, form, authority, path, fields } = down.head;
    expect({ version, method, form, authority, path, fields }).toEqual({
      version: head.version,
      method: head.method,
      form: head.form,
      authority: head.authority,
      path: head.path,
      fields: head.fields,
    });
  });

  test("what HTTP/2 must not carry stays behind", () => {
    const up = upgradeRequest(
      request({
        fields: [
          "host",
          "a",
          "connection",
          "x",
          "x",
          "1",
          "transfer-encoding",
          "chunked",
          "te",
          "gzip, trailers;q=0.5",
          "upgrade",
          "h2c",
          "keep-alive",
          "5",
          "l5d-orig-proto",
          "evil",
        ],
      }),
      "a",
    );
    expect(up.fields).toEqual(["host", "a", "te", "trailers", "l5d-orig-proto", "HTTP/1.1"]);
    expect(upgradeRequest(request({ fields: ["te", "gzip"] }), "a").has("te")).toBe(false);
  });

  test("host is made from :authority for HTTP/1.1", () => {
    const down = downgradeRequest(h2({ fields: ["l5d-orig-proto", "HTTP/1.1"] }));
    expect(down.kind === "downgraded" && down.head.fields).toEqual(["host", "a"]);
    const old = downgradeRequest(h2({ fields: ["l5d-orig-proto", "HTTP/1.0"] }));
    expect(old.kind === "downgraded" && old.head.fields).toEqual([]);
  });

  test("native, and unknown values", () => {
    expect(downgradeRequest(h2()).kind).toBe("native");
    expect(downgradeRequest(request({ fields: ["host", "a", "l5d-orig-proto", "HTTP/1.1"] })).kind).toBe("native");
    const unknown = downgradeRequest(h2({ fields: ["l5d-orig-proto", "HTTP/3", "x", "1"] }));
    expect(unknown.kind === "unknown" && [unknown.value, unknown.head.version, unknown.head.fields]).toEqual([
      "HTTP/3",
      "HTTP/2",
      ["x", "1"],
    ]);
  });

  // CVE-2021-21295 class: what would be read differently once written as HTTP/1.
  test.each<[string, Partial<RequestInit>]>([
    ["CR LF in a value", { fields: ["x", "a\r\ntransfer-encoding: chunked"] }],
    ["CR in a value", { fields: ["x", "a\rb"] }],
    ["LF in a value", { fields: ["x", "a\nb"] }],
    ["NUL in a value", { fields: ["x", "a\0b"] }],
    ["DEL in a value", { fields: ["x", "a\x7fb"] }],
    ["space before a value", { fields: ["x", " a"] }],
    ["space behind a value", { fields: ["x", "a "] }],
    ["line break in a name", { fields: ["x\r\ny", "a"] }],
    ["colon in a name", { fields: ["x: y", "a"] }],
    ["space in a name", { fields: ["transfer-encoding ", "chunked"] }],
    ["upper case in a name", { fields: ["Transfer-Encoding", "chunked"] }],
    ["empty name", { fields: ["", "a"] }],
    ["space in :path", { path: "/ HTTP/1.1" }],
    ["line break in :path", { path: "/\r\nx: y" }],
    ["tab in :path", { path: "/\t" }],
    ["fragment in :path", { path: "/#a" }],
    ["fragment in the query", { path: "/?a#b" }],
    ["beyond ASCII in :path", { path: "/\xe9" }],
    ["relative :path", { path: "a" }],
    ["absolute :path", { path: "http://b/" }],
    ["empty :path", { path: "" }],
    ["asterisk without OPTIONS", { path: "*" }],
    ["space in :method", { method: "GET / HTTP/1.1\r\nx:" }],
    ["empty :method", { method: "" }],
    ["CONNECT", { method: "CONNECT" }],
    ["line break in :authority", { authority: "a\r\nx: y" }],
    ["space in :authority", { authority: "a b" }],
    ["userinfo in :authority", { authority: "u@a" }],
    ["path in :authority", { authority: "a/b" }],
    [":scheme", { scheme: "http://a/" }],
    ["transfer-encoding", { fields: ["transfer-encoding", "chunked"] }],
    ["connection", { fields: ["connection", "close"] }],
    ["upgrade", { fields: ["upgrade", "websocket"] }],
    ["keep-alive", { fields: ["keep-alive", "1"] }],
    ["proxy-connection", { fields: ["proxy-connection", "close"] }],
    ["te", { fields: ["te", "chunked"] }],
    ["ambiguous name", { fields: ["content_length", "5"] }],
    ["content-length list", { fields: ["content-length", "5, 5"] }],
    ["two content-lengths", { fields: ["content-length", "5", "content-length", "5"] }],
    ["signed content-length", { fields: ["content-length", "+5"] }],
    ["huge content-length", { fields: ["content-length", "9007199254740992"] }],
    ["host against :authority", { fields: ["host", "b"] }],
    ["two hosts", { fields: ["host", "a", "host", "a"] }],
    ["invalid host", { fields: ["host", "a b"] }],
    ["two marks", { fields: ["l5d-orig-proto", "HTTP/1.1"] }],
  ])("malformed: %s", (_name, changes) => {
    const head = h2(changes);
    expect(downgradeRequest(head.with({ fields: [...head.fields, "l5d-orig-proto", "HTTP/1.1"] })).kind).toBe("malformed");
  });

  test("responses", () => {
    const up = upgradeResponse(
      response(["transfer-encoding", "chunked", "connection", "x", "x", "1", "te", "trailers", "y", "2"], "HTTP/1.0"),
    );
    expect([up.version, up.status, up.reason, up.fields]).toEqual(["HTTP/2", 200, null, ["y", "2", "l5d-orig-proto", "HTTP/1.0"]]);
    const down = downgradeResponse(up, "HTTP/1.1");
    expect([down.version, down.reason, down.fields]).toEqual(["HTTP/1.0", null, ["y", "2"]]);
    // Made by the other proxy itself (spec proxy §16 item 25).
    expect(downgradeResponse(response([], "HTTP/2"), "HTTP/1.0").version).toBe("HTTP/1.0");
  });
});
