// A request handler that answers with what it got: method and path in fields, the body and its trailers as they come.
import {
  type Fields,
  type Incoming,
  type RequestHandler,
  type RequestHead,
  ResponseHead,
  type ServerStream,
  type StreamError,
} from "#http";

/** One exchange of an echo server. */
export class EchoExchange implements Incoming {
  readonly stream: ServerStream;
  readonly head: RequestHead;
  reset: StreamError | null = null;

  constructor(stream: ServerStream, head: RequestHead) {
    this.stream = stream;
    this.head = head;
  }

  onData(chunk: Uint8Array, end: boolean): void {
    this.stream.write(chunk, end);
  }

  onTrailers(fields: Fields): void {
    this.stream.trailers(fields);
  }

  onWritten(bytes: number): void {
    this.stream.consume(bytes);
  }

  onReset(error: StreamError): void {
    this.reset = error;
  }
}

export const echo: RequestHandler = {
  onRequest(stream: ServerStream, head: RequestHead, end: boolean): Incoming {
    const exchange = new EchoExchange(stream, head);
    const fields = ["x-method", head.method, "x-path", head.path, "x-authority", head.authority ?? ""];
    for (const name of ["content-type", "x-id", "cookie"]) {
      const value = head.get(name);
      if (value !== undefined) fields.push(`x-got-${name}`, value);
    }
    stream.respond(new ResponseHead({ version: "HTTP/2", status: 200, reason: null, fields }), end);
    return exchange;
  },
};
