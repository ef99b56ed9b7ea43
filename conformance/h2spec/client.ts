// A client for h2specd: one GET by the HTTP/2 client engine, then waits for the connection to end.
//
//     bun conformance/h2spec/client.ts http://127.0.0.1:PORT/
import { RequestHead, type ResponseIncoming } from "#http";
import { Http2Client } from "#http2";
import { dial } from "../../packages/http2/testing/loopback.ts";

/** h2specd lets a case take three seconds. */
const LIFETIME_MS = 1500;

const url = new URL(process.argv[2] ?? "");
const { engine, socket } = await dial(Number(url.port), (host) => new Http2Client({ host }));
const timer = setTimeout(() => socket.destroy(), LIFETIME_MS);
socket.on("close", () => clearTimeout(timer));

const incoming: ResponseIncoming = {
  onInformational() {},
  onResponse() {},
  onData(chunk) {
    stream.consume(chunk.length);
  },
  onTrailers() {},
  onWritten() {},
  onReset() {},
};
const head = new RequestHead({
  version: "HTTP/2",
  method: "GET",
  form: "origin",
  scheme: "http",
  authority: url.host,
  path: url.pathname,
  fields: [],
});
const stream = engine.request(head, true, incoming);
