// gRPC calls over a client engine of #http, and protobuf by tables: what a proxy needs, at a fraction of the memory of a
// runtime with descriptors (see the ADR on gRPC). Contract of #grpc.
import type { ClientEngine } from "#http";
import { type CallObserver, startCall } from "./call.ts";
import { decode, encode, type MessageTable, type Plain } from "./protobuf.ts";
import { Code, GrpcError, type Status } from "./status.ts";

export { type CallHandler, type CallInit, type CallObserver, MAX_MESSAGE_BYTES, type OpenCall, openCall, startCall } from "./call.ts";
export { encodeFrame, type FrameFault, FrameReader } from "./frames.ts";
export {
  decode,
  encode,
  type Field,
  field,
  MAX_DEPTH,
  type MessageTable,
  map,
  message,
  oneof,
  type Plain,
  repeated,
  type Scalar,
} from "./protobuf.ts";
export { type ServeOptions, ServerCall, type ServerMethod, serveCall } from "./server.ts";
export { Code, codeName, GrpcError, type Status, statusOfFields, statusOfHttp, statusOfReset } from "./status.ts";

export type Method<Request, Response> = {
  /** `/package.Service/Method`. */
  readonly path: string;
  readonly request: MessageTable<Request>;
  readonly response: MessageTable<Response>;
};

/** Where calls go. */
export type Channel = {
  /** `:authority`. */
  readonly authority: string;
  readonly engine: ClientEngine;
  readonly observer: CallObserver | null;
};

/** Calls a method that answers a stream. Returns a function that cancels; then nothing more is told. */
export function stream<Request, Response>(
  channel: Channel,
  method: Method<Request, Response>,
  request: Partial<Plain<Request>>,
  handler: { message(response: Plain<Response>): void; end(status: Status): void },
): () => void {
  return startCall({
    ...channel,
    path: method.path,
    message: encode(method.request, request),
    handler: { message: (bytes) => handler.message(decode(method.response, bytes)), end: (status) => handler.end(status) },
  });
}

/** Calls a method that answers once. @throws {GrpcError} */
export function unary<Request, Response>(
  channel: Channel,
  method: Method<Request, Response>,
  request: Partial<Plain<Request>>,
): Promise<Plain<Response>> {
  return new Promise((resolve, reject) => {
    let answer: Plain<Response> | undefined;
    stream(channel, method, request, {
      message(response) {
        answer ??= response;
      },
      end(status) {
        if (status.code !== Code.OK) reject(new GrpcError(status));
        else if (answer === undefined) reject(new GrpcError({ code: Code.INTERNAL, message: "the call ended without an answer" }));
        else resolve(answer);
      },
    });
  });
}
