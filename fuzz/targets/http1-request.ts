// HTTP/1 requests: the server engine on arbitrary bytes.
import { OutputPool, RequestHead, ResponseHead, stripHopByHop, wantsUpgrade } from "#http";
import { Http1Client, Http1Server, HttpDate, requestHeadCache, responseHeadCache } from "#http1";
import { drain, type Exchange, Handler, Received } from "../harness/exchange.ts";
import { Host } from "../harness/host.ts";
import { everyCut } from "../input.ts";
import { bytesOf, check, same, type Target } from "../target.ts";

const target: Target = {
  name: "http1-request",
  what: "HTTP/1 requests: the same however cut; what is accepted goes to the next hop as one request that reads the same",
  maxBytes: 4096,
  seeds: [
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET http://a.b:80/c?d HTTP/1.1\r\nHost: a.b\r\n\r\n",
    "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\nraw",
    "OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET /y HTTP/1.1\r\nHost: a\r\n\r\n",
    'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\n\r\n5;a="b\\"c"\r\nhello\r\n0\r\nX: 1\r\n\r\n',
    "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n",
    "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, x-a\r\nUpgrade: websocket\r\nX-A: 1\r\n\r\n\x81\x05hello",
    "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\nCookie: a=b\r\nCookie: c=d\r\n\r\nabc",
    "\r\n\r\nGET /%7e/..;/é HTTP/1.1\r\nHost: [::1]:80\r\nX:\t obs \xff text \t\r\n\r\n",
    // Spec hardening §2.
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;\nxx\r\n4c\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello",
  ],
  dictionary: [
    "GET ",
    "POST ",
    "CONNECT ",
    "OPTIONS *",
    "HEAD ",
    " HTTP/1.1\r\n",
    " HTTP/1.0\r\n",
    "http://",
    "Host: a\r\n",
    "Content-Length: ",
    "Transfer-Encoding: ",
    "chunked",
    "Connection: ",
    "close",
    "keep-alive",
    "Upgrade: ",
    "websocket",
    "h2c",
    "Expect: 100-continue",
    "TE: trailers\r\n",
    "Trailer: ",
    "Cookie: ",
    "0\r\n\r\n",
    "\r\n\r\n",
    "identity",
    "gzip, chunked",
    "Proxy-Connection: ",
    "l5d-orig-proto: ",
    "content_length: ",
  ], // prettier-ignore
  run(input) {
    // Shared by all runs: heads read before must come out of the cache as they would be read again.
    const cache = requestHeadCache();
    const outcome = everyCut(
      input,
      (pieces) => serve(pieces, cache),
      (actual, expected, what) => same(actual.text, expected.text, what),
    );
    for (const exchange of outcome.exchanges) if (exchange.in.ended) forward(exchange, cache);
  },
};
export default target;

const date = new HttpDate({ now: () => 784887151000 });
const pool = new OutputPool();

type Cache = ReturnType<typeof requestHeadCache>;

function server(cache: Cache, answer: (exchange: Exchange) => void): { engine: Http1Server; handler: Handler; host: Host } {
  const host = new Host();
  const handler = new Handler(answer);
  return { engine: new Http1Server({ handler, host, pool, cache, date }), handler, host };
}

/** What becomes of these bytes. */
function serve(pieces: Iterable<Uint8Array>, cache: Cache): { text: unknown; exchanges: readonly Exchange[] } {
  const { engine, handler, host } = server(cache, (exchange) => {
    const answer = (): void => {
      exchange.stream.respond(new ResponseHead({ version: "HTTP/1.1", status: 200, reason: null, fields: ["date", "x"] }), false);
      exchange.stream.write(bytesOf(`${exchange.head.method} ${exchange.in.body.length}`), true);
    };
    exchange.in.onChunk = (n) => exchange.stream.consume(n);
    if (exchange.in.ended) answer();
    else exchange.in.onEnd = answer;
  });
  let out = "";
  for (const piece of pieces) {
    if (host.open) engine.receive(piece);
    out += drain(engine);
  }
  if (host.open) engine.receiveEnd();
  out += drain(engine);
  engine.receiveClose("");
  check(engine.activeStreams === 0, "an exchange outlives its connection");
  check(!host.paused || !host.open, "reading stays paused");
  const exchanges = handler.exchanges.map(({ head, in: received }) => {
    check(received.ended || received.error !== null, "a request neither ended nor reset");
    return [head.method, head.form, head.path, head.fields, received.body, received.ended, received.trailers, received.error?.kind];
  });
  // A head that is too large and malformed is refused for what is seen first.
  out = out.replace(/HTTP\/1\.1 (?:400|414|431) [^\r]*/, "HTTP/1.1 400");
  const text = { out, faults: handler.faults.length, finished: host.finished, aborted: host.aborted, exchanges };
  return { text, exchanges: handler.exchanges };
}

/** Sends an accepted request on as the proxy does, and has it read again: exactly one request may come out, and the same. */
function forward({ head, in: { body, trailers } }: Exchange, cache: Cache): void {
  const next = server(cache, (exchange) => {
    exchange.in.onChunk = (n) => exchange.stream.consume(n);
  });
  const sent = wantsUpgrade(head) ? head : new RequestHead({ ...head, fields: stripHopByHop(head.fields) });
  const answer = new Received();
  const client = new Http1Client({ host: new Host(), pool, cache: responseHeadCache() });
  const whole = body === "" && trailers === null;
  const stream = client.request(sent, whole, answer);
  const wire = [drain(client)];
  if (!whole) {
    if (body !== "") stream.write(bytesOf(body), trailers === null);
    if (trailers !== null) stream.trailers(trailers);
    wire.push(drain(client));
  }
  check(answer.error === null, () => `accepted, but cannot be sent on: ${JSON.stringify(answer.error)}`);
  next.engine.receive(bytesOf(wire.join("")));
  check(next.handler.faults.length === 0, () => `sent on, it is refused: ${next.handler.faults[0]}`);
  // Whatever is held as a further request would show now.
  const first = next.handler.exchanges[0];
  if (first?.in.ended === true && !wantsUpgrade(first.head)) {
    first.stream.respond(new ResponseHead({ version: "HTTP/1.1", status: 204, reason: null, fields: [] }), true);
    drain(next.engine);
  }
  check(next.handler.exchanges.length === 1, () => `one request became ${next.handler.exchanges.length}`);
  const { head: read, in: received } = next.handler.exchanges[0] as Exchange;
  check(received.ended, "sent on, it has no end");
  same(
    [read.method, read.form, read.scheme, read.authority, read.path],
    [head.method, head.form, head.scheme, head.authority, head.path],
    "target sent on",
  );
  same(received.body, body, "content sent on");
  same(messageFields(read.fields), messageFields(sent.fields), "fields sent on");
  next.engine.receiveClose("");
}

/** Fields in order but for those that framing and HTTP/1 rewrite. */
function messageFields(fields: readonly string[]): string[] {
  const lines: string[] = [];
  const cookies: string[] = [];
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string;
    if (name === "cookie") cookies.push(...[fields[i + 1] as string].filter((value) => value !== ""));
    else if (name !== "content-length" && name !== "transfer-encoding" && name !== "host") lines.push(`${name}: ${fields[i + 1]}`);
  }
  return [...lines, cookies.join("; ")];
}
