// Calls by grpc-js with the messages of @bufbuild/protobuf.

import {
  create,
  type DescMessage,
  type DescMethod,
  type DescService,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import {
  type CallOptions,
  Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  type ClientWritableStream,
  credentials,
  type Metadata,
  Metadata as MetadataClass,
  type ServiceDefinition,
  type StatusObject,
} from "@grpc/grpc-js";

export const encode =
  <D extends DescMessage>(desc: D) =>
  (init: MessageInitShape<D>): Buffer =>
    Buffer.from(toBinary(desc, create(desc, init)));
export const decode =
  <D extends DescMessage>(desc: D) =>
  (bytes: Buffer): MessageShape<D> =>
    fromBinary(desc, bytes);
export const pathOf = (method: DescMethod): string => `/${method.parent.typeName}/${method.name}`;

/** What grpc-js calls a service. */
export function definition(service: DescService, without: readonly string[] = []): ServiceDefinition {
  return Object.fromEntries(
    service.methods
      .filter((method) => !without.includes(method.name))
      .map((method) => [
        method.name,
        {
          path: pathOf(method),
          requestStream: method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming",
          responseStream: method.methodKind === "server_streaming" || method.methodKind === "bidi_streaming",
          requestSerialize: encode(method.input),
          requestDeserialize: decode(method.input),
          responseSerialize: encode(method.output),
          responseDeserialize: decode(method.output),
        },
      ]),
  );
}

/** How a call ended. */
export type Ended = { readonly initial: Metadata | null; readonly status: StatusObject };
export type Answer<T> = Ended & { readonly message: T | null };

type Call = ClientReadableStream<unknown> | ClientWritableStream<unknown> | ClientDuplexStream<unknown, unknown>;

/** Collects metadata and status of a call. */
export function ended(call: {
  on(event: "metadata", listener: (metadata: Metadata) => void): unknown;
  on(event: "status", listener: (status: StatusObject) => void): unknown;
  on(event: "error", listener: () => void): unknown;
}): Promise<Ended> {
  return new Promise((resolve) => {
    let initial: Metadata | null = null;
    call.on("metadata", (metadata) => {
      initial = metadata;
    });
    call.on("error", () => {});
    call.on("status", (status) => resolve({ initial, status }));
  });
}

/** All messages of a call that does not fail. */
export async function messages<T>(call: ClientReadableStream<T> | ClientDuplexStream<never, T>): Promise<T[]> {
  const all: T[] = [];
  for await (const message of call) all.push(message as T);
  return all;
}

/** Messages of a call one by one; null after the last. */
export function reader<T>(call: ClientDuplexStream<never, T>): () => Promise<T | null> {
  const iterator = call[Symbol.asyncIterator]();
  return async () => {
    const { value, done } = await iterator.next();
    return done ? null : (value as T);
  };
}

type Method<I extends DescMessage, O extends DescMessage, K extends string> = DescMethod & { methodKind: K; input: I; output: O };

export class Stub {
  readonly client: Client;

  constructor(address: string, options: Record<string, string | number> = {}) {
    this.client = new Client(address, credentials.createInsecure(), options);
  }

  unary<I extends DescMessage, O extends DescMessage>(
    method: Method<I, O, "unary">,
    request: MessageInitShape<I>,
    metadata = new MetadataClass(),
    options: CallOptions = {},
  ): Promise<Answer<MessageShape<O>>> {
    return new Promise((resolve) => {
      let message: MessageShape<O> | null = null;
      const call = this.client.makeUnaryRequest(
        pathOf(method),
        encode(method.input),
        decode(method.output),
        request,
        metadata,
        options,
        (_error, value) => {
          message = value ?? null;
        },
      );
      ended(call).then((end) => setImmediate(() => resolve({ ...end, message })));
    });
  }

  /** The answer stands in `answer`, before the status is told. */
  clientStream<I extends DescMessage, O extends DescMessage>(
    method: Method<I, O, "client_streaming">,
    options: CallOptions = {},
  ): { call: ClientWritableStream<MessageInitShape<I>>; answer: Promise<Answer<MessageShape<O>>> } {
    let message: MessageShape<O> | null = null;
    const call = this.client.makeClientStreamRequest<MessageInitShape<I>, MessageShape<O>>(
      pathOf(method),
      encode(method.input),
      decode(method.output),
      new MetadataClass(),
      options,
      (_error, value) => {
        message = value ?? null;
      },
    );
    const answer = ended(call).then(
      (end) => new Promise<Answer<MessageShape<O>>>((resolve) => setImmediate(() => resolve({ ...end, message }))),
    );
    return { call, answer };
  }

  serverStream<I extends DescMessage, O extends DescMessage>(
    method: Method<I, O, "server_streaming">,
    request: MessageInitShape<I>,
  ): ClientReadableStream<MessageShape<O>> {
    return this.client.makeServerStreamRequest(pathOf(method), encode(method.input), decode(method.output), request);
  }

  bidi<I extends DescMessage, O extends DescMessage>(
    method: Method<I, O, "bidi_streaming">,
    metadata = new MetadataClass(),
    options: CallOptions = {},
  ): ClientDuplexStream<MessageInitShape<I>, MessageShape<O>> {
    return this.client.makeBidiStreamRequest(pathOf(method), encode(method.input), decode(method.output), metadata, options);
  }

  close(): void {
    this.client.close();
  }
}

export type { Call };
