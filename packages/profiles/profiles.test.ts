import { describe, expect, test } from "bun:test";
import { RE2JS } from "re2js";
import { compilePath, MAX_PATTERN_CHARS, matchRoute, type RequestMatch, ResponseClasses, type Route } from "./index.ts";

const route = (match: RequestMatch, name = "r"): Route => ({
  match,
  labels: [["route", name]],
  classes: null,
  timeoutMs: null,
  retryable: false,
});
const path = (pattern: string): RequestMatch => ({ kind: "path", regex: compilePath(RE2JS, pattern) });
const method = (name: string): RequestMatch => ({ kind: "method", method: name });

describe("requests", () => {
  test.each([
    [path("/books/\\d+"), "GET", "/books/12", true],
    [path("/books/\\d+"), "GET", "/books/12/x", false],
    [path("/books/\\d+"), "GET", "/x/books/12", false],
    [path("^/books/.*$"), "GET", "/books/", true],
    [path("  /books  "), "GET", "/books", true],
    [{ kind: "all", of: [] }, "GET", "/", true],
    [{ kind: "any", of: [] }, "GET", "/", false],
    [{ kind: "all", of: [method("GET"), path("/a")] }, "POST", "/a", false],
    [{ kind: "any", of: [method("GET"), path("/a")] }, "POST", "/a", true],
    [{ kind: "not", of: method("GET") }, "POST", "/", true],
  ] as [RequestMatch, string, string, boolean][])("%j %s %s: %p", (match, name, target, expected) => {
    expect(matchRoute([route(match)], name, target) !== null).toBe(expected);
  });

  test("the first in the list wins", () => {
    const routes = [route(method("POST"), "a"), route(method("GET"), "b"), route(path("/x"), "c")];
    expect(matchRoute(routes, "GET", "/x")?.labels).toEqual([["route", "b"]]);
    expect(matchRoute(routes, "PUT", "/y")).toBeNull();
  });

  test("patterns are bounded, and have no look-around", () => {
    compilePath(RE2JS, "a".repeat(MAX_PATTERN_CHARS));
    expect(() => compilePath(RE2JS, "a".repeat(MAX_PATTERN_CHARS + 1))).toThrow("at most 4096");
    expect(() => compilePath(RE2JS, "(?=a)b")).toThrow();
  });
});

test("response classes: the first that matches decides, none says nothing", () => {
  const classes = new ResponseClasses([
    { match: { kind: "status", min: 500, max: 503 }, isFailure: false },
    { match: { kind: "status", min: 400, max: 599 }, isFailure: true },
  ]);
  expect([200, 404, 502, 504].map((status) => classes.classify(status))).toEqual([null, false, true, false]);
});
