// One call: with one request message, answered once or by a stream, or with a stream of them. Callbacks only; nothing is queued.
import {
  type ClientEngine,
  type ClientStream,
  ErrorCode,
  type Fields,
  RequestHead,
  type ResponseHead,
  type ResponseIncoming,
  type StreamError,
} from "#http";
import { encodeFrame, FrameReader } from "./frames.ts";
import { Code, type Status, statusOfFields, statusOfHttp, statusOfReset } from "./status.ts";

/** Longest answer that is read, bytes: a service of tens of thousands of endpoints. */
export const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;

/** What a call tells its owner. Nothing follows `end`; neither is called within {@link startCall} nor after a cancel. */
export interface CallHandler {
  /** One answer, not decoded. Throwing ends the call with INTERNAL. */
  message(bytes: Uint8Array): void;
  end(status: Status): void;
  /** Of what was sent, some has been passed on. May be called within {@link OpenCall.send}. */
  room?(): void;
}

/** Watches one call, for metrics. */
export interface CallObserver {
  head(head: ResponseHead): void;
  /** The first frame of the body, or the end. */
  firstByte(): void;
  end(trailers: Fields | null): void;
  fail(error: StreamError): void;
}

export type CallInit = {
  readonly engine: ClientEngine;
  readonly authority: string;
  /** `/package.Service/Method`. */
  readonly path: string;
  readonly message: Uint8Array;
  readonly handler: CallHandler;
  readonly observer: CallObserver | null;
};

/** A call whose requests are still being sent. Nothing of it does anything once the call is over. */
export interface OpenCall {
  send(message: Uint8Array): void;
  /** Bytes sent that have not been passed on. */
  readonly pending: number;
  /** No more requests. */
  finish(): void;
  cancel(): void;
}

/** Sends the request. Returns a function that cancels. */
export function startCall(init: CallInit): () => void {
  const call = new Call(init);
  call.send(init.message, true);
  return () => call.cancel();
}

/** Begins a call that is to send any number of requests. */
export function openCall(init: Omit<CallInit, "message">): OpenCall {
  return new Call(init);
}

const FIELDS = ["content-type", "application/grpc", "te", "trailers"] as const;

class Call implements ResponseIncoming, OpenCall {
  readonly #handler: CallHandler;
  readonly #observer: CallObserver | null;
  readonly #stream: ClientStream;
  readonly #frames = new FrameReader(MAX_MESSAGE_BYTES);
  /** Of the head, when the response is not gRPC or has no body. */
  #status: Status | null = null;
  #timed = false;
  #over = false;
  #pending = 0;

  constructor({ engine, authority, path, handler, observer }: Omit<CallInit, "message">) {
    this.#handler = handler;
    this.#observer = observer;
    const head = new RequestHead({ version: "HTTP/2", method: "POST", form: "origin", scheme: "http", authority, path, fields: FIELDS });
    this.#stream = engine.request(head, false, this);
  }

  get pending(): number {
    return this.#pending;
  }

  send(message: Uint8Array, end = false): void {
    if (this.#over) return;
    const frame = encodeFrame(message);
    this.#pending += frame.length;
    this.#stream.write(frame, end);
  }

  finish(): void {
    if (!this.#over) this.#stream.write(EMPTY, true);
  }

  cancel(): void {
    if (this.#over) return;
    this.#over = true;
    this.#observer?.end(null);
    this.#stream.reset(ErrorCode.CANCEL);
  }

  onInformational(): void {}

  onResponse(head: ResponseHead, end: boolean): void {
    if (this.#over) return;
    this.#observer?.head(head);
    const grpc = head.get("content-type")?.startsWith("application/grpc") === true;
    if (!grpc || end) this.#status = statusOfFields(head.fields) ?? (grpc ? null : statusOfHttp(head.status));
    if (end) this.#finish(null);
  }

  onData(chunk: Uint8Array, end: boolean): void {
    this.#stream.consume(chunk.length);
    if (this.#over) return;
    this.#firstByte();
    // The body of an answer that is not gRPC is not looked at.
    if (this.#status === null && !this.#read(chunk)) return;
    if (end) this.#finish(null);
  }

  onTrailers(fields: Fields): void {
    if (!this.#over) this.#finish(fields);
  }

  onWritten(bytes: number): void {
    this.#pending -= bytes;
    if (!this.#over) this.#handler.room?.();
  }

  onReset(error: StreamError): void {
    if (this.#over) return;
    this.#over = true;
    this.#observer?.fail(error);
    this.#handler.end(statusOfReset(error));
  }

  /** @returns false when the call is over. */
  #read(chunk: Uint8Array): boolean {
    this.#frames.push(chunk);
    for (;;) {
      const next = this.#frames.next();
      if (next === null) return true;
      if (!(next instanceof Uint8Array)) {
        this.#giveUp(
          next.kind === "compressed" ? "the answer is compressed" : `an answer of ${next.bytes} bytes; at most ${MAX_MESSAGE_BYTES}`,
        );
        return false;
      }
      try {
        this.#handler.message(next);
      } catch (error) {
        this.#giveUp((error as Error).message);
        return false;
      }
      if (this.#over) return false;
    }
  }

  #giveUp(message: string): void {
    this.#over = true;
    this.#observer?.end(null);
    this.#stream.reset(ErrorCode.CANCEL);
    this.#handler.end({ code: Code.INTERNAL, message });
  }

  #firstByte(): void {
    if (this.#timed) return;
    this.#timed = true;
    this.#observer?.firstByte();
  }

  #finish(trailers: Fields | null): void {
    this.#firstByte();
    this.#over = true;
    this.#observer?.end(trailers);
    const status = (trailers === null ? null : statusOfFields(trailers)) ??
      this.#status ?? { code: Code.UNKNOWN, message: "the answer has no grpc-status" };
    this.#handler.end(
      this.#frames.partial && status.code === Code.OK ? { code: Code.INTERNAL, message: "the last answer is not whole" } : status,
    );
  }
}

const EMPTY = new Uint8Array(0);
