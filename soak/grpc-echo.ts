// The gRPC service of a soak: messages are bytes as they are, of any length.
import type { ServiceDefinition } from "@grpc/grpc-js";

const same = (bytes: Buffer): Buffer => bytes;

const method = (name: string, requestStream: boolean, responseStream: boolean) => ({
  path: `/soak.Echo/${name}`,
  requestStream,
  responseStream,
  requestSerialize: same,
  requestDeserialize: same,
  responseSerialize: same,
  responseDeserialize: same,
});

export const ECHO = {
  Unary: method("Unary", false, false),
  Flaky: method("Flaky", false, false),
  Bidi: method("Bidi", true, true),
  Repeat: method("Repeat", false, true),
} satisfies ServiceDefinition;
