import { describe, expect, test } from "bun:test";
import { maxBodyBytes, maxHeadBytes, type ParsedRequest, RequestError, RequestParser } from "./request-parser.ts";

/** All requests in the text, fed `step` bytes at a time. */
function parse(text: string, step = text.length || 1): ParsedRequest[] {
  const parser = new RequestParser();
  const bytes = Buffer.from(text, "latin1");
  const requests: ParsedRequest[] = [];
  for (let at = 0; at < bytes.length; at += step) {
    parser.push(bytes.subarray(at, at + step));
    for (let request = parser.next(); request; request = parser.next()) requests.push(request);
  }
  return requests;
}
const body = (request: ParsedRequest | undefined) => Buffer.from(request?.body ?? []).toString();

const pipeline =
  "GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\nPOST /d HTTP/1.1\r\nContent-Length: 5\r\n\r\nhelloPUT /e HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: 1\r\n\r\n";

test.each([1, 2, 3, 7, 1000])("a pipeline in pieces of %d bytes", (step) => {
  const requests = parse(pipeline, step);
  expect(requests.map(({ method, path, query }) => `${method} ${path} ${query}`)).toEqual(["GET /a b=c", "POST /d ", "PUT /e "]);
  expect(requests.map(body)).toEqual(["", "hello", "abcde"]);
});

test("keep-alive, close, upgrade, expectation", () => {
  const [one] = parse("GET / HTTP/1.0\r\n\r\n");
  expect(one?.close).toBe(true);
  expect(parse("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")[0]?.close).toBe(false);
  expect(parse("GET / HTTP/1.1\r\nConnection: close\r\n\r\n")[0]?.close).toBe(true);
  const parser = new RequestParser();
  parser.push(
    Buffer.from("POST /exec HTTP/1.1\r\nConnection: keep-alive, Upgrade\r\nUpgrade: SPDY/3.1\r\nContent-Length: 3\r\n\r\nraw bytes"),
  );
  expect(parser.next()?.upgrade).toBe(true);
  expect(Buffer.from(parser.takeRest()).toString()).toBe("raw bytes");
  let expects = false;
  const waiting = new RequestParser();
  waiting.push(Buffer.from("POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"));
  expect(waiting.next((head) => void (expects = head.expectContinue))).toBeUndefined();
  expect(expects).toBe(true);
  waiting.push(Buffer.from("ok"));
  expect(body(waiting.next())).toBe("ok");
});

describe("refuses", () => {
  test.each([
    ["no request line", "nonsense\r\n\r\n", 400],
    ["HTTP/2 by prior knowledge", "PRI * HTTP/2.0\r\n\r\n", 505],
    ["a target that is no path", "GET http://x/ HTTP/1.1\r\n\r\n", 400],
    ["a field without a name", "GET / HTTP/1.1\r\n: x\r\n\r\n", 400],
    ["a folded field", "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", 400],
    ["length and chunks together", "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400],
    ["two lengths", "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400],
    ["a length that is no number", "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400],
    ["another coding", "POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 501],
    ["a chunk size that is none", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", 400],
    ["a chunk longer than its size", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", 400],
    ["a body past the bound", `POST / HTTP/1.1\r\nContent-Length: ${maxBodyBytes + 1}\r\n\r\n`, 413],
    ["chunks past the bound", `POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n${(maxBodyBytes + 1).toString(16)}\r\n`, 413],
  ])("%s", (_, text, status) => {
    try {
      parse(text);
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(RequestError);
      expect((error as RequestError).status).toBe(status as 400);
    }
  });
  test("a head just past its bound, not one at it", () => {
    const head = (length: number) => `GET / HTTP/1.1\r\nA: ${"x".repeat(length - "GET / HTTP/1.1\r\nA: ".length)}`;
    expect(parse(`${head(maxHeadBytes)}\r\n\r\n`)).toHaveLength(1);
    expect(() => parse(`${head(maxHeadBytes + 1)}\r\n\r\n`)).toThrow("request head is larger than 65536 bytes");
    expect(() => parse(head(maxHeadBytes + 1))).toThrow(RequestError);
  });
  test("nothing of a body at its bound", () => {
    expect(parse(`POST / HTTP/1.1\r\nContent-Length: ${maxBodyBytes}\r\n\r\n${"x".repeat(maxBodyBytes)}`)[0]?.body.length).toBe(
      maxBodyBytes,
    );
  });
});
