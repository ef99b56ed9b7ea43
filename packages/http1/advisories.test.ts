// Holes that hit other proxies at HTTP/1 (spec hardening §3), each tried here under the advisory's name.
import { describe, expect, test } from "bun:test";
import { downgradeRequest } from "#http";
import { ABORT_HELD_BYTES, MAX_HELD_BYTES } from "./limits.ts";
import { get, response, SeenResponse, TestClient, TestServer } from "./testing.ts";

const refuses = (data: string): void => {
  const server = new TestServer();
  server.receive(data);
  expect(server.output()).toStartWith("HTTP/1.1 400 Bad Request\r\n");
  expect(server.host.finished).toBe(true);
  expect(server.requests.filter((request) => request.ended)).toHaveLength(0);
};

describe("#11 hyper", () => {
  test("RUSTSEC-2021-0020: several transfer-encodings, of which one is not chunked", () => {
    refuses("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n\r\n0\r\n\r\n");
  });
  test("RUSTSEC-2021-0078: a sign in content-length", () => {
    refuses("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc");
  });
  test("RUSTSEC-2021-0079: chunk sizes beyond 64 bits", () => {
    for (const size of [
      "f0000000000000003",
      "10000000000000003",
      "ffffffffffffffff",
      "8000000000000000",
      "7fffffffffffffff",
      "20000000000000",
    ])
      refuses(`POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${size}\r\nabc`);
  });
  test("RUSTSEC-2020-0008: both lengths on GET", () => {
    refuses("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
  });
  test("content of GET belongs to it", () => {
    const server = new TestServer((request) => (request.onEnd = () => request.stream.respond(response(204), true)));
    const inner = "GET /admin HTTP/1.1\r\nHost: a\r\n\r\n";
    server.receive(`GET / HTTP/1.1\r\nHost: a\r\nContent-Length: ${inner.length}\r\n\r\n${inner}`);
    server.output();
    expect(server.requests).toHaveLength(1);
    expect(server.last().body).toBe(inner);
  });
});

describe("#12 Node", () => {
  test("CVE-2025-23167: CR LF CR X ends no head", () => {
    refuses("GET / HTTP/1.1\r\nHost: a\r\n\rXGET /admin HTTP/1.1\r\nHost: a\r\n\r\n");
  });
  test("CVE-2024-27982: space before content-length", () => {
    refuses("POST / HTTP/1.1\r\nHost: a\r\n Content-Length: 30\r\n\r\nGET /admin HTTP/1.1\r\nHost: a\r\n\r\n");
  });
});

test("#13 CVE-2025-55315 (Kestrel): a line break hidden in a chunk extension", () => {
  for (const end of ["\n", "\r"])
    refuses(
      `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;${end}xx\r\n0\r\n\r\nGET /admin HTTP/1.1\r\nHost: a\r\n\r\n`,
    );
});

describe("#14 CVE-2026-2833 (pingora), CVE-2025-64763 (Envoy): bytes behind Upgrade or CONNECT", () => {
  const heads = [
    "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
  ];
  test("are given to nobody before the response", () => {
    for (const head of heads) {
      const server = new TestServer();
      server.receive(`${head}GET /admin HTTP/1.1\r\nHost: a\r\n\r\n`);
      expect(server.requests).toHaveLength(1);
      expect(server.last().body).toBe("");
      expect(server.output()).toBe("");
      expect(() => server.engine.takeOver()).toThrow();
    }
  });
  test("nor from the other side", () => {
    // A server that goes on as if it had switched gets nothing of it either.
    const client = new TestClient();
    const seen = new SeenResponse();
    client.engine.request(get({ fields: ["host", "a", "connection", "upgrade", "upgrade", "websocket"] }), true, seen);
    client.output();
    client.receive("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\nraw bytes");
    expect(seen.body).toBe("");
    expect(client.engine.retired).toBe(true);
  });
});

describe("#15 CVE-2026-2835 (pingora)", () => {
  test("an HTTP/1.0 request has no content until the end of the connection", () => {
    const server = new TestServer((request) => request.ended && request.stream.respond(response(204), true));
    server.receive("POST / HTTP/1.0\r\n\r\nGET /admin HTTP/1.1\r\nHost: a\r\n\r\n");
    server.output();
    expect(server.requests).toHaveLength(1);
    expect(server.last().body).toBe("");
    expect(server.host.finished).toBe(true);
  });
  test("several transfer-encodings", () => {
    refuses("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
  });
});

test("#16 CVE-2021-21295: what HTTP/2 allows in bytes is not written as HTTP/1", () => {
  const evil = get({
    version: "HTTP/2",
    scheme: "http",
    authority: "a",
    fields: ["x", "1\r\nTransfer-Encoding: chunked", "l5d-orig-proto", "HTTP/1.1"],
  });
  expect(downgradeRequest(evil).kind).toBe("malformed");
  // The engine refuses it by itself as well.
  const client = new TestClient();
  const seen = new SeenResponse();
  client.engine.request(evil, true, seen);
  expect(client.output()).toBe("");
  expect(seen.error?.kind).toBe("protocol");
});

test("#20 CVE-2021-32777 (Envoy): repeated fields stay apart", () => {
  const server = new TestServer();
  server.receive("GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\nx: 2\r\nX: 3, 4\r\n\r\n");
  expect(server.last().head.all("x")).toEqual(["1", "2", "3, 4"]);
});

describe("a peer that sends on and on while it waits", () => {
  test("bytes behind a request", () => {
    const server = new TestServer();
    server.receive("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    const piece = "x".repeat(MAX_HELD_BYTES);
    for (let sent = 0; sent < ABORT_HELD_BYTES; sent += piece.length) server.receive(piece);
    expect(server.host.paused).toBe(true);
    expect(server.host.aborted).toBe(false);
    server.receive("x");
    expect(server.host.aborted).toBe(true);
    expect(server.last().error?.kind).toBe("protocol");
  });

  test("bytes behind an upgrade", () => {
    const client = new TestClient();
    client.engine.request(get({ fields: ["host", "a", "connection", "upgrade", "upgrade", "x"] }), true, new SeenResponse());
    client.output();
    client.receive("HTTP/1.1 101 x\r\n\r\n");
    const piece = "x".repeat(MAX_HELD_BYTES);
    for (let sent = 0; sent < ABORT_HELD_BYTES; sent += piece.length) client.receive(piece);
    expect(client.host.paused).toBe(true);
    expect(client.host.aborted).toBe(false);
    client.receive("x");
    expect(client.host.aborted).toBe(true);
  });

  test("a head byte by byte costs no more than its length", () => {
    const server = new TestServer();
    const head = `GET / HTTP/1.1\r\nHost: a\r\nX: ${"y".repeat(60_000)}\r\n\r\n`;
    for (const c of head) server.receive(c);
    expect(server.requests).toHaveLength(1);
    expect(server.engine.readingHead).toBe(false);
  });
});
