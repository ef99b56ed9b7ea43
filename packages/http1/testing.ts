// Drives the engines in tests: a host that records, a handler that logs events and answers as told.
import {
  type EngineHost,
  type Fields,
  type Incoming,
  type RequestHandler,
  RequestHead,
  type RequestInit,
  ResponseHead,
  type ResponseIncoming,
  type ServerStream,
  type StreamError,
} from "#http";
import { Http1Client } from "./client.ts";
import { HttpDate } from "./http-date.ts";
import { requestHeadCache, responseHeadCache } from "./index.ts";
import { latin1, latin1Bytes } from "./latin1.ts";
import { Http1Server } from "./server.ts";

export const bytes: (text: string) => Uint8Array = latin1Bytes;
export const text = (chunk: Uint8Array): string => latin1(chunk, 0, chunk.length);

/** 1994-11-15 08:12:31 GMT, the RFC's example. */
export const DATE_LINE = "date: Tue, 15 Nov 1994 08:12:31 GMT\r\n";
export const testDate = (): HttpDate => new HttpDate({ now: () => 784887151000 });

export class TestHost implements EngineHost {
  flushes = 0;
  paused = false;
  finished = false;
  aborted = false;
  scheduleFlush(): void {
    this.flushes++;
  }
  pauseReading(): void {
    this.paused = true;
  }
  resumeReading(): void {
    this.paused = false;
  }
  finish(): void {
    this.finished = true;
  }
  abort(): void {
    this.aborted = true;
  }
}

/** One request as a handler sees it. */
export class SeenRequest implements Incoming {
  readonly head: RequestHead;
  readonly stream: ServerStream;
  body = "";
  ended: boolean;
  trailers: Fields | null = null;
  written = 0;
  error: StreamError | null = null;
  onEnd: (() => void) | null = null;
  /** Credit every chunk at once. */
  consuming = true;

  constructor(stream: ServerStream, head: RequestHead, end: boolean) {
    this.stream = stream;
    this.head = head;
    this.ended = end;
  }
  onData(chunk: Uint8Array, end: boolean): void {
    if (this.ended || this.error !== null) throw new Error("data behind the end");
    this.body += text(chunk);
    this.ended = end;
    if (this.consuming) this.stream.consume(chunk.length);
    if (end) this.onEnd?.();
  }
  onTrailers(fields: Fields): void {
    if (this.ended || this.error !== null) throw new Error("trailers behind the end");
    this.trailers = fields;
    this.ended = true;
    this.onEnd?.();
  }
  onWritten(n: number): void {
    this.written += n;
  }
  onReset(error: StreamError): void {
    if (this.error !== null) throw new Error("reset twice");
    this.error = error;
  }
}

/** A server engine with its handler. */
export class TestServer implements RequestHandler {
  readonly host = new TestHost();
  readonly engine: Http1Server;
  readonly requests: SeenRequest[] = [];
  readonly faults: string[] = [];
  onBegin: ((request: SeenRequest) => void) | null;

  constructor(onBegin: ((request: SeenRequest) => void) | null = null, cache = requestHeadCache()) {
    this.onBegin = onBegin;
    this.engine = new Http1Server({ handler: this, host: this.host, cache, date: testDate() });
  }
  onRequest(stream: ServerStream, head: RequestHead, end: boolean): Incoming {
    const request = new SeenRequest(stream, head, end);
    this.requests.push(request);
    this.onBegin?.(request);
    return request;
  }
  onProtocolError(message: string): void {
    this.faults.push(message);
  }
  receive(data: string): void {
    receiveAndSpoil(this.engine, bytes(data));
  }
  last(): SeenRequest {
    const request = this.requests.at(-1);
    if (request === undefined) throw new Error("no request");
    return request;
  }
  /** Everything the engine wants to write. */
  output(): string {
    return drain(this.engine);
  }
}

/** Bytes are valid during the call: whoever has kept a view sees it. */
function receiveAndSpoil(engine: { receive(chunk: Uint8Array): void }, chunk: Uint8Array): void {
  engine.receive(chunk);
  chunk.fill(0xdb);
}

export function drain(engine: { output(): Uint8Array | null }): string {
  let out = "";
  for (let chunk = engine.output(); chunk !== null; chunk = engine.output()) out += text(chunk);
  return out;
}

export class SeenResponse implements ResponseIncoming {
  head: ResponseHead | null = null;
  readonly informational: number[] = [];
  body = "";
  ended = false;
  trailers: Fields | null = null;
  written = 0;
  error: StreamError | null = null;
  onHead: (() => void) | null = null;

  onInformational(head: ResponseHead): void {
    if (this.head !== null) throw new Error("1xx behind the response");
    this.informational.push(head.status);
  }
  onResponse(head: ResponseHead, end: boolean): void {
    if (this.head !== null || this.error !== null) throw new Error("response twice");
    this.head = head;
    this.ended = end;
    this.onHead?.();
  }
  onData(chunk: Uint8Array, end: boolean): void {
    if (this.head === null || this.ended || this.error !== null) throw new Error("data out of place");
    this.body += text(chunk);
    this.ended = end;
  }
  onTrailers(fields: Fields): void {
    if (this.head === null || this.ended || this.error !== null) throw new Error("trailers out of place");
    this.trailers = fields;
    this.ended = true;
  }
  onWritten(n: number): void {
    this.written += n;
  }
  onReset(error: StreamError): void {
    if (this.error !== null) throw new Error("reset twice");
    this.error = error;
  }
}

export class TestClient {
  readonly host = new TestHost();
  readonly engine: Http1Client;
  changes = 0;

  constructor(cache = responseHeadCache()) {
    this.engine = new Http1Client({ host: this.host, cache });
    this.engine.onStateChange = () => this.changes++;
  }
  receive(data: string): void {
    receiveAndSpoil(this.engine, bytes(data));
  }
  output(): string {
    return drain(this.engine);
  }
}

export function get(changes: Partial<RequestInit> = {}): RequestHead {
  return new RequestHead({
    version: "HTTP/1.1",
    method: "GET",
    form: "origin",
    scheme: null,
    authority: null,
    path: "/",
    fields: ["host", "a"],
    ...changes,
  });
}

export function response(status: number, fields: Fields = [], reason: string | null = null): ResponseHead {
  return new ResponseHead({ version: "HTTP/1.1", status, reason, fields });
}
