// The receiving side of an exchange, strict about the contract of #http: what may be called when. Everything is kept as text.
import type { Fields, Incoming, RequestHandler, RequestHead, ResponseHead, ResponseIncoming, ServerStream, StreamError } from "#http";
import { check, latin1 } from "../target.ts";

/** A message as it arrives. */
export class Received implements ResponseIncoming {
  request: RequestHead | null = null;
  response: ResponseHead | null = null;
  readonly informational: number[] = [];
  body = "";
  ended = false;
  trailers: Fields | null = null;
  written = 0;
  error: StreamError | null = null;
  /** Called once the message is complete. */
  onEnd: (() => void) | null = null;
  /** Called with the number of bytes of each chunk. */
  onChunk: ((bytes: number) => void) | null = null;

  onInformational(head: ResponseHead): void {
    check(this.request === null && this.response === null && this.#open, "1xx out of place");
    check(head.status >= 100 && head.status < 200 && head.status !== 101, () => `${head.status} as informational`);
    checkFields(head.fields);
    this.informational.push(head.status);
  }

  onResponse(head: ResponseHead, end: boolean): void {
    check(this.request === null && this.response === null && this.#open, "response out of place");
    check(head.status === 101 || (head.status >= 200 && head.status <= 599), () => `status ${head.status}`);
    checkFields(head.fields);
    this.response = head;
    if (end) this.#end();
  }

  onData(chunk: Uint8Array, end: boolean): void {
    check((this.request ?? this.response) !== null && this.#open, "data out of place");
    check(chunk.length > 0 || end, "empty chunk without end");
    this.body += latin1(chunk);
    this.onChunk?.(chunk.length);
    if (end) this.#end();
  }

  onTrailers(fields: Fields): void {
    check((this.request ?? this.response) !== null && this.#open, "trailers out of place");
    checkFields(fields);
    this.trailers = fields;
    this.#end();
  }

  onWritten(bytes: number): void {
    check(Number.isInteger(bytes) && bytes > 0, () => `onWritten(${bytes})`);
    this.written += bytes;
  }

  onReset(error: StreamError): void {
    check(this.error === null, "reset twice");
    this.error = error;
  }

  get #open(): boolean {
    return !this.ended && this.error === null;
  }

  #end(): void {
    this.ended = true;
    this.onEnd?.();
  }
}

export type Exchange = { readonly stream: ServerStream; readonly head: RequestHead; readonly in: Received };

/** Keeps every request; `answer` is called within `onRequest`, before the rest of the request comes. */
export class Handler implements RequestHandler {
  readonly exchanges: Exchange[] = [];
  readonly faults: string[] = [];
  readonly #answer: (exchange: Exchange) => void;

  constructor(answer: (exchange: Exchange) => void) {
    this.#answer = answer;
  }

  onRequest(stream: ServerStream, head: RequestHead, end: boolean): Incoming {
    checkRequest(head);
    const received = new Received();
    received.request = head;
    received.ended = end;
    const exchange = { stream, head, in: received };
    this.exchanges.push(exchange);
    this.#answer(exchange);
    return received;
  }

  onProtocolError(message: string): void {
    this.faults.push(message);
  }
}

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;

/** No engine may let through what the next hop could take for something else, RFC 9110 §5, RFC 9113 §8.2.1. */
export function checkFields(fields: Fields): void {
  check(fields.length % 2 === 0, "odd list of fields");
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string;
    const value = fields[i + 1] as string;
    check(NAME.test(name), () => `field name ${JSON.stringify(name)}`);
    check(/^[\t\x20-\x7e\x80-\xff]*$/.test(value), () => `value of ${name}: ${JSON.stringify(value)}`);
    check(!/^[\t ]|[\t ]$/.test(value), () => `white space around the value of ${name}: ${JSON.stringify(value)}`);
  }
}

function checkRequest(head: RequestHead): void {
  check(TOKEN.test(head.method), () => `method ${JSON.stringify(head.method)}`);
  switch (head.form) {
    case "origin":
    case "absolute":
      check(/^\/[\x21-\x7e]*$/.test(head.path) && !head.path.includes("#"), () => `path ${JSON.stringify(head.path)}`);
      break;
    case "asterisk":
      check(head.path === "*" && head.method === "OPTIONS", "asterisk-form");
      break;
    case "authority":
      check(head.path === "" && head.method === "CONNECT", "authority-form");
  }
  if (head.authority !== null)
    check(/^[\x21-\x7e]+$/.test(head.authority) && !/[/?#@]/.test(head.authority), () => `authority ${JSON.stringify(head.authority)}`);
  checkFields(head.fields);
}

/** Everything an engine wants to write. `max`: bytes it may hold. */
export function drain(engine: { output(): Uint8Array | null }, max = Number.POSITIVE_INFINITY): string {
  let out = "";
  for (let bytes = engine.output(); bytes !== null; bytes = engine.output()) {
    check(bytes.length > 0, "output without bytes");
    out += latin1(bytes);
    check(out.length <= max, () => `output of more than ${max} bytes`);
  }
  return out;
}
