// The server engine: exchanges, framing of responses, connection life.
import { describe, expect, test } from "bun:test";
import { OUTPUT_BYTES } from "#http";
import { MAX_HELD_BYTES, MAX_UNCONSUMED_BYTES } from "./limits.ts";
import { bytes, DATE_LINE, response, type SeenRequest, TestServer } from "./testing.ts";

const GET = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const ok = (request: SeenRequest): void => request.stream.respond(response(200), true);
const OK = `HTTP/1.1 200 OK\r\ncontent-length: 0\r\n${DATE_LINE}\r\n`;

describe("exchange", () => {
  test("a request without content, a response with some, in one write", () => {
    const server = new TestServer();
    server.receive("GET /x?y HTTP/1.1\r\nHost: a\r\nX-One:  1 \r\n\r\n");
    const { head, stream } = server.last();
    expect(head.path).toBe("/x?y");
    expect(head.fields).toEqual(["host", "a", "x-one", "1"]);
    expect(server.last().ended).toBe(true);
    stream.respond(response(200, ["content-length", "2", "date", "x"], "Fine"), false);
    stream.write(bytes("hi"), true);
    const written = server.engine.output();
    expect(new TextDecoder().decode(written as Uint8Array)).toBe("HTTP/1.1 200 Fine\r\ndate: x\r\ncontent-length: 2\r\n\r\nhi");
    expect(server.engine.output()).toBeNull();
    expect(server.last().written).toBe(2);
    expect(server.engine.activeStreams).toBe(0);
    expect(server.host.finished).toBe(false);
  });

  test("a repeated head is the same object on every connection", () => {
    const first = new TestServer(ok);
    first.receive(GET);
    first.output();
    first.receive(GET);
    first.output();
    first.receive(GET);
    first.output();
    expect(first.requests).toHaveLength(3);
    // Kept on second sight.
    expect(first.requests[2]?.head).toBe(first.requests[1]?.head as never);
  });

  test("content by length and by chunks, with trailers", () => {
    const server = new TestServer((request) => (request.onEnd = () => ok(request)));
    server.receive("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello");
    expect(server.last().body).toBe("hello");
    expect(server.output()).toBe(OK);
    server.receive(
      'POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: Chunked\r\n\r\n5;a="b;\\"" ; c\r\nhello\r\n1\r\n!\r\n0\r\nX-T: 1\r\n\r\n',
    );
    expect(server.last().body).toBe("hello!");
    expect(server.last().trailers).toEqual(["x-t", "1"]);
    expect(server.output()).toBe(OK);
  });

  test("trailers go to clients that ask for them", () => {
    for (const [te, end] of [
      ["te: trailers\r\n", "0\r\ngrpc-status: 0\r\n\r\n"],
      ["", "0\r\n\r\n"],
    ] as const) {
      const server = new TestServer();
      server.receive(`GET / HTTP/1.1\r\nhost: a\r\n${te}\r\n`);
      const { stream } = server.last();
      stream.respond(response(200, ["date", "x"]), false);
      stream.write(bytes("hi"), false);
      stream.trailers(["grpc-status", "0", "content-length", "7"]);
      expect(server.output()).toBe(`HTTP/1.1 200 OK\r\ndate: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n${end}`);
    }
  });

  test("early response, content goes on", () => {
    const server = new TestServer();
    server.receive("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhe");
    const request = server.last();
    ok(request);
    expect(server.output()).toBe(OK);
    server.receive("llo");
    expect(request.body).toBe("hello");
    server.receive(GET);
    expect(server.requests).toHaveLength(2);
  });

  test("early response, rest of the content not wanted", () => {
    const server = new TestServer();
    server.receive("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhe");
    ok(server.last());
    server.last().stream.reset(0);
    expect(server.host.finished).toBe(true);
    expect(server.host.aborted).toBe(false);
    expect(server.output()).toBe(OK);
    server.receive("llo");
    expect(server.last().body).toBe("he");
    expect(server.last().error).toBeNull();
  });

  test("a reset before the end of the response aborts", () => {
    const server = new TestServer();
    server.receive(GET);
    server.last().stream.respond(response(200), false);
    server.last().stream.reset(2);
    expect(server.host.aborted).toBe(true);
    expect(server.engine.output()).toBeNull();
    expect(server.engine.activeStreams).toBe(0);
  });

  test("expect: 100-continue is passed on", () => {
    const head = "POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n";
    const server = new TestServer();
    server.receive(head);
    server.last().stream.informational(response(100));
    server.last().stream.informational(response(103, ["link", "</a>"]));
    expect(server.output()).toBe("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n");
    server.receive("hi");
    ok(server.last());
    expect(server.output()).toBe(OK);

    // Without the 100, whether the content follows is unknown: the connection ends.
    const refused = new TestServer();
    refused.receive(head);
    refused.last().stream.respond(response(417, ["date", "x"]), true);
    expect(refused.output()).toBe("HTTP/1.1 417 Expectation Failed\r\ndate: x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
  });
});

describe("framing of responses", () => {
  const respond = (request: string, head: ReturnType<typeof response>, body: string | null): { out: string; server: TestServer } => {
    const server = new TestServer();
    server.receive(request);
    const { stream } = server.last();
    stream.respond(head, body === null);
    if (body !== null) stream.write(bytes(body), true);
    return { out: server.output(), server };
  };
  const D: [string, string] = ["date", "x"];

  test.each([
    ["length", GET, response(200, [...D, "content-length", "2"]), "hi", "HTTP/1.1 200 OK\r\ndate: x\r\ncontent-length: 2\r\n\r\nhi"],
    ["unknown length", GET, response(200, D), "hi", "HTTP/1.1 200 OK\r\ndate: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"],
    [
      "chunked wins over length",
      GET,
      response(200, [...D, "content-length", "9", "transfer-encoding", "chunked"]),
      "hi",
      "HTTP/1.1 200 OK\r\ndate: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    ],
    [
      "chunked but empty",
      GET,
      response(200, [...D, "transfer-encoding", "chunked"]),
      null,
      "HTTP/1.1 200 OK\r\ndate: x\r\ncontent-length: 0\r\n\r\n",
    ],
    [
      "HEAD keeps the length",
      "HEAD / HTTP/1.1\r\nhost: a\r\n\r\n",
      response(200, [...D, "content-length", "2"]),
      "",
      "HTTP/1.1 200 OK\r\ndate: x\r\ncontent-length: 2\r\n\r\n",
    ],
    [
      "HEAD of chunked",
      "HEAD / HTTP/1.1\r\nhost: a\r\n\r\n",
      response(200, [...D, "transfer-encoding", "chunked"]),
      null,
      "HTTP/1.1 200 OK\r\ndate: x\r\ntransfer-encoding: chunked\r\n\r\n",
    ],
    [
      "HEAD has no content whatever is written",
      "HEAD / HTTP/1.1\r\nhost: a\r\n\r\n",
      response(200, D),
      "hi",
      "HTTP/1.1 200 OK\r\ndate: x\r\n\r\n",
    ],
    ["204", GET, response(204, [...D, "content-length", "0"]), null, "HTTP/1.1 204 No Content\r\ndate: x\r\n\r\n"],
    ["204 with chunked", GET, response(204, [...D, "transfer-encoding", "chunked"]), "", "HTTP/1.1 204 No Content\r\ndate: x\r\n\r\n"],
    [
      "304 keeps the length",
      GET,
      response(304, [...D, "content-length", "7"]),
      null,
      "HTTP/1.1 304 Not Modified\r\ndate: x\r\ncontent-length: 7\r\n\r\n",
    ],
    ["no reason known", GET, response(299, D), null, "HTTP/1.1 299 <none>\r\ndate: x\r\ncontent-length: 0\r\n\r\n"],
    ["empty reason", GET, response(200, D, ""), null, "HTTP/1.1 200 \r\ndate: x\r\ncontent-length: 0\r\n\r\n"],
    [
      "connection fields are the engine's",
      GET,
      response(200, [...D, "connection", "x, keep-alive", "keep-alive", "5", "upgrade", "h2c"]),
      null,
      "HTTP/1.1 200 OK\r\ndate: x\r\ncontent-length: 0\r\n\r\n",
    ],
  ])("%s", (_name, request, head, body, out) => {
    const result = respond(request, head, body);
    expect(result.out).toBe(out);
    expect(result.server.host.finished).toBe(false);
  });

  test.each([
    [
      "1.0",
      "GET / HTTP/1.0\r\n\r\n",
      response(200, [...D, "content-length", "2"]),
      "hi",
      "HTTP/1.0 200 OK\r\ndate: x\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi",
    ],
    [
      "1.0, unknown length",
      "GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n",
      response(200, D),
      "hi",
      "HTTP/1.0 200 OK\r\ndate: x\r\nconnection: close\r\n\r\nhi",
    ],
    [
      "client closes",
      "GET / HTTP/1.1\r\nhost: a\r\nconnection: x, Close\r\n\r\n",
      response(200, D),
      null,
      "HTTP/1.1 200 OK\r\ndate: x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
    ],
    [
      "handler closes",
      GET,
      response(200, [...D, "connection", "close"]),
      null,
      "HTTP/1.1 200 OK\r\ndate: x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
    ],
  ])("closes: %s", (_name, request, head, body, out) => {
    const result = respond(request, head, body);
    expect(result.out).toBe(out);
    expect(result.server.host.finished).toBe(true);
  });

  test("HTTP/1.0 keep-alive", () => {
    const { out, server } = respond("GET / HTTP/1.0\r\nconnection: Keep-Alive\r\n\r\n", response(200, D), null);
    expect(out).toBe("HTTP/1.0 200 OK\r\ndate: x\r\ncontent-length: 0\r\nconnection: keep-alive\r\n\r\n");
    expect(server.host.finished).toBe(false);
  });

  test("informational responses do not go to HTTP/1.0", () => {
    const server = new TestServer();
    server.receive("GET / HTTP/1.0\r\n\r\n");
    server.last().stream.informational(response(103));
    expect(server.output()).toBe("");
  });

  test.each([
    ["content beyond the length", ["content-length", "1"], "hi"],
    ["content below the length", ["content-length", "3"], "hi"],
  ])("%s aborts and resets", (_name, fields, body) => {
    const server = new TestServer();
    server.receive(GET);
    server.last().stream.respond(response(200, fields), false);
    server.last().stream.write(bytes(body), true);
    expect(server.host.aborted).toBe(true);
    server.engine.receiveClose("");
    expect(server.last().error).toEqual({ kind: "protocol", message: "content differs from content-length" });
  });

  test.each([
    ["CR LF in a value", response(200, ["x", "a\r\nb: c"])],
    ["NUL in a value", response(200, ["x", "a\0b"])],
    ["space in a name", response(200, ["x y", "a"])],
    ["upper case in a name", response(200, ["X", "a"])],
    ["beyond latin1", response(200, ["x", "€"])],
    ["CR in the reason", response(200, [], "a\rb")],
    ["two lengths", response(200, ["content-length", "0", "content-length", "0"])],
    ["bad length", response(200, ["content-length", "+0"])],
    ["length without content", response(200, ["content-length", "5"])],
    ["101 without upgrade", response(101, ["connection", "upgrade", "upgrade", "x"])],
    ["status 99", response(99)],
  ])("a response that cannot be written is a 502: %s", (_name, head) => {
    const server = new TestServer();
    server.receive(GET);
    server.last().stream.respond(head, true);
    expect(server.output()).toBe(`HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\nconnection: close\r\n${DATE_LINE}\r\n`);
    expect(server.host.finished).toBe(true);
    expect(server.last().error?.kind).toBe("protocol");
  });
});

describe("pipelining", () => {
  test("one at a time, in order, without recursion", () => {
    const server = new TestServer(ok);
    const n = 2000;
    let data = "";
    for (let i = 0; i < n; i++) data += `GET /${i} HTTP/1.1\r\nhost: a\r\n\r\n`;
    server.receive(data);
    expect(server.requests).toHaveLength(1);
    expect(server.output()).toBe(OK.repeat(n));
    expect(server.requests.map((r) => r.head.path)).toEqual(Array.from({ length: n }, (_, i) => `/${i}`));
  });

  test("the next request waits for the response", () => {
    const server = new TestServer();
    server.receive(GET + GET);
    expect(server.output()).toBe("");
    expect(server.requests).toHaveLength(1);
    ok(server.last());
    expect(server.requests).toHaveLength(1);
    expect(server.output()).toBe(OK);
    expect(server.requests).toHaveLength(2);
  });

  test("reading pauses at the bound and goes on below it", () => {
    const server = new TestServer();
    const body = MAX_HELD_BYTES - "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 00000\r\n\r\n".length;
    const next = `POST / HTTP/1.1\r\nhost: a\r\ncontent-length: ${body}\r\n\r\n${"x".repeat(body)}`;
    expect(next).toHaveLength(MAX_HELD_BYTES);
    server.receive(GET);
    server.receive(next);
    expect(server.host.paused).toBe(false);
    server.receive("G");
    expect(server.host.paused).toBe(true);
    ok(server.last());
    server.output();
    expect(server.host.paused).toBe(false);
    expect(server.last().body).toHaveLength(body);
  });

  test("an answer that is ready goes out behind a half-close; requests sent ahead have lost their client", () => {
    const server = new TestServer(ok);
    server.receive(GET + GET);
    server.engine.receiveEnd();
    expect(server.output()).toBe(OK);
    expect(server.requests).toHaveLength(1);
    expect(server.host.finished).toBe(true);
  });
});

describe("credit", () => {
  test("unconsumed content pauses reading", () => {
    const server = new TestServer((request) => (request.consuming = false));
    server.receive(`POST / HTTP/1.1\r\nhost: a\r\ncontent-length: ${MAX_UNCONSUMED_BYTES * 2}\r\n\r\n`);
    server.receive("x".repeat(MAX_UNCONSUMED_BYTES));
    expect(server.host.paused).toBe(false);
    server.receive("x");
    expect(server.host.paused).toBe(true);
    server.last().stream.consume(MAX_UNCONSUMED_BYTES / 2);
    expect(server.host.paused).toBe(true);
    server.last().stream.consume(1);
    expect(server.host.paused).toBe(false);
  });

  test("content is the engine's once written, and credited when it is out", () => {
    const server = new TestServer();
    server.receive(GET);
    const big = new Uint8Array(40_000).fill(120);
    server.last().stream.respond(response(200, ["content-length", "40002"]), false);
    server.last().stream.write(big, false);
    big.fill(0);
    server.last().stream.write(bytes("ok"), true);
    expect(server.last().written).toBe(0);
    expect(server.output()).toEndWith(`\r\n\r\n${"x".repeat(40_000)}ok`);
    expect(server.last().written).toBe(40_002);
  });

  test("content that is larger than an output is credited as its parts go", () => {
    const server = new TestServer();
    server.receive(GET);
    server.last().stream.respond(response(200, ["content-length", "100000"]), false);
    server.last().stream.write(new Uint8Array(100_000), true);
    expect(server.engine.output()?.length).toBe(OUTPUT_BYTES);
    expect(server.last().written).toBe(OUTPUT_BYTES);
    server.output();
    expect(server.last().written).toBe(100_000);
  });

  test("what has no place in a response is credited", () => {
    const server = new TestServer();
    server.receive("HEAD / HTTP/1.1\r\nhost: a\r\n\r\n");
    server.last().stream.respond(response(200), false);
    server.last().stream.write(bytes("hi"), false);
    server.output();
    expect(server.last().written).toBe(2);
  });
});

describe("end of the connection", () => {
  test("half-close while an answer is waited for, or on its way: the client is gone", () => {
    for (const begun of [false, true]) {
      const server = new TestServer();
      server.receive(GET);
      if (begun) server.last().stream.respond(response(200), false);
      server.engine.receiveEnd();
      expect(server.last().error).toEqual({ kind: "closed", errno: "" });
      expect(server.host.aborted).toBe(true);
      expect(server.engine.activeStreams).toBe(0);
    }
  });

  test("half-close when idle, or within a head", () => {
    for (const data of ["", "GET / HT"]) {
      const server = new TestServer();
      if (data !== "") server.receive(data);
      server.engine.receiveEnd();
      expect(server.host.finished).toBe(true);
    }
  });

  test("half-close within content is no end of the request", () => {
    for (const data of ["content-length: 5\r\n\r\nhe", "transfer-encoding: chunked\r\n\r\n2\r\nhe\r\n"]) {
      const server = new TestServer();
      server.receive(`POST / HTTP/1.1\r\nhost: a\r\n${data}`);
      server.engine.receiveEnd();
      expect(server.last().ended).toBe(false);
      expect(server.last().error).toEqual({ kind: "closed", errno: "" });
      expect(server.host.aborted).toBe(true);
    }
  });

  test("close resets the exchange once", () => {
    const server = new TestServer();
    server.receive(GET);
    server.engine.receiveClose("ECONNRESET");
    server.engine.receiveClose("");
    expect(server.last().error).toEqual({ kind: "closed", errno: "ECONNRESET" });
    ok(server.last());
    expect(server.engine.output()).toBeNull();
  });

  test("close behind a complete exchange resets nothing", () => {
    const server = new TestServer(ok);
    server.receive(GET);
    server.output();
    server.engine.receiveClose("");
    expect(server.last().error).toBeNull();
  });

  test("drain: idle closes at once, a request in progress is told", () => {
    const idle = new TestServer();
    idle.engine.drain();
    expect(idle.host.finished).toBe(true);

    const busy = new TestServer();
    busy.receive(GET);
    busy.engine.drain();
    expect(busy.host.finished).toBe(false);
    busy.last().stream.respond(response(200, ["date", "x"]), true);
    expect(busy.output()).toBe("HTTP/1.1 200 OK\r\ndate: x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    expect(busy.host.finished).toBe(true);
    busy.receive(GET);
    expect(busy.requests).toHaveLength(1);
  });
});

describe("upgrade", () => {
  const UPGRADE = "GET /ws HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
  const switching = response(101, ["connection", "upgrade", "upgrade", "websocket"]);

  test("101: bytes behind the request are kept for the owner", () => {
    const server = new TestServer();
    server.receive(`${UPGRADE}early`);
    server.last().stream.respond(switching, false);
    expect(server.output()).toBe("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
    server.receive(" late");
    const { leftover, ended } = server.engine.takeOver();
    expect(new TextDecoder().decode(leftover)).toBe("early late");
    expect(ended).toBe(false);
    server.engine.receiveClose("");
    expect(server.last().error).toBeNull();
  });

  test("a request smuggled behind an upgrade is not read before the response (CVE-2026-2833)", () => {
    const server = new TestServer();
    server.receive(UPGRADE + GET);
    expect(server.requests).toHaveLength(1);
    expect(server.output()).toBe("");
    // Refused upgrade: it was a pipelined request after all.
    ok(server.last());
    server.output();
    expect(server.requests).toHaveLength(2);
  });

  test("CONNECT: a tunnel on 2xx, without framing", () => {
    const server = new TestServer();
    server.receive("CONNECT b:443 HTTP/1.1\r\nhost: b:443\r\n\r\nclient hello");
    expect(server.last().head.form).toBe("authority");
    expect(server.last().head.authority).toBe("b:443");
    server.last().stream.respond(response(200, ["date", "x", "content-length", "5", "transfer-encoding", "chunked"]), false);
    expect(server.output()).toBe("HTTP/1.1 200 OK\r\ndate: x\r\n\r\n");
    expect(new TextDecoder().decode(server.engine.takeOver().leftover)).toBe("client hello");
  });

  test("CONNECT refused is an ordinary exchange", () => {
    const server = new TestServer();
    server.receive("CONNECT b:443 HTTP/1.1\r\nhost: b:443\r\n\r\n");
    server.last().stream.respond(response(403, ["date", "x"]), true);
    expect(server.output()).toBe("HTTP/1.1 403 Forbidden\r\ndate: x\r\ncontent-length: 0\r\n\r\n");
    expect(() => server.engine.takeOver()).toThrow("no upgrade");
  });

  test("bytes held for the upgrade pause reading", () => {
    const server = new TestServer();
    server.receive(UPGRADE);
    server.receive("x".repeat(MAX_HELD_BYTES + 1));
    expect(server.host.paused).toBe(true);
  });
});
