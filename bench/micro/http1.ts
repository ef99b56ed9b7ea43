// Question: what does an exchange cost in the HTTP/1 engines, without sockets? Per side, with heads that repeat and with heads
// that never do; the size of the head and of the answer are those of the chain in bench/README.md.
//   node scripts/run.mjs bench/micro/http1.ts [EXCHANGES]
import { type EngineHost, type Incoming, RequestHead, ResponseHead, type ResponseIncoming, type ServerStream } from "#http";
import { Http1Client, Http1Server, HttpDate, requestHeadCache, responseHeadCache } from "#http1";

const exchanges = Number(process.argv[2] ?? 1_000_000);
const host: EngineHost = { scheduleFlush() {}, pauseReading() {}, resumeReading() {}, finish() {}, abort() {} };
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const body = bytes("x".repeat(100));

const requestText = (path: string): string =>
  `GET ${path} HTTP/1.1\r\nHost: web.emojivoto.svc.cluster.local\r\nUser-Agent: wrk/4.1.0\r\nAccept: */*\r\nAccept-Encoding: gzip\r\n\r\n`;
const responseText = (tag: string): string =>
  `HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Tue, 15 Nov 1994 08:12:31 GMT\r\nContent-Type: text/plain\r\nContent-Length: 100\r\nETag: "${tag}"\r\n\r\n`;

/** Distinct inputs, built ahead so that building them is not measured; more than the caches hold. */
const DISTINCT = 20_000;

function inputs(text: (tag: string) => string, tail: Uint8Array, distinct: boolean): Uint8Array[] {
  return Array.from({ length: distinct ? DISTINCT : 1 }, (_, i) => {
    const head = bytes(text(distinct ? `/api/vote/${i}` : "/api/vote"));
    const out = new Uint8Array(head.length + tail.length);
    out.set(head);
    out.set(tail, head.length);
    return out;
  });
}

const NOTHING: Incoming = { onData() {}, onTrailers() {}, onWritten() {}, onReset() {} };

function server(distinct: boolean): number {
  const data = inputs(requestText, new Uint8Array(0), distinct);
  const heads = data.map(
    (_, i) =>
      new ResponseHead({
        version: "HTTP/2",
        status: 200,
        reason: null,
        fields: [
          "server",
          "nginx",
          "date",
          "Tue, 15 Nov 1994 08:12:31 GMT",
          "content-type",
          "text/plain",
          "content-length",
          "100",
          "etag",
          String(i),
        ],
      }),
  );
  let stream: ServerStream | undefined;
  const engine = new Http1Server({
    host,
    cache: requestHeadCache(),
    date: new HttpDate({ now: () => Date.now() }),
    handler: {
      onRequest(s) {
        stream = s;
        return NOTHING;
      },
    },
  });
  return time(exchanges, (i) => {
    engine.receive(data[i % data.length] as Uint8Array);
    const head = heads[i % heads.length] as ResponseHead;
    if (distinct) head.encoded = null;
    stream?.respond(head, false);
    stream?.write(body, true);
    return engine.output()?.length ?? 0;
  });
}

function client(distinct: boolean): number {
  const data = inputs(responseText, body, distinct);
  const heads = data.map(
    (_, i) =>
      new RequestHead({
        version: "HTTP/1.1",
        method: "GET",
        form: "origin",
        scheme: null,
        authority: null,
        path: `/api/vote/${i}`,
        fields: ["host", "web.emojivoto.svc.cluster.local", "user-agent", "wrk/4.1.0", "accept", "*/*", "accept-encoding", "gzip"],
      }),
  );
  const incoming: ResponseIncoming = { ...NOTHING, onInformational() {}, onResponse() {} };
  const engine = new Http1Client({ host, cache: responseHeadCache() });
  return time(exchanges, (i) => {
    const head = heads[i % heads.length] as RequestHead;
    if (distinct) head.encoded = null;
    engine.request(head, true, incoming);
    const written = engine.output()?.length ?? 0;
    engine.receive(data[i % data.length] as Uint8Array);
    return written;
  });
}

/** Best of five runs, ns per call: the others were disturbed. */
function time(n: number, run: (i: number) => number): number {
  let best = Number.POSITIVE_INFINITY;
  let check = 0;
  for (let r = 0; r < 5; r++) {
    const start = process.hrtime.bigint();
    for (let i = 0; i < n; i++) check += run(i);
    best = Math.min(best, Number(process.hrtime.bigint() - start) / n);
  }
  if (check === 0) throw new Error("nothing was written");
  return best;
}

for (const [side, run] of [
  ["server", server],
  ["client", client],
] as const)
  for (const distinct of [false, true])
    console.log(
      `${side}  ${distinct ? "heads never repeat" : "heads repeat      "}  ${run(distinct).toFixed(0).padStart(6)} ns per exchange`,
    );
