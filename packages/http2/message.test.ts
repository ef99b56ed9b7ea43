// Malformed requests, RFC 9113 §8 and spec hardening §2: each is a stream error, and the handler never sees it.
import { describe, expect, test } from "bun:test";
import { HeaderField } from "#hpack";
import type { RequestHead } from "#http";
import { Malformed, type Message, readRequest, readTrailers } from "./message.ts";

function fields(...list: string[]): HeaderField[] {
  const result: HeaderField[] = [];
  for (let i = 0; i < list.length; i += 2) result.push(new HeaderField(list[i] as string, list[i + 1] as string, false));
  return result;
}

function read(...list: string[]): Message<RequestHead> | Malformed {
  const all = fields(...list);
  return readRequest(all, all.length);
}

const GET = [":method", "GET", ":scheme", "http", ":authority", "a.test", ":path", "/"];

function withPseudo(name: string, value: string): string[] {
  const list = [...GET];
  list[list.indexOf(name) + 1] = value;
  return list;
}

function without(name: string): string[] {
  const at = GET.indexOf(name);
  return GET.filter((_, i) => i !== at && i !== at + 1);
}

const MALFORMED: [string, string[]][] = [
  ["no :method", without(":method")],
  ["no :scheme", without(":scheme")],
  ["no :path", without(":path")],
  ["two :method", [":method", "GET", ...GET]],
  ["two :scheme", [":scheme", "http", ...GET]],
  ["two :path", [":path", "/", ...GET]],
  ["two :authority", [":authority", "a.test", ...GET]],
  ["a pseudo-header behind a field", ["x", "y", ...GET]],
  [":status", [...GET, ":status", "200"]],
  [":protocol", [...GET, ":protocol", "websocket"]],
  [":", [...GET, ":", "x"]],
  ["an empty method", withPseudo(":method", "")],
  ["a method with a space", withPseudo(":method", "GET /")],
  ["a method with a line end", withPseudo(":method", "GET\r\n")],
  ["an empty scheme", withPseudo(":scheme", "")],
  ["a scheme with a slash", withPseudo(":scheme", "http://x")],
  ["a scheme that begins with a digit", withPseudo(":scheme", "1http")],
  ["an empty path", withPseudo(":path", "")],
  ["a path without a slash", withPseudo(":path", "a")],
  ["a path with a space", withPseudo(":path", "/a b")],
  ["a path with a version", withPseudo(":path", "/ HTTP/1.1\r\nx: y")],
  ["a path with a tab", withPseudo(":path", "/a\tb")],
  ["a path with NUL", withPseudo(":path", "/\0")],
  ["a path with a fragment", withPseudo(":path", "/a#b")],
  ["a query with a fragment", withPseudo(":path", "/a?b#c")],
  ["a path beyond ASCII", withPseudo(":path", "/é")],
  ["an absolute path", withPseudo(":path", "http://a.test/")],
  ["* with GET", withPseudo(":path", "*")],
  ["an empty authority", withPseudo(":authority", "")],
  ["an authority with userinfo", withPseudo(":authority", "me@a.test")],
  ["an authority with a path", withPseudo(":authority", "a.test/x")],
  ["an authority with a space", withPseudo(":authority", "a test")],
  ["an authority with a port beyond 65535", withPseudo(":authority", "a.test:65536")],
  ["an authority with a line end", withPseudo(":authority", "a\r\nx: y")],
  ["a host that is another", [...GET, "host", "b.test"]],
  ["a host with another port", [...GET, "host", "a.test:8080"]],
  ["two hosts", [...GET, "host", "a.test", "host", "a.test"]],
  ["an invalid host alone", [...without(":authority"), "host", "a b"]],
  ["an empty host alone", [...without(":authority"), "host", ""]],
  ["connection", [...GET, "connection", "close"]],
  ["keep-alive", [...GET, "keep-alive", "5"]],
  ["proxy-connection", [...GET, "proxy-connection", "x"]],
  ["transfer-encoding", [...GET, "transfer-encoding", "chunked"]],
  ["upgrade", [...GET, "upgrade", "h2c"]],
  ["te of another value", [...GET, "te", "trailers, deflate"]],
  ["an empty name", [...GET, "", "x"]],
  ["a name in upper case", [...GET, "X-A", "x"]],
  ["a name with a space", [...GET, "x a", "x"]],
  ["a name with a colon", [...GET, "x:a", "x"]],
  ["a name beyond ASCII", [...GET, "xé", "x"]],
  ["a name with a line end", [...GET, "x\r\ny", "x"]],
  ["a value with a carriage return", [...GET, "x", "a\rb"]],
  ["a value with a line feed", [...GET, "x", "a\nb"]],
  ["a value with NUL", [...GET, "x", "a\0b"]],
  ["a value with DEL", [...GET, "x", "a\x7fb"]],
  ["a value with a space before", [...GET, "x", " a"]],
  ["a value with a tab behind", [...GET, "x", "a\t"]],
  ["a cookie with a line feed", [...GET, "cookie", "a\nb"]],
  ["content-length +5", [...GET, "content-length", "+5"]],
  ["content-length 5, 5", [...GET, "content-length", "5, 5"]],
  ["content-length 0x5", [...GET, "content-length", "0x5"]],
  ["an empty content-length", [...GET, "content-length", ""]],
  ["content-length beyond 2^53", [...GET, "content-length", "18446744073709551617"]],
  ["two content-lengths", [...GET, "content-length", "5", "content-length", "6"]],
  ["CONNECT without an authority", [":method", "CONNECT"]],
  ["CONNECT with a path", [":method", "CONNECT", ":authority", "a.test:1", ":path", "/"]],
  ["CONNECT with a scheme", [":method", "CONNECT", ":authority", "a.test:1", ":scheme", "http"]],
];

describe("malformed requests", () => {
  test.each(MALFORMED)("%s", (_name, list) => {
    expect(read(...list)).toBeInstanceOf(Malformed);
  });
});

describe("requests", () => {
  const good = (...list: string[]): Message<RequestHead> => {
    const message = read(...list);
    if (message instanceof Malformed) throw new Error(message.reason);
    return message;
  };

  test("a host that names the authority is not needed twice", () => {
    expect(good(...GET, "host", "A.TEST").head.fields).toEqual([]);
    expect(good(...GET, "host", "a.test:80").head.fields).toEqual([]);
  });

  test("a host without an authority stays", () => {
    const { head } = good(...without(":authority"), "host", "b.test");
    expect([head.authority, head.get("host")]).toEqual([null, "b.test"]);
  });

  test("cookies are one field again", () => {
    expect(good(...GET, "cookie", "a=1", "x", "y", "cookie", "b=2", "cookie", "c=3").head.fields).toEqual([
      "cookie",
      "a=1; b=2; c=3",
      "x",
      "y",
    ]);
    // Empty ones would leave a blank at an end, where no field has one.
    expect(good(...GET, "cookie", "", "cookie", "a=1", "cookie", "", "cookie", "b=2").head.fields).toEqual(["cookie", "a=1; b=2"]);
  });

  test("content-length", () => {
    expect(good(...GET).contentLength).toBe(-1);
    expect(good(...GET, "content-length", "12").contentLength).toBe(12);
    expect(good(...GET, "content-length", "12", "content-length", "12").head.fields).toEqual(["content-length", "12"]);
  });

  test("what clients send unescaped passes", () => {
    const path = "/a/{b}|c^[d]\"e\\f?g=`{h}'<i>";
    expect(read(...withPseudo(":path", path))).toBeInstanceOf(Malformed);
    expect(good(...withPseudo(":path", "/a/{b}|c^[d]\"e\\f?g=`{h}'")).head.path).toBe("/a/{b}|c^[d]\"e\\f?g=`{h}'");
  });

  test("obs-text in values survives", () => {
    expect(good(...GET, "x", "caf\xe9\xff").head.get("x")).toBe("caf\xe9\xff");
  });

  test("an authority may be an address", () => {
    expect(good(...withPseudo(":authority", "[fd00::1]:8080")).head.authority).toBe("[fd00::1]:8080");
  });

  test("OPTIONS *", () => {
    expect(good(":method", "OPTIONS", ":scheme", "http", ":authority", "a.test", ":path", "*").head.form).toBe("asterisk");
  });
});

test("trailers have no pseudo-headers and nothing of the connection", () => {
  const trailers = (...list: string[]): unknown => readTrailers(fields(...list), list.length / 2);
  expect(trailers("grpc-status", "0", "grpc-message", "")).toEqual(["grpc-status", "0", "grpc-message", ""]);
  for (const name of [":status", ":path", "connection", "transfer-encoding", "X"]) expect(trailers(name, "x")).toBeInstanceOf(Malformed);
});
