// TestService for the cases with compression, and the Observer's first method: gRPC framing by hand on node:http2, since no stack tells
// whether a message arrived compressed, or the field grpc-timeout as it arrived. `node raw-server.mjs PORT`; says "listening".
import { createServer, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import { gunzipSync, gzipSync } from "node:zlib";
import { create, type DescMessage, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  SimpleRequestSchema,
  SimpleResponseSchema,
  StreamingInputCallRequestSchema,
  StreamingInputCallResponseSchema,
  StreamingOutputCallRequestSchema,
  StreamingOutputCallResponseSchema,
} from "../gen/interop_pb.ts";
import { ArrivalSchema } from "../gen/observer_pb.ts";
import { Code } from "../values.ts";

type Message = { readonly compressed: boolean; readonly bytes: Uint8Array };

/** Length-prefixed messages: flag, length, bytes. */
function parse(body: Buffer): Message[] {
  const all: Message[] = [];
  for (let at = 0; at + 5 <= body.length; ) {
    const length = body.readUInt32BE(at + 1);
    const bytes = body.subarray(at + 5, at + 5 + length);
    const compressed = body[at] === 1;
    all.push({ compressed, bytes: compressed ? gunzipSync(bytes) : bytes });
    at += 5 + length;
  }
  return all;
}

function frame<D extends DescMessage>(desc: D, init: MessageInitShape<D>, compressed: boolean): Buffer {
  const plain = toBinary(desc, create(desc, init));
  const bytes = compressed ? gzipSync(plain) : plain;
  const head = Buffer.alloc(5);
  head[0] = compressed ? 1 : 0;
  head.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

const mismatch = (expected: { value: boolean } | undefined, compressed: boolean): boolean =>
  expected !== undefined && expected.value !== compressed;
const zeros = (size: number) => ({ payload: { body: new Uint8Array(size) } });

/** Frames of the answer; null = the message was not as compressed as the client said. */
const methods: Readonly<Record<string, (messages: Message[], grpcTimeout: string) => Buffer[] | null>> = {
  "/grpc.testing.TestService/UnaryCall"([message]) {
    const request = fromBinary(SimpleRequestSchema, message?.bytes ?? new Uint8Array());
    if (mismatch(request.expectCompressed, message?.compressed ?? false)) return null;
    return [frame(SimpleResponseSchema, zeros(request.responseSize), request.responseCompressed?.value ?? false)];
  },
  "/grpc.testing.TestService/StreamingInputCall"(messages) {
    let aggregatedPayloadSize = 0;
    for (const { bytes, compressed } of messages) {
      const request = fromBinary(StreamingInputCallRequestSchema, bytes);
      if (mismatch(request.expectCompressed, compressed)) return null;
      aggregatedPayloadSize += request.payload?.body.length ?? 0;
    }
    return [frame(StreamingInputCallResponseSchema, { aggregatedPayloadSize }, false)];
  },
  "/grpc.testing.TestService/StreamingOutputCall"([message]) {
    const request = fromBinary(StreamingOutputCallRequestSchema, message?.bytes ?? new Uint8Array());
    return request.responseParameters.map(({ size, compressed }) =>
      frame(StreamingOutputCallResponseSchema, zeros(size), compressed?.value ?? false),
    );
  },
  "/fairlead.conformance.Observer/Arrived": (_, grpcTimeout) => [frame(ArrivalSchema, { grpcTimeout }, false)],
};

function answer(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, body: Buffer): void {
  const frames = methods[String(headers[":path"])]?.(parse(body), String(headers["grpc-timeout"] ?? ""));
  if (frames === undefined || frames === null) {
    const code = frames === undefined ? Code.UNIMPLEMENTED : Code.INVALID_ARGUMENT;
    stream.respond({ ":status": 200, "content-type": "application/grpc", "grpc-status": String(code) }, { endStream: true });
    return;
  }
  stream.respond(
    { ":status": 200, "content-type": "application/grpc", "grpc-encoding": "gzip", "grpc-accept-encoding": "identity,gzip" },
    { waitForTrailers: true },
  );
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
  stream.end(Buffer.concat(frames));
}

const server = createServer();
server.on("sessionError", () => {});
server.on("stream", (stream, headers) => {
  const parts: Buffer[] = [];
  stream.on("error", () => {});
  stream.on("data", (chunk: Buffer) => parts.push(chunk));
  stream.on("end", () => answer(stream, headers, Buffer.concat(parts)));
});
server.listen(Number(process.argv[2]), () => console.log("listening"));
