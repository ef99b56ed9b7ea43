// A conversation with an HTTP/2 engine whose steps are read off the input: frames of the peer, calls of the application, time,
// output. What both sides have in common; see the targets http2-server and http2-client.
import { type Engine, OutputPool } from "#http";
import type { Http2Options } from "#http2";
import { type Choices, cut } from "../input.ts";
import { bytesOf, check } from "../target.ts";
import { drain } from "./exchange.ts";
import { Host } from "./host.ts";
import { Flag, FrameType, frame, type Peer, someFields, u32 } from "./http2.ts";

/** Shared: whoever reads what others have left in a buffer is found out. */
export const pool = new OutputPool();
const MAX_STEPS = 100;
const TIGHT = { burst: 4, perSecond: 1 };
const INCREMENTS = [1, 100, 0, 65_535, 0x7fffffff, 1000];
const SIZES = [0, 1, 5, 100, 1000, 16_384, 20_000, 3];
const SETTINGS: readonly (readonly [number, number])[] = [
  [4, 0],
  [4, 100],
  [4, 70_000],
  [4, 0x7fffffff],
  [1, 0],
  [1, 100],
  [1, 4096],
  [3, 1],
  [3, 0],
  [3, 100],
  [5, 16_384],
  [5, 100],
  [2, 0],
  [2, 1],
  [6, 100],
  [4, 0xffffffff],
  [99, 1],
];

export abstract class Conversation {
  abstract readonly engine: Engine & { drain(): void };
  abstract readonly peer: Peer;
  readonly choices: Choices;
  readonly host = new Host();
  /** Bits: 1 tight budgets, 2 lazy reading, 4 small windows, 32 smallest connection window, 64 frames in pieces; 8 and 16 are the target's. */
  readonly options: number;
  readonly lazy: boolean;
  readonly connectionWindow: number;
  /** Everything the peer has sent. */
  sent = "";
  #now = 0;
  #ended = false;

  constructor(choices: Choices) {
    this.choices = choices;
    this.options = choices.byte();
    this.lazy = (this.options & 2) !== 0;
    this.connectionWindow = (this.options & (4 | 32)) !== 0 ? 1 : 1_048_576;
    choices.byte();
  }

  protected engineOptions(): Http2Options {
    return {
      pool,
      now: () => this.#now,
      initialConnectionWindow: this.connectionWindow,
      ...((this.options & 4) !== 0 ? { initialStreamWindow: 1000, maxHeaderListBytes: 600 } : {}),
      ...((this.options & 1) !== 0
        ? {
            limits: {
              resets: TIGHT,
              settings: TIGHT,
              pings: TIGHT,
              emptyFrames: TIGHT,
              windowUpdates: TIGHT,
              settingsPerFrame: 3,
              headerBlockBytes: 400,
              continuations: 2,
            },
          }
        : {}),
    };
  }

  /** Steps 0 and 11 to 17 are the target's. */
  protected abstract step(kind: number): void;
  protected abstract afterStep(): void;
  /** Has the application consume all and end what it has not ended. */
  protected abstract finishMessages(): void;
  /** `settled`: every window is open and all output is read. */
  protected abstract checkMessages(settled: boolean): void;
  protected abstract checkReleased(): void;
  /** Opens a stream on which this end may send content; null when there can be none. */
  protected abstract openForData(): number | null;

  run(): void {
    for (let i = 0; i < MAX_STEPS && !this.choices.done; i++) {
      this.step(this.choices.below(24));
      this.read(!this.lazy);
      this.afterStep();
    }
    this.read(true);
    this.checkMessages(false);
    if (this.#alive && !this.#ended) this.#settle();
    const { engine, peer } = this;
    engine.receiveClose("");
    check(engine.activeStreams === 0, "streams outlive their connection");
    check(engine.output() === null, "output after the end");
    this.checkReleased();
    // Answers are shorter than what asks for them: nobody can be made to say much by saying little.
    check(peer.controlBytes <= 4 * this.sent.length + 2048, () => `${peer.controlBytes} bytes of control frames for ${this.sent.length}`);
  }

  send(bytes: string, whole = (this.options & 64) === 0): void {
    if (this.#ended) return;
    this.sent += bytes;
    for (const piece of whole ? [bytesOf(bytes)] : cut(bytesOf(bytes), this.sent.length)) {
      this.engine.receive(piece);
      piece.fill(0xdb);
    }
    // The engine is told of the end of reading by `finished`; it must then take no more.
    // A window may have been opened within: what says so is still to be read.
    if (this.peer.overdrawn && !this.#ended) this.read(true);
    if (this.peer.overdrawn) check(!this.#alive || !this.host.open, "DATA beyond the connection's window is taken");
  }

  protected read(all: boolean): void {
    const { engine, peer } = this;
    if (!all) return;
    peer.read(drain(engine));
    check(peer.whole, "output ends within a frame");
    if (peer.goaway > 0) check(this.host.finished, "GOAWAY with an error, and the connection goes on");
  }

  /** Text that is the same wherever it is cut: its bytes follow from their place. */
  protected content(from: number): string {
    const size = SIZES[this.choices.below(SIZES.length)] as number;
    return ALPHABET.slice(from % 251, (from % 251) + size);
  }

  /** A stream that was used, or one nearby. */
  protected streamId(): number {
    const which = this.choices.byte();
    const ids = [...this.peer.streams.keys()];
    if (which >= 240 || ids.length === 0) return which & 15;
    return ids[ids.length - 1 - (which % ids.length)] as number;
  }

  /** A step that both sides have. */
  protected anyFrame(kind: number): void {
    const { choices, peer } = this;
    switch (kind) {
      case 1: {
        const id = this.streamId();
        const flags = choices.byte() & (Flag.END_STREAM | Flag.PADDED);
        const content = this.content(0);
        if ((flags & Flag.PADDED) !== 0) {
          this.send(peer.data(flags, id, `${String.fromCharCode(choices.below(8))}${content}`.slice(0, 16_384)));
          return;
        }
        this.send(peer.data(flags, id, content.slice(0, 16_384)));
        return;
      }
      case 2: {
        const id = this.streamId();
        // To a server this may be the head of a request.
        if (peer.ofServer && id !== 0) peer.open(id);
        this.send(frame(FrameType.HEADERS, Flag.END_HEADERS | (choices.byte() & Flag.END_STREAM), id, peer.block(someFields(choices))));
        return;
      }
      case 3: {
        this.send(peer.reset(this.streamId(), choices.below(14)));
        return;
      }
      case 4: {
        this.send(peer.settings(Array.from({ length: choices.below(4) }, () => choices.of(SETTINGS))));
        return;
      }
      case 5: {
        this.send(peer.windowUpdate(choices.bool() ? this.streamId() : 0, choices.of(INCREMENTS)));
        return;
      }
      case 6: {
        this.send(frame(FrameType.PING, choices.byte() & 1, 0, choices.bool() ? "drain\0\0\0" : "12345678"));
        return;
      }
      case 7: {
        this.send(frame(FrameType.PRIORITY, 0, this.streamId(), `${u32(choices.byte())}\x10${choices.below(4) === 0 ? "x" : ""}`));
        return;
      }
      case 8: {
        this.send(frame(FrameType.GOAWAY, 0, 0, u32(choices.byte()) + u32(choices.below(14))));
        return;
      }
      case 9: {
        this.#rawFrame();
        return;
      }
      case 10: {
        this.send(frame(FrameType.SETTINGS, Flag.ACK, 0));
        return;
      }
      case 18: {
        this.engine.drain();
        return;
      }
      case 19:
        this.#now += choices.byte() * 10;
        return;
      case 20: {
        this.read(true);
        return;
      }
      case 21:
        // Rare, for little comes after it.
        if (choices.byte() < 32 && !this.#ended) {
          this.#ended = true;
          this.engine.receiveEnd();
        }
        return;
      default: {
        // One output and no more, as when the socket is full.
        const bytes = this.lazy ? this.engine.output() : null;
        if (bytes !== null) peer.read(Buffer.from(bytes).toString("latin1"));
      }
    }
  }

  #rawFrame(): void {
    const { choices, peer } = this;
    const type = choices.byte() % 12;
    const flags = choices.byte();
    const id = this.streamId();
    const payload = choices.text(64);
    const bytes = Buffer.from(payload, "latin1");
    if (type === FrameType.DATA) {
      this.send(peer.data(flags, id, payload));
      return;
    }
    // What the model must know of.
    if (type === FrameType.SETTINGS && id === 0 && (flags & Flag.ACK) === 0 && payload.length % 6 === 0) {
      const pairs = Array.from({ length: payload.length / 6 }, (_, i): [number, number] => [
        bytes.readUInt16BE(i * 6),
        bytes.readUInt32BE(i * 6 + 2),
      ]);
      this.send(peer.settings(pairs));
      return;
    }
    if (type === FrameType.WINDOW_UPDATE && payload.length === 4) {
      this.send(peer.windowUpdate(id, bytes.readUInt32BE(0) & 0x7fffffff));
      return;
    }
    if (type === FrameType.RST_STREAM && payload.length === 4) {
      this.send(peer.reset(id, bytes.readUInt32BE(0)));
      return;
    }
    if (type === FrameType.HEADERS && id !== 0 && peer.ofServer) peer.open(id);
    this.send(frame(type, flags, id, payload));
  }

  get #alive(): boolean {
    return this.host.open && this.peer.goaway <= 0;
  }

  /** Nothing may be stuck: with every window open and everything consumed, all that was said arrives. */
  #settle(): void {
    const { engine, peer } = this;
    // A block that is not complete, or frames that are, end the connection: then there is nothing to settle.
    this.finishMessages();
    this.send(frame(FrameType.SETTINGS, Flag.ACK, 0));
    for (const id of [...peer.streams.keys()]) if (this.#alive) this.send(peer.openWindows(id));
    this.read(true);
    if (!this.#alive) return;
    this.checkMessages(true);
    const window = Math.max(65_535, this.connectionWindow);
    check(
      peer.overdrawn || peer.granted >= Math.floor(window / 2),
      () => `a window of ${peer.granted} of ${window} although all is consumed`,
    );
    check(engine.output() === null, "output without an end");
    if ((this.options & 32) !== 0) this.#probe(window);
  }

  /** Content that is consumed at once: when the engine tells of it, the window must be whole again (or more: it lends), or some was lost before. */
  #probe(window: number): void {
    const { peer } = this;
    const id = this.openForData();
    if (id === null) return;
    for (let told = false; !told && this.#alive && peer.granted > 0; ) {
      const n = Math.min(16_384, peer.granted);
      const left = peer.granted - n;
      // In one piece: what is told within a frame is less than the whole.
      this.send(peer.data(0, id, ALPHABET.slice(0, n)), true);
      this.finishMessages();
      this.read(true);
      told = peer.granted > left;
    }
    if (this.#alive) check(peer.granted >= window, () => `${window - peer.granted} of ${window} bytes of the connection's window are lost`);
  }
}

const ALPHABET = Array.from({ length: 251 + 20_000 }, (_, i) => String.fromCharCode(i % 251)).join("");
