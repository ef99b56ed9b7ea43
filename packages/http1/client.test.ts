// The client engine: requests on the wire, framing of responses, and what becomes of the connection.
import { describe, expect, test } from "bun:test";
import type { RequestHead } from "#http";
import { MAX_INFORMATIONAL, MAX_UNCONSUMED_BYTES } from "./limits.ts";
import { bytes, get, SeenResponse, TestClient } from "./testing.ts";

const HOST = ["host", "a"] as const;

function begin(
  head: RequestHead = get(),
  end = true,
): { client: TestClient; seen: SeenResponse; out: string; stream: ReturnType<TestClient["engine"]["request"]> } {
  const client = new TestClient();
  const seen = new SeenResponse();
  const stream = client.engine.request(head, end, seen);
  return { client, seen, stream, out: client.output() };
}

describe("requests on the wire", () => {
  const h2 = (changes: object): RequestHead => get({ version: "HTTP/2", scheme: "http", authority: "a:80", fields: [], ...changes });

  test.each([
    ["origin-form", get({ path: "/x?y", fields: [...HOST, "x", "1"] }), "GET /x?y HTTP/1.1\r\nhost: a\r\nx: 1\r\n\r\n"],
    ["absolute-form", get({ form: "absolute", scheme: "http", authority: "a" }), "GET http://a/ HTTP/1.1\r\nhost: a\r\n\r\n"],
    [
      "absolute-form, host taken from the authority",
      get({ form: "absolute", scheme: "http", authority: "b", fields: [] }),
      "GET http://b/ HTTP/1.1\r\nhost: b\r\n\r\n",
    ],
    ["asterisk-form", get({ method: "OPTIONS", form: "asterisk", path: "*" }), "OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n"],
    [
      "authority-form",
      get({ method: "CONNECT", form: "authority", authority: "b:1", path: "", fields: ["host", "b"] }),
      "CONNECT b:1 HTTP/1.1\r\nhost: b\r\n\r\n",
    ],
    ["HTTP/1.0 without host", get({ version: "HTTP/1.0", fields: [] }), "GET / HTTP/1.0\r\n\r\n"],
    [
      "HTTP/2: host from the authority, cookies joined",
      h2({ fields: ["cookie", "a=1", "x", "1", "cookie", "b=2"] }),
      "GET / HTTP/1.1\r\nhost: a:80\r\nx: 1\r\ncookie: a=1; b=2\r\n\r\n",
    ],
    [
      "empty cookies are none",
      get({ fields: ["host", "a", "cookie", "", "cookie", "b=2", "cookie", ""] }),
      "GET / HTTP/1.1\r\nhost: a\r\ncookie: b=2\r\n\r\n",
    ],
    ["HTTP/2 with host", h2({ fields: ["host", "A"] }), "GET / HTTP/1.1\r\nhost: A\r\n\r\n"],
    ["POST without content", get({ method: "POST" }), "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"],
    [
      "length kept at 0",
      get({ method: "DELETE", fields: [...HOST, "content-length", "0"] }),
      "DELETE / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n",
    ],
    [
      "chunked without content",
      get({ method: "POST", fields: [...HOST, "transfer-encoding", "chunked"] }),
      "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n",
    ],
    [
      "upgrade",
      get({ fields: [...HOST, "connection", "upgrade", "upgrade", "websocket"] }),
      "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    ],
  ])("%s", (_name, head, out) => {
    expect(begin(head).out).toBe(out);
  });

  test("content by length in one write with the head", () => {
    const client = new TestClient();
    const seen = new SeenResponse();
    const stream = client.engine.request(get({ method: "POST", fields: [...HOST, "content-length", "2"] }), false, seen);
    stream.write(bytes("hi"), true);
    expect(new TextDecoder().decode(client.engine.output() as Uint8Array)).toBe(
      "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi",
    );
    expect(seen.written).toBe(2);
  });

  test("content of unknown length by chunks, HTTP/1.0 becoming 1.1", () => {
    for (const version of ["HTTP/1.1", "HTTP/1.0", "HTTP/2"] as const) {
      const client = new TestClient();
      const stream = client.engine.request(get({ method: "POST", version }), false, new SeenResponse());
      stream.write(bytes("hi"), false);
      stream.write(bytes("0123456789abcdef"), false);
      stream.trailers(["x-t", "1", "host", "evil"]);
      expect(client.output()).toBe(
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n10\r\n0123456789abcdef\r\n0\r\nx-t: 1\r\n\r\n",
      );
    }
  });

  test.each([
    ["CR LF in a value", get({ fields: [...HOST, "x", "a\r\nb: c"] })],
    ["NUL in a value", get({ fields: [...HOST, "x", "\0"] })],
    ["name with a colon", get({ fields: [...HOST, "x:y", "1"] })],
    ["empty name", get({ fields: [...HOST, "", "1"] })],
    ["space in the path", get({ path: "/a b" })],
    ["line break in the path", get({ path: "/ HTTP/1.1\r\nx: y" })],
    ["fragment", get({ path: "/#a" })],
    ["relative path", get({ path: "a" })],
    ["space in the method", get({ method: "GET /" })],
    ["space in the authority", h2({ authority: "a b" })],
    ["userinfo", h2({ authority: "u@a" })],
    ["host against authority", h2({ fields: ["host", "b"] })],
    ["two hosts", get({ fields: [...HOST, ...HOST] })],
    ["no host", get({ fields: [] })],
    ["two lengths", get({ fields: [...HOST, "content-length", "0", "content-length", "0"] })],
    ["length without content", get({ fields: [...HOST, "content-length", "3"] })],
    ["CONNECT in origin-form", get({ method: "CONNECT" })],
    ["authority-form without CONNECT", get({ form: "authority", authority: "a:1" })],
  ])("nothing is written for a request that could be misread: %s", (_name, head) => {
    const { client, seen, out } = begin(head);
    expect(out).toBe("");
    expect(seen.error?.kind).toBe("protocol");
    expect(client.engine.ready).toBe(true);
    expect(client.host.aborted).toBe(false);
  });

  test("content that differs from its length breaks the connection off", () => {
    for (const content of ["a", "abc"]) {
      const { client, seen, stream } = begin(get({ method: "POST", fields: [...HOST, "content-length", "2"] }), false);
      stream.write(bytes(content), true);
      expect(client.engine.output()).toBeNull();
      expect(client.host.aborted).toBe(true);
      expect(client.engine.retired).toBe(true);
      client.engine.receiveClose("");
      expect(seen.error).toEqual({ kind: "protocol", message: "content differs from content-length" });
    }
  });
});

describe("framing of responses", () => {
  const HEAD = get({ method: "HEAD" });
  test.each([
    ["length", get(), "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi", "hi", true],
    ["empty", get(), "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", "", true],
    ["chunked", get(), "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", "hi", true],
    ["no reason", get(), "HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n", "", true],
    ["HEAD", HEAD, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", "", true],
    ["HEAD chunked", HEAD, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "", true],
    ["204", get(), "HTTP/1.1 204 No Content\r\n\r\n", "", true],
    ["204 with length", get(), "HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n", "", true],
    ["304 with length", get(), "HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n", "", true],
    ["connection: close", get(), "HTTP/1.1 200 OK\r\nconnection: x, Close\r\ncontent-length: 2\r\n\r\nhi", "hi", false],
    ["HTTP/1.0", get(), "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi", "hi", false],
    ["HTTP/1.0 keep-alive", get(), "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nhi", "hi", true],
    ["answer to HTTP/1.0", get({ version: "HTTP/1.0" }), "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi", "hi", false],
    ["request closes", get({ fields: [...HOST, "connection", "close"] }), "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi", "hi", false],
  ])("%s", (_name, head, data, body, kept) => {
    const { client, seen } = begin(head);
    client.receive(data);
    expect(seen.ended).toBe(true);
    expect(seen.body).toBe(body);
    expect(client.engine.ready).toBe(kept);
    expect(client.engine.retired).toBe(!kept);
    expect(client.host.finished).toBe(!kept);
    expect(client.changes).toBe(1);
    expect(client.engine.activeStreams).toBe(0);
  });

  test("until the end of the connection", () => {
    const { client, seen } = begin();
    client.receive("HTTP/1.1 200 OK\r\n\r\nhel");
    client.receive("lo");
    expect(seen.ended).toBe(false);
    client.engine.receiveEnd();
    expect(seen.ended).toBe(true);
    expect(seen.body).toBe("hello");
    expect(client.engine.retired).toBe(true);
    expect(seen.error).toBeNull();
  });

  test("a broken connection is no end of the content", () => {
    const { client, seen } = begin();
    client.receive("HTTP/1.1 200 OK\r\n\r\nhel");
    client.engine.receiveClose("ECONNRESET");
    expect(seen.ended).toBe(false);
    expect(seen.error).toEqual({ kind: "closed", errno: "ECONNRESET" });
  });

  test("trailers", () => {
    const { client, seen } = begin();
    client.receive("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx-t: 1\r\n\r\n");
    expect(seen.trailers).toEqual(["x-t", "1"]);
    expect(client.engine.ready).toBe(true);
  });

  test("informational responses, as many as make sense", () => {
    const { client, seen } = begin();
    client.receive("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    expect(seen.informational).toEqual([100, 103]);
    expect(seen.ended).toBe(true);

    const flood = begin();
    flood.client.receive("HTTP/1.1 103 x\r\n\r\n".repeat(MAX_INFORMATIONAL));
    expect(flood.seen.error).toBeNull();
    flood.client.receive("HTTP/1.1 103 x\r\n\r\n");
    expect(flood.seen.error).toEqual({ kind: "protocol", message: "too many informational responses" });
  });

  test.each([
    ["length and chunked", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n"],
    ["two lengths", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\n"],
    ["list of lengths", "HTTP/1.1 200 OK\r\ncontent-length: 2, 2\r\n\r\n"],
    ["unknown coding", "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n"],
    ["identity", "HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n\r\n"],
    ["chunked in HTTP/1.0", "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"],
    ["bare LF", "HTTP/1.1 200 OK\n\n"],
    ["fold", "HTTP/1.1 200 OK\r\nx: 1\r\n y\r\n\r\n"],
    ["NUL", "HTTP/1.1 200 OK\r\nx: \0\r\n\r\n"],
    ["HTTP/2.0", "HTTP/2.0 200 OK\r\n\r\n"],
    ["HTTP/0.9", "<html>"],
    ["SSH, and then silence", "SSH-2.0-x\r\n"],
    ["SMTP, and then silence", "220"],
    ["empty line first", "\r\nHTTP/1.1 200 OK\r\n\r\n"],
    ["status 99", "HTTP/1.1 099 OK\r\n\r\n"],
    ["status 600", "HTTP/1.1 600 OK\r\n\r\n"],
    ["status of four digits", "HTTP/1.1 2000 OK\r\n\r\n"],
    ["101 unasked", "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n"],
    ["chunk size", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0x2\r\nhi\r\n"],
  ])("malformed: %s", (_name, data) => {
    const { client, seen } = begin();
    client.receive(data);
    expect(seen.error?.kind).toBe("protocol");
    expect(client.host.aborted).toBe(true);
    expect(client.engine.retired).toBe(true);
  });
});

describe("what becomes of the connection", () => {
  const OK = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

  test("one exchange after another", () => {
    const { client } = begin();
    expect(client.engine.ready).toBe(false);
    expect(() => client.engine.request(get(), true, new SeenResponse())).toThrow("one request at a time");
    client.receive(OK);
    const second = new SeenResponse();
    client.engine.request(get(), true, second);
    client.output();
    client.receive(OK);
    expect(second.ended).toBe(true);
  });

  test("a request that a closed connection cannot have taken may go elsewhere", () => {
    const rows: [string, boolean, boolean, string][] = [
      // method, reused, written, kind
      ["GET", true, true, "refused"],
      ["PUT", true, true, "refused"],
      ["POST", true, true, "closed"],
      ["POST", true, false, "refused"],
      ["GET", false, true, "closed"],
      ["GET", false, false, "refused"],
    ];
    for (const [method, reused, written, kind] of rows)
      for (const how of ["end", "close"] as const) {
        const client = new TestClient();
        if (reused) {
          client.engine.request(get(), true, new SeenResponse());
          client.output();
          client.receive(OK);
        }
        const seen = new SeenResponse();
        client.engine.request(get({ method }), true, seen);
        if (written) client.output();
        if (how === "end") client.engine.receiveEnd();
        else client.engine.receiveClose("ECONNRESET");
        expect([method, reused, written, how, seen.error?.kind]).toEqual([method, reused, written, how, kind]);
        expect(client.engine.retired).toBe(true);
      }
  });

  test("a byte of the response makes it a broken response", () => {
    const client = new TestClient();
    client.engine.request(get(), true, new SeenResponse());
    client.output();
    client.receive(OK);
    const seen = new SeenResponse();
    client.engine.request(get(), true, seen);
    client.output();
    client.receive("H");
    client.engine.receiveEnd();
    expect(seen.error).toEqual({ kind: "closed", errno: "" });
  });

  test("closed when idle", () => {
    const { client } = begin();
    client.receive(OK);
    client.engine.receiveEnd();
    expect(client.engine.retired).toBe(true);
    expect(client.engine.ready).toBe(false);
    expect(client.host.finished).toBe(true);
    expect(client.changes).toBe(2);
  });

  test("bytes nobody asked for: before, between and behind responses", () => {
    const before = new TestClient();
    before.receive("HTTP/1.1 408 Request Timeout\r\n\r\n");
    expect(before.host.aborted).toBe(true);

    const between = begin();
    between.client.receive(OK);
    between.client.receive(OK);
    expect(between.client.host.aborted).toBe(true);

    const behind = begin();
    behind.client.receive(OK + OK);
    expect(behind.seen.ended).toBe(true);
    expect(behind.seen.error).toBeNull();
    expect(behind.client.engine.retired).toBe(true);

    const unsent = new TestClient();
    const seen = new SeenResponse();
    unsent.engine.request(get(), true, seen);
    unsent.receive(OK);
    expect(seen.head).toBeNull();
    expect(seen.error).toEqual({ kind: "refused" });
  });

  test("early response: the connection waits for the rest of the request", () => {
    const { client, seen, stream } = begin(get({ method: "POST", fields: [...HOST, "content-length", "4"] }), false);
    stream.write(bytes("ab"), false);
    client.output();
    client.receive(OK);
    expect(seen.ended).toBe(true);
    expect(client.engine.ready).toBe(false);
    stream.write(bytes("cd"), true);
    expect(client.engine.ready).toBe(false);
    expect(client.output()).toBe("cd");
    expect(seen.written).toBe(4);
    expect(client.engine.ready).toBe(true);
  });

  test("early response that closes: nobody reads the rest of the request", () => {
    const { client, seen, stream } = begin(get({ method: "POST", fields: [...HOST, "content-length", "4"] }), false);
    stream.write(bytes("ab"), false);
    client.receive("HTTP/1.1 413 x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    expect(seen.ended).toBe(true);
    expect(seen.error).toEqual({ kind: "closed", errno: "" });
    expect(client.engine.retired).toBe(true);
  });

  test("reset aborts, or takes back what was not sent", () => {
    const sent = begin();
    sent.stream.reset(8);
    expect(sent.client.host.aborted).toBe(true);
    expect(sent.client.engine.retired).toBe(true);
    sent.client.engine.receiveClose("");
    expect(sent.seen.error).toBeNull();

    const client = new TestClient();
    const stream = client.engine.request(get(), true, new SeenResponse());
    stream.reset(8);
    expect(client.host.aborted).toBe(false);
    expect(client.engine.ready).toBe(true);
    expect(client.engine.output()).toBeNull();
  });

  test("drain", () => {
    const idle = new TestClient();
    idle.engine.drain();
    expect(idle.host.finished).toBe(true);
    expect(idle.engine.retired).toBe(true);

    const { client, seen } = begin();
    client.engine.drain();
    expect(client.engine.retired).toBe(true);
    expect(client.engine.activeStreams).toBe(1);
    client.receive(OK);
    expect(seen.ended).toBe(true);
    expect(client.host.finished).toBe(true);
  });

  test("credit", () => {
    const { client, stream } = begin();
    client.receive(`HTTP/1.1 200 OK\r\ncontent-length: ${MAX_UNCONSUMED_BYTES + 10}\r\n\r\n`);
    client.receive("x".repeat(MAX_UNCONSUMED_BYTES));
    expect(client.host.paused).toBe(false);
    client.receive("x");
    expect(client.host.paused).toBe(true);
    stream.consume(MAX_UNCONSUMED_BYTES / 2 + 1);
    expect(client.host.paused).toBe(false);
  });

  test("a pause ends with the exchange", () => {
    const { client } = begin();
    client.receive(`HTTP/1.1 200 OK\r\ncontent-length: ${MAX_UNCONSUMED_BYTES + 10}\r\n\r\n`);
    client.receive("x".repeat(MAX_UNCONSUMED_BYTES + 5));
    expect(client.host.paused).toBe(true);
    client.receive("x".repeat(5));
    expect(client.engine.ready).toBe(true);
    expect(client.host.paused).toBe(false);
  });
});

describe("upgrade", () => {
  const upgrade = get({ fields: [...HOST, "connection", "upgrade", "upgrade", "websocket"] });

  test("101", () => {
    const { client, seen } = begin(upgrade);
    client.receive("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nfirst");
    client.receive(" frame");
    expect(seen.head?.status).toBe(101);
    expect(seen.body).toBe("");
    expect(new TextDecoder().decode(client.engine.takeOver().leftover)).toBe("first frame");
    expect(client.engine.activeStreams).toBe(0);
    expect(client.engine.retired).toBe(true);
  });

  test("2xx to CONNECT", () => {
    const { client, seen } = begin(get({ method: "CONNECT", form: "authority", authority: "b:1", path: "", fields: ["host", "b:1"] }));
    client.receive("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello");
    expect(seen.head?.status).toBe(200);
    client.engine.receiveEnd();
    const { leftover, ended } = client.engine.takeOver();
    expect(new TextDecoder().decode(leftover)).toBe("hello");
    expect(ended).toBe(true);
  });

  test("refused", () => {
    const { client, seen } = begin(upgrade);
    client.receive("HTTP/1.1 426 x\r\ncontent-length: 0\r\n\r\n");
    expect(seen.ended).toBe(true);
    expect(client.engine.ready).toBe(true);
    expect(() => client.engine.takeOver()).toThrow("no upgrade");
  });
});
