// The client side of an HTTP/2 connection against a server that sends anything.
import { type ClientStream, ErrorCode, RequestHead } from "#http";
import { Http2Client } from "#http2";
import { drain, Received } from "../harness/exchange.ts";
import { Host } from "../harness/host.ts";
import { Flag, FrameType, frame, Peer, someFields } from "../harness/http2.ts";
import { Conversation, pool } from "../harness/http2-conversation.ts";
import { Choices, everyCut } from "../input.ts";
import { bytesOf, check, same, type Target } from "../target.ts";

const target: Target = {
  name: "http2-client",
  what: "HTTP/2 client against any server: each request ends once, as answered or failed; RFC 9113, both windows and the bounds hold",
  maxBytes: 1024,
  seeds: [
    // Options, then steps: a request that is answered; one with content and an answer with trailers; resets, GOAWAY, limits.
    "\0\0\x0a\x00\x01\x00\x0b\x00\x00\x01\x01\x00\x02\x01",
    "\0\0\x00\x00\x0d\x00\x03\x01\x0b\x00\x00\x01\x00\x00\x03\x02\x00\x01\x00",
    "\x06\0\x04\x01\x01\x00\x00\x0d\x00\x04\x00\x05\x01\x00\x01\x0d\x00\x00\x01\x0b\x00\x00",
    "\0\0\x00\x01\x00\x01\x00\x01\x04\x01\x07\x03\x01\x07\x08\x01\x00\x00\x01",
    // Smallest connection window: content that is not consumed, then a reset by either side, then content that comes too late.
    "\x20\0\x00\x01\x0b\x00\x00\x00\x01\x00\x00\x04\x03\x00\x08\x01\x00\x00\x04",
    "\x20\0\x00\x01\x0b\x00\x00\x00\x01\x00\x00\x04\x0c\x00\x00\x01\x00\x00\x04",
    "\x02\0\x00\x01\x0c\x00\x67\x0b\x00\x05\x01\x00\x00\x03\x14\x12",
  ],
  dictionary: ["\x0b\x00\x00", "\x01\x00\x01\x02", "\x00\x01", "\x0d\x00\x03\x01"],
  run(input) {
    const conversation = new ClientConversation(new Choices(input));
    conversation.run();
    everyCut(bytesOf(conversation.sent), ask, same);
  },
};
export default target;

type Asked = { readonly stream: ClientStream; readonly in: Received; content: string; finished: boolean; over: boolean };

const head = (method: string, fields: readonly string[] = []): RequestHead =>
  new RequestHead({ version: "HTTP/2", method, form: "origin", scheme: "http", authority: "a.test", path: "/", fields });
// Shared, as the proxy shares heads: what is kept with them must not leak between connections.
const HEADS = [
  head("GET"),
  head("POST", ["x-a", "1"]),
  head("HEAD"),
  head("PUT", ["cookie", "a=b", "te", "trailers"]),
  head("GET", ["authorization", "s"]),
];

class ClientConversation extends Conversation {
  readonly engine: Http2Client;
  readonly peer: Peer;
  readonly #asked: Asked[] = [];
  /** What `ready` was when the owner was last told. */
  #retiredTold = false;

  constructor(choices: Choices) {
    super(choices);
    this.peer = new Peer({ ofServer: false, connectionWindow: this.connectionWindow, lazy: this.lazy });
    this.engine = new Http2Client({
      host: this.host,
      options: { ...this.engineOptions(), initialMaxSendStreams: (this.options & 8) !== 0 ? 2 : 100 },
    });
    this.engine.onStateChange = () => {
      if (this.engine.retired) this.#retiredTold = true;
    };
    if ((this.options & 16) === 0) this.send(this.peer.settings([]));
  }

  protected override step(kind: number): void {
    const { choices } = this;
    const one = kind >= 12 && kind <= 17 ? this.#one() : null;
    switch (kind) {
      case 0:
        this.#request(choices.byte());
        break;
      case 11: {
        const flags = Flag.END_HEADERS | (choices.byte() & Flag.END_STREAM);
        const status = choices.of(["200", "204", "304", "100", "103", "101", "500", "20", "999"]);
        const id = this.streamId();
        this.send(frame(FrameType.HEADERS, flags, id, this.peer.block([":status", status, ...someFields(choices)])));
        break;
      }
      case 12:
        one?.stream.reset(choices.of([ErrorCode.CANCEL, ErrorCode.NO_ERROR]));
        if (one !== null) one.over = true;
        break;
      case 13: {
        if (one === null) break;
        const text = this.content(one.content.length);
        const end = choices.bool();
        if (text === "" && !end) break;
        if (!one.finished && !one.over && one.in.error === null) {
          one.content += text;
          one.finished = end;
        }
        one.stream.write(bytesOf(text), end);
        break;
      }
      case 14:
        if (one === null) break;
        one.finished = true;
        one.stream.trailers(["x-trailer", "1"]);
        break;
      case 15:
      case 16:
        one?.stream.consume(choices.below(64) * 64);
        break;
      case 17:
        one?.stream.consume(one.in.body.length);
        break;
      default:
        this.anyFrame(kind);
    }
  }

  protected override afterStep(): void {
    const { engine } = this;
    check(!engine.retired || !engine.ready, "ready and retired at once");
    check(!engine.retired || this.#retiredTold, "retired without telling");
    // One is closed when both messages are: of ours all content is out, whatever the windows were.
    const closed = (one: Asked): boolean => one.in.ended && one.finished && one.in.written === one.content.length;
    const open = this.#asked.filter((one) => !one.over && one.in.error === null && !closed(one)).length;
    check(engine.activeStreams <= open || this.lazy, () => `${engine.activeStreams} streams for ${open} requests`);
  }

  protected override finishMessages(): void {
    for (const one of this.#asked) {
      one.stream.consume(one.in.body.length);
      if (one.finished || one.over || one.in.error !== null) continue;
      one.finished = true;
      one.stream.write(new Uint8Array(0), true);
    }
  }

  protected override checkMessages(settled: boolean): void {
    const views = [...this.peer.streams.entries()].filter(([, view]) => view.head !== null);
    for (const one of this.#asked) {
      const view = this.peer.streams.get((one.stream as unknown as { id: number }).id);
      check(one.in.written <= one.content.length, "more is said to be written than was");
      if (view === undefined) continue;
      check(one.content.startsWith(view.content), "other content than was written");
      check(!view.ended || one.finished, "a message ends that nobody ended");
      // A server that answers early may not want the rest.
      if (!settled || one.over || one.in.error !== null || view.gone) continue;
      same([view.content.length, view.ended], [one.content.length, true], "a finished message with all windows open");
    }
    check(views.length <= this.#asked.length, "more streams than requests");
  }

  protected override checkReleased(): void {
    check(this.engine.retired && !this.engine.ready, "a closed connection takes requests");
    for (const one of this.#asked) check(one.in.error !== null || one.in.ended || one.over, "a request neither answered nor failed");
  }

  protected override openForData(): number | null {
    if (!this.engine.ready) return null;
    this.#request(1);
    this.read(true);
    const { stream } = this.#asked[this.#asked.length - 1] as Asked;
    const { id } = stream as unknown as { id: number };
    this.send(frame(FrameType.HEADERS, Flag.END_HEADERS, id, this.peer.block([":status", "200"])));
    return id;
  }

  #one(): Asked | null {
    const which = this.choices.byte();
    return this.#asked.length === 0 ? null : (this.#asked[this.#asked.length - 1 - (which % this.#asked.length)] as Asked);
  }

  #request(which: number): void {
    const { engine } = this;
    if (!engine.ready) return;
    const end = (which & 1) === 1;
    const received = new Received();
    let within = true;
    received.onEnd = () => check(!within, "called within `request`");
    const stream = engine.request(HEADS[(which >> 1) % HEADS.length] as RequestHead, end, received);
    within = false;
    check(received.error === null, "failed within `request`");
    this.#asked.push({ stream, in: received, content: "", finished: end, over: false });
  }
}

/** What comes of the server's bytes alone, with three requests made before. */
function ask(pieces: Iterable<Uint8Array>): unknown {
  const host = new Host();
  const client = new Http2Client({ host, options: { pool, now: () => 0 } });
  const requests = [HEADS[0], HEADS[1], HEADS[2]].map((one) => {
    const received = new Received();
    const stream = client.request(one as RequestHead, true, received);
    received.onChunk = (n) => stream.consume(n);
    return received;
  });
  drain(client);
  for (const piece of pieces) client.receive(piece);
  const { ready, retired } = client;
  const out = drain(client);
  client.receiveClose("");
  check(client.activeStreams === 0, "streams outlive their connection");
  return {
    // Windows are given back in other portions.
    goaway: out.includes("\x07\0\0\0\0\0"),
    ready,
    retired,
    finished: host.finished,
    requests: requests.map(({ response, informational, body, ended, trailers, error }) => [
      response === null ? null : [response.status, response.fields],
      informational,
      body,
      ended,
      trailers,
      error,
    ]),
  };
}
