// One call as its server sees it: a request message, then a stream of answers (gRPC over HTTP/2). Callbacks only.
import { type Fields, type Incoming, type RequestHead, ResponseHead, type ServerStream, type StreamError } from "#http";
import { encodeFrame, FrameReader } from "./frames.ts";
import { Code, type Status } from "./status.ts";

/** Takes a call with its request. Throwing ends the call with INTERNAL. */
export type ServerMethod = (call: ServerCall, request: Uint8Array) => void;

export type ServeOptions = {
  /** By `/package.Service/Method`; others are UNIMPLEMENTED. */
  readonly methods: ReadonlyMap<string, ServerMethod>;
  /** Longest request, bytes. */
  readonly maxRequestBytes: number;
};

const GRPC = "application/grpc";

/** Serves one stream of a server engine; to be returned from its `onRequest`. */
export function serveCall(stream: ServerStream, head: RequestHead, end: boolean, options: ServeOptions): ServerCall {
  return new ServerCall(stream, head, end, options);
}

export class ServerCall implements Incoming {
  readonly #stream: ServerStream;
  readonly #method: ServerMethod | null;
  readonly #frames: FrameReader;
  #asked = false;
  #started = false;
  #over = false;
  #pending = 0;
  /** Answers were passed on: there may be room for more. Called within {@link send} at times. */
  onRoom: (() => void) | null = null;
  /** The client is gone, or has cancelled. */
  onCancelled: (() => void) | null = null;

  constructor(stream: ServerStream, head: RequestHead, end: boolean, options: ServeOptions) {
    this.#stream = stream;
    this.#frames = new FrameReader(options.maxRequestBytes);
    this.#method = options.methods.get(head.path) ?? null;
    const type = head.get("content-type");
    if (head.method !== "POST") this.#refuse(405);
    else if (type === undefined || !isGrpcType(type)) this.#refuse(415);
    else if (this.#method === null) this.end({ code: Code.UNIMPLEMENTED, message: `unknown method ${head.path}` });
    else if (end) this.end(NO_REQUEST);
  }

  /** Bytes of answers that have not been passed on. */
  get pending(): number {
    return this.#pending;
  }

  get over(): boolean {
    return this.#over;
  }

  /** Says that the call is taken, before there is an answer. */
  start(): void {
    if (this.#started || this.#over) return;
    this.#started = true;
    this.#stream.respond(new ResponseHead({ version: "HTTP/2", status: 200, reason: null, fields: ["content-type", GRPC] }), false);
  }

  send(message: Uint8Array): void {
    if (this.#over) return;
    this.start();
    const frame = encodeFrame(message);
    this.#pending += frame.length;
    this.#stream.write(frame, false);
  }

  end(status: Status): void {
    if (this.#over) return;
    this.#over = true;
    const fields = ["grpc-status", String(status.code)];
    if (status.message !== "") fields.push("grpc-message", encodeMessage(status.message));
    if (this.#started) this.#stream.trailers(fields);
    else
      this.#stream.respond(
        new ResponseHead({ version: "HTTP/2", status: 200, reason: null, fields: ["content-type", GRPC, ...fields] }),
        true,
      );
  }

  // --- the stream's events ---

  onData(chunk: Uint8Array, end: boolean): void {
    this.#stream.consume(chunk.length);
    // What follows the request is not looked at.
    if (this.#over || this.#asked) return;
    this.#frames.push(chunk);
    this.#read(end);
  }

  onTrailers(_fields: Fields): void {
    if (!this.#over && !this.#asked) this.#read(true);
  }

  onWritten(bytes: number): void {
    this.#pending -= bytes;
    if (!this.#over) this.onRoom?.();
  }

  onReset(_error: StreamError): void {
    if (this.#over) return;
    this.#over = true;
    this.onCancelled?.();
  }

  #read(end: boolean): void {
    const request = this.#frames.next();
    if (request === null) {
      if (end) this.end(NO_REQUEST);
      return;
    }
    this.#asked = true;
    if (!(request instanceof Uint8Array)) {
      if (request.kind === "compressed") this.end({ code: Code.UNIMPLEMENTED, message: "compressed requests are not understood" });
      else this.end({ code: Code.RESOURCE_EXHAUSTED, message: `the request has ${request.bytes} bytes, too many` });
      return;
    }
    try {
      this.#method?.(this, request);
    } catch (error) {
      this.end({ code: Code.INTERNAL, message: error instanceof Error ? error.message : String(error) });
    }
  }

  /** Not a gRPC call: answered in HTTP. */
  #refuse(status: number): void {
    this.#over = true;
    this.#stream.respond(new ResponseHead({ version: "HTTP/2", status, reason: null, fields: ["content-length", "0"] }), true);
  }
}

const NO_REQUEST: Status = { code: Code.INTERNAL, message: "the call ended without a request" };

/** `application/grpc`, with any subtype after `+` or parameters after `;`. */
function isGrpcType(type: string): boolean {
  return type === GRPC || type.startsWith(`${GRPC}+`) || type.startsWith(`${GRPC};`);
}

/** Percent-encoded UTF-8 but for visible ASCII (gRPC over HTTP/2, "Status-Message"). */
function encodeMessage(text: string): string {
  return text
    .toWellFormed()
    .replace(/[^\x20-\x24\x26-\x7e]+/gu, (part) =>
      [...new TextEncoder().encode(part)].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`).join(""),
    );
}
