// Split-invariance: however the bytes of a connection are cut, the same things happen (spec hardening §5).
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { RequestHead } from "#http";
import { bytes, get, response, SeenResponse, TestClient, TestServer } from "./testing.ts";

/** Cuts the text at arbitrary places. */
function cut(data: string, places: readonly number[]): string[] {
  const at = [...new Set(places.map((place) => place % (data.length + 1)))].sort((a, b) => a - b);
  const pieces: string[] = [];
  let from = 0;
  for (const to of [...at, data.length]) {
    if (to > from) pieces.push(data.slice(from, to));
    from = to;
  }
  return pieces;
}

/** What a server does with these pieces: every request, whether the connection goes on, and what it writes. */
function serve(pieces: readonly string[]): unknown {
  const server = new TestServer((request) => {
    const answer = (): void => {
      request.stream.respond(response(200, ["date", "x"]), false);
      request.stream.write(bytes(`${request.head.method} ${request.body.length}`), true);
    };
    if (request.ended) answer();
    else request.onEnd = answer;
  });
  let out = "";
  for (const piece of pieces) {
    server.receive(piece);
    out += server.output();
  }
  server.engine.receiveEnd();
  out += server.output();
  const { finished, aborted } = server.host;
  return {
    out,
    finished,
    aborted,
    faults: server.faults.length,
    requests: server.requests.map(({ head, body, ended, trailers, error }) => [
      head.method,
      head.path,
      head.fields,
      body,
      ended,
      trailers,
      error?.kind,
    ]),
  };
}

function ask(pieces: readonly string[], head: RequestHead): unknown {
  const client = new TestClient();
  const seen = new SeenResponse();
  client.engine.request(head, true, seen);
  client.output();
  for (const piece of pieces) client.receive(piece);
  const { ready, retired } = client.engine;
  client.engine.receiveEnd();
  return {
    ready,
    retired,
    status: seen.head?.status,
    fields: seen.head?.fields,
    informational: seen.informational,
    body: seen.body,
    ended: seen.ended,
    trailers: seen.trailers,
    error: seen.error?.kind,
  };
}

const token = fc.stringMatching(/^[a-zA-Z][a-zA-Z0-9-]{0,8}$/);
const value = fc.stringMatching(/^[!-~]([ -~]{0,12}[!-~])?$/);
const content = fc.string({ maxLength: 40, unit: fc.integer({ min: 0, max: 255 }).map((c) => String.fromCharCode(c)) });
const reserved = /^(host|connection|upgrade|te|expect|trailer|keep-alive|content-length|transfer-encoding|proxy-connection)$/i;
const fields = fc.array(fc.tuple(token, value), { maxLength: 4 }).map((list) => list.filter(([name]) => !reserved.test(name)));
const lines = (list: readonly (readonly [string, string])[]): string => list.map(([name, v]) => `${name}: ${v}\r\n`).join("");

const chunked = fc
  .tuple(fc.array(fc.tuple(content, fc.constantFrom("", ";a", ";b=c", ';d="e f"')), { maxLength: 3 }), fields)
  .map(
    ([chunks, trailers]) =>
      `${chunks.map(([data, ext]) => (data === "" ? "" : `${data.length.toString(16)}${ext}\r\n${data}\r\n`)).join("")}0\r\n${lines(trailers)}\r\n`,
  );
const framed = fc.oneof(
  fc.constant("\r\n"),
  content.map((data) => `Content-Length: ${data.length}\r\n\r\n${data}`),
  chunked.map((data) => `Transfer-Encoding: chunked\r\n\r\n${data}`),
);
const request = fc
  .tuple(token, fields, framed)
  .map(([method, list, rest]) => `${method === "CONNECT" ? "GET" : method} /${method} HTTP/1.1\r\nHost: a\r\n${lines(list)}${rest}`);
const connection = fc.array(request, { minLength: 1, maxLength: 4 }).map((list) => list.join(""));
const answer = fc
  .tuple(fc.array(fc.constantFrom(100, 103), { maxLength: 2 }), fc.constantFrom(200, 204, 304, 404, 503), fields, framed)
  .map(
    ([informational, status, list, rest]) =>
      `${informational.map((code) => `HTTP/1.1 ${code} x\r\n\r\n`).join("")}HTTP/1.1 ${status} y\r\n${lines(list)}${rest}`,
  );
/** Spoils a text at one place. */
const spoilt = (base: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc.tuple(base, fc.nat(), fc.constantFrom("", "\r", "\n", "\0", " ", ":", "\r\n", "0", "chunked", "\xff")).map(([data, at, evil]) => {
    const i = at % (data.length + 1);
    return data.slice(0, i) + evil + data.slice(i + 1);
  });
const places = fc.array(fc.nat({ max: 100_000 }), { maxLength: 12 });

describe("server", () => {
  test("valid connections", () => {
    fc.assert(
      fc.property(connection, places, (data, at) => {
        const whole = serve([data]) as { faults: number };
        expect(whole.faults).toBe(0);
        expect(serve(cut(data, at))).toEqual(whole);
      }),
      { numRuns: 300 },
    );
  });

  test("byte by byte", () => {
    fc.assert(
      fc.property(connection, (data) => expect(serve([...data])).toEqual(serve([data]))),
      { numRuns: 100 },
    );
  });

  test("spoilt connections", () => {
    fc.assert(
      fc.property(spoilt(connection), places, (data, at) => expect(serve(cut(data, at))).toEqual(serve([data]))),
      { numRuns: 500 },
    );
  });

  test("any bytes at all", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          content,
          content.map((data) => `GET / HTTP/1.1\r\n${data}`),
        ),
        places,
        (data, at) => expect(serve(cut(data, at))).toEqual(serve([data])),
      ),
      { numRuns: 300 },
    );
  });
});

describe("client", () => {
  const heads = fc.constantFrom(get(), get({ method: "HEAD" }), get({ method: "POST" }));

  test("valid responses", () => {
    fc.assert(
      fc.property(answer, heads, places, (data, head, at) => expect(ask(cut(data, at), head)).toEqual(ask([data], head))),
      { numRuns: 300 },
    );
  });

  test("spoilt responses", () => {
    fc.assert(
      fc.property(spoilt(answer), heads, places, (data, head, at) => expect(ask(cut(data, at), head)).toEqual(ask([data], head))),
      { numRuns: 500 },
    );
  });
});
