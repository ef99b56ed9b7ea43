// HTTP/1 responses: the client engine on arbitrary bytes.
import { OutputPool, RequestHead, ResponseHead, stripHopByHop } from "#http";
import { Http1Client, Http1Server, HttpDate, requestHeadCache, responseHeadCache } from "#http1";
import { drain, Handler, Received } from "../harness/exchange.ts";
import { Host } from "../harness/host.ts";
import { everyCut } from "../input.ts";
import { bytesOf, check, same, type Target } from "../target.ts";

const target: Target = {
  name: "http1-response",
  what: "HTTP/1 responses: the same however cut; what is accepted goes to the client as one response that reads the same",
  maxBytes: 4096,
  seeds: [
    "0HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "0HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: 1\r\n\r\n",
    "0HTTP/1.0 200 OK\r\n\r\nuntil the end",
    "1HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n",
    "2HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x05hello",
    "3HTTP/1.1 200 OK\r\n\r\nraw",
    "0HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    "0HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
  ],
  dictionary: [
    "HTTP/1.1 ",
    "HTTP/1.0 ",
    "200 OK\r\n",
    "100 Continue\r\n\r\n",
    "204",
    "304",
    "101",
    "Content-Length: ",
    "Transfer-Encoding: chunked\r\n",
    "Connection: ",
    "close",
    "keep-alive",
    "Upgrade: websocket\r\n",
    "0\r\n\r\n",
    "\r\n\r\n",
    "Set-Cookie: ",
    "Trailer: ",
  ],
  run(input) {
    if (input.length === 0) return;
    const request = REQUESTS[(input[0] as number) % REQUESTS.length] as RequestHead;
    const cache = responseHeadCache();
    const answer = everyCut(
      input.slice(1),
      (pieces) => ask(pieces, request, cache),
      (actual, expected, what) => same(actual.text, expected.text, what),
    );
    if (answer.seen.ended && answer.seen.response !== null) forward(request, answer.seen);
  },
};
export default target;

const date = new HttpDate({ now: () => 784887151000 });
const pool = new OutputPool();
const http1 = (method: string, fields: readonly string[]): RequestHead =>
  new RequestHead({
    version: "HTTP/1.1",
    method,
    form: method === "CONNECT" ? "authority" : "origin",
    scheme: null,
    authority: method === "CONNECT" ? "a:1" : null,
    path: method === "CONNECT" ? "" : "/",
    fields: ["host", method === "CONNECT" ? "a:1" : "a", ...fields],
  });
const REQUESTS = [
  http1("GET", []),
  http1("HEAD", []),
  http1("GET", ["connection", "upgrade", "upgrade", "websocket"]),
  http1("CONNECT", []),
];

function ask(
  pieces: Iterable<Uint8Array>,
  request: RequestHead,
  cache: ReturnType<typeof responseHeadCache>,
): { text: unknown; seen: Received } {
  const host = new Host();
  const client = new Http1Client({ host, pool, cache });
  const seen = new Received();
  const stream = client.request(request, true, seen);
  seen.onChunk = (n) => stream.consume(n);
  drain(client);
  for (const piece of pieces) if (host.open) client.receive(piece);
  const { ready, retired } = client;
  check(!ready || (seen.ended && !retired), "ready before the response has ended");
  if (host.open) client.receiveEnd();
  client.receiveClose("");
  const tunnel = seen.response !== null && (seen.response.status === 101 || (request.method === "CONNECT" && seen.response.status < 300));
  check(seen.ended || seen.error !== null || tunnel, "a request neither answered nor failed");
  const { response, informational, body, ended, trailers, error } = seen;
  const head = response === null ? null : [response.version, response.status, response.reason, response.fields];
  return { text: { ready, retired, head, informational, body, ended, trailers, error: error?.kind }, seen };
}

/** Sends an accepted response on as the proxy does, and has it read again. */
function forward(request: RequestHead, { response, body, trailers }: Received): void {
  const head = response as ResponseHead;
  const sent = new ResponseHead({ ...head, version: "HTTP/1.1", fields: stripHopByHop(head.fields) });
  const handler = new Handler(({ stream }) => {
    const none = body === "" && trailers === null;
    stream.respond(sent, none);
    if (body !== "") stream.write(bytesOf(body), trailers === null);
    if (trailers !== null) stream.trailers(trailers);
  });
  const host = new Host();
  const server = new Http1Server({ handler, host, pool, cache: requestHeadCache(), date });
  const client = new Http1Client({ host: new Host(), pool, cache: responseHeadCache() });
  const again = new Received();
  const asked = new RequestHead({ ...request, fields: [...request.fields, "te", "trailers"] });
  const stream = client.request(asked, true, again);
  again.onChunk = (n) => stream.consume(n);
  server.receive(bytesOf(drain(client)));
  check(handler.faults.length === 0, () => `accepted, but cannot be sent on: ${handler.faults[0]}`);
  client.receive(bytesOf(drain(server)));
  if (!host.open) client.receiveEnd();
  check(again.error === null && again.ended, () => `sent on, it fails: ${JSON.stringify(again.error)}`);
  same(
    [again.response?.status, again.response?.reason],
    [head.status, head.reason === null || head.reason === "" ? again.response?.reason : head.reason],
    "status line sent on",
  );
  same(again.body, body, "content sent on");
  same(again.trailers, trailers, "trailers sent on");
  const lines = (fields: readonly string[]): string[] =>
    fields.flatMap((name, i) =>
      i % 2 === 0 && !/^(?:content-length|transfer-encoding|date|connection)$/.test(name) ? [`${name}: ${fields[i + 1]}`] : [],
    );
  same(lines(again.response?.fields ?? []), lines(sent.fields), "fields sent on");
}
