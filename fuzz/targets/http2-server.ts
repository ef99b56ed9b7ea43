// The server side of an HTTP/2 connection: a sequence of frames and of the application's calls, read off the input.
import { ErrorCode, ResponseHead } from "#http";
import { Http2Server } from "#http2";
import { drain, type Exchange, Handler } from "../harness/exchange.ts";
import { Host } from "../harness/host.ts";
import { Flag, FrameType, frame, Peer, PREFACE, requestFields, someFields } from "../harness/http2.ts";
import { Conversation, pool } from "../harness/http2-conversation.ts";
import { Choices, everyCut } from "../input.ts";
import { bytesOf, check, same, type Target } from "../target.ts";

const target: Target = {
  name: "http2-server",
  what: "HTTP/2 server: any frames and calls in any order keep RFC 9113, both windows, the bounds; nothing is stuck, all is released",
  maxBytes: 1024,
  seeds: [
    // Options, then steps: a GET that is answered; a POST with content and trailers; floods of settings and windows.
    "\0\0\x00\x00\x00\x00\x0c\x00\x00",
    "\0\0\x00\x01\x01\x00\x00\x00\x0c\x00\x00\x01\x00\x03\x01\x0d\x00\x03\x01\x10\x00\x05",
    "\x03\x02\x04\x01\x00\x00\x00\x00\x00\x0c\x00\x00\x0d\x00\x04\x00\x05\x00\x02\x05\x01\x02\x0d\x00\x03\x01",
    "\x08\x01\x00\x00\x00\x00\x03\x00\x08\x00\x00\x00\x03\x01\x08\x12\x06\x01\x0c\x00\x01\x15",
    // Smallest connection window: content that is not consumed, then a reset by either side, then content that comes too late.
    "\x20\0\x00\x00\x00\x00\x01\x00\x00\x04\x03\x00\x08\x01\x00\x00\x04",
    "\x20\0\x00\x00\x00\x00\x01\x00\x00\x04\x0f\x00\x00\x01\x00\x00\x04",
    "\0\0\x0b\x01\x40\x00\x00\x09\x0c\x40\x09\x03abc",
  ],
  dictionary: ["\x00\x00\x00\x00", "\x0c\x00\x00", "\x0d\x00\x04\x01", "\x05\x00\x03", "\x04\x01\x04\x00"],
  run(input) {
    const conversation = new ServerConversation(new Choices(input));
    conversation.run();
    everyCut(bytesOf(conversation.sent), serve, same);
  },
};
export default target;

/** What the application has said of one exchange. */
type Said = { content: string; responded: boolean; finished: boolean; over: boolean };

class ServerConversation extends Conversation {
  readonly engine: Http2Server;
  readonly peer: Peer;
  readonly #handler: Handler;
  readonly #said = new Map<Exchange, Said>();
  readonly #maxStreams: number;
  #nextId = 1;

  constructor(choices: Choices) {
    super(choices);
    this.#maxStreams = (this.options & 8) !== 0 ? 2 : 100;
    this.peer = new Peer({ ofServer: true, connectionWindow: this.connectionWindow, lazy: this.lazy });
    this.#handler = new Handler((exchange) => {
      this.#said.set(exchange, { content: "", responded: false, finished: false, over: false });
      // At once, as a proxy does that refuses.
      if ((this.options & 16) !== 0) this.#respond(exchange, true);
    });
    this.engine = new Http2Server({
      host: this.host,
      handler: this.#handler,
      options: { ...this.engineOptions(), maxConcurrentStreams: this.#maxStreams },
    });
    this.send(PREFACE);
    this.send(this.peer.settings([]));
  }

  protected override step(kind: number): void {
    const { choices } = this;
    switch (kind) {
      case 0: {
        this.#request(choices.bool());
        return;
      }
      case 11: {
        this.#splitRequest();
        return;
      }
      case 12: {
        const exchange = this.#exchange();
        if (exchange !== null) this.#respond(exchange, choices.bool());
        return;
      }
      case 13: {
        const exchange = this.#exchange();
        if (exchange === null) return;
        const said = this.#said.get(exchange) as Said;
        const text = this.content(said.content.length);
        const end = choices.bool();
        if (!said.responded || (text === "" && !end)) return;
        if (!said.finished && !said.over && exchange.in.error === null) {
          said.content += text;
          said.finished = end;
        }
        exchange.stream.write(bytesOf(text), end);
        return;
      }
      case 14: {
        const exchange = this.#exchange();
        if (exchange === null || !this.#said.get(exchange)?.responded) return;
        (this.#said.get(exchange) as Said).finished = true;
        exchange.stream.trailers(["grpc-status", "0"]);
        return;
      }
      case 15: {
        const exchange = this.#exchange();
        if (exchange === null) return;
        (this.#said.get(exchange) as Said).over = true;
        exchange.stream.reset(choices.of([ErrorCode.CANCEL, ErrorCode.REFUSED_STREAM, ErrorCode.NO_ERROR]));
        return;
      }
      case 16: {
        this.#exchange()?.stream.consume(choices.below(64) * 64);
        return;
      }
      case 17: {
        this.#exchange()?.stream.informational(new ResponseHead({ version: "HTTP/2", status: 103, reason: null, fields: ["link", "a"] }));
        return;
      }
      default:
        this.anyFrame(kind);
    }
  }

  protected override afterStep(): void {
    check(this.engine.activeStreams <= this.#maxStreams, () => `${this.engine.activeStreams} streams, ${this.#maxStreams} are allowed`);
    const open = this.#handler.exchanges.filter(({ in: received }) => received.error === null).length;
    check(this.engine.activeStreams <= open, "more streams than exchanges");
  }

  protected override finishMessages(): void {
    for (const exchange of this.#handler.exchanges) {
      exchange.stream.consume(exchange.in.body.length);
      const said = this.#said.get(exchange) as Said;
      if (!said.responded) this.#respond(exchange, false);
      if (!said.finished && !said.over && exchange.in.error === null) {
        said.finished = true;
        exchange.stream.write(new Uint8Array(0), true);
      }
    }
  }

  protected override checkMessages(settled: boolean): void {
    for (const exchange of this.#handler.exchanges) {
      const { stream, in: received } = exchange;
      const said = this.#said.get(exchange) as Said;
      const view = this.peer.streams.get((stream as unknown as { id: number }).id);
      check(view !== undefined, "an exchange on a stream nobody opened");
      check(said.content.startsWith(view.content), "other content than was written");
      check(received.written <= said.content.length, "more is said to be written than was");
      check(!view.ended || said.finished, "a message ends that nobody ended");
      if (!settled || said.over || received.error !== null || view.gone) continue;
      same([view.content.length, view.ended], [said.content.length, true], "a finished message with all windows open");
      same(received.written, said.content.length, "credit for what was written");
    }
  }

  protected override checkReleased(): void {
    for (const exchange of this.#handler.exchanges) {
      const said = this.#said.get(exchange) as Said;
      check(exchange.in.error !== null || exchange.in.ended || said.over, "an exchange neither ended nor reset");
    }
  }

  protected override openForData(): number | null {
    const id = this.#nextId;
    this.#request(false);
    return id;
  }

  #exchange(): Exchange | null {
    const { exchanges } = this.#handler;
    const which = this.choices.byte();
    return exchanges.length === 0 ? null : (exchanges[exchanges.length - 1 - (which % exchanges.length)] as Exchange);
  }

  #respond(exchange: Exchange, end: boolean): void {
    const said = this.#said.get(exchange) as Said;
    if (!said.responded && !said.over) {
      said.responded = true;
      said.finished = end;
    }
    exchange.stream.respond(
      new ResponseHead({ version: "HTTP/2", status: 200, reason: null, fields: ["x", String(exchange.head.path.length)] }),
      end,
    );
  }

  #request(end: boolean): void {
    const id = this.#nextId;
    this.#nextId += 2;
    this.peer.open(id);
    this.send(frame(FrameType.HEADERS, Flag.END_HEADERS | (end ? Flag.END_STREAM : 0), id, this.peer.block(requestFields(this.choices))));
  }

  /** A block in HEADERS and CONTINUATION, with padding and priority. */
  #splitRequest(): void {
    const { choices } = this;
    const id = this.#nextId;
    this.#nextId += 2;
    this.peer.open(id);
    const flags = choices.byte() & (Flag.PADDED | Flag.PRIORITY | Flag.END_STREAM);
    const at = choices.byte();
    const block = this.peer.block([...requestFields(choices), ...someFields(choices)]);
    const padding = (flags & Flag.PADDED) !== 0 ? choices.below(4) : 0;
    const head =
      ((flags & Flag.PADDED) !== 0 ? String.fromCharCode(padding) : "") + ((flags & Flag.PRIORITY) !== 0 ? "\0\0\0\x03\x10" : "");
    this.send(frame(FrameType.HEADERS, flags, id, `${head}${block.slice(0, at)}${"\0".repeat(padding)}`));
    this.send(frame(FrameType.CONTINUATION, 0, id, block.slice(at, at + 3)));
    this.send(frame(FrameType.CONTINUATION, Flag.END_HEADERS, id, block.slice(at + 3)));
  }
}

/** What comes of the client's bytes alone; output is read at the end, for it may be made in another order. */
function serve(pieces: Iterable<Uint8Array>): unknown {
  const host = new Host();
  const handler = new Handler(({ stream }) => {
    stream.respond(new ResponseHead({ version: "HTTP/2", status: 200, reason: null, fields: [] }), false);
    stream.write(Uint8Array.of(1, 2, 3), true);
  });
  const server = new Http2Server({ host, handler, options: { pool, now: () => 0 } });
  for (const piece of pieces) server.receive(piece);
  const out = drain(server);
  server.receiveClose("");
  check(server.activeStreams === 0, "streams outlive their connection");
  return {
    out,
    finished: host.finished,
    faults: handler.faults,
    exchanges: handler.exchanges.map(({ head, in: received }) => [
      [head.method, head.form, head.scheme, head.authority, head.path, head.fields],
      received.body,
      received.ended,
      received.trailers,
      received.error,
    ]),
  };
}
