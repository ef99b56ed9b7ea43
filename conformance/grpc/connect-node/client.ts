// Interop client on connect-node, by its gRPC transport: `node client.mjs --server_host=HOST --server_port=PORT --test_case=NAME[,NAME …]`.
import { type Client, ConnectError, createClient } from "@connectrpc/connect";
import { compressionGzip, createGrpcTransport } from "@connectrpc/connect-node";
import { equal, flags, runCases } from "../../cases.ts";
import { TestService, UnimplementedService } from "../gen/interop_pb.ts";
import {
  Code,
  INITIAL_KEY,
  INITIAL_VALUE,
  LARGE_REQUEST_BYTES,
  LARGE_RESPONSE_BYTES,
  REQUEST_SIZES,
  RESPONSE_SIZES,
  SPECIAL_STATUS_MESSAGE,
  STATUS_MESSAGE,
} from "../values.ts";

const settings = flags(process.argv);
const baseUrl = `http://${settings.host}:${settings.port}`;
const transport = createGrpcTransport({ baseUrl });
const client = createClient(TestService, transport);
const zeros = (size: number) => ({ body: new Uint8Array(size) });
const large = { responseSize: LARGE_RESPONSE_BYTES, payload: zeros(LARGE_REQUEST_BYTES) };

async function failure(call: Promise<unknown>): Promise<ConnectError> {
  try {
    await call;
  } catch (error) {
    return ConnectError.from(error);
  }
  throw new Error("the call did not fail");
}

async function all<T>(answers: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const answer of answers) list.push(answer);
  return list;
}

async function* each<T>(items: Iterable<T>): AsyncGenerator<T> {
  yield* items;
}

/** Requests of a stream, given one by one. */
function pipe<T>() {
  let wake: (() => void) | null = null;
  const waiting: T[] = [];
  let closed = false;
  const signal = (): void => {
    wake?.();
    wake = null;
  };
  return {
    send(item: T): void {
      waiting.push(item);
      signal();
    },
    close(): void {
      closed = true;
      signal();
    },
    async *[Symbol.asyncIterator](): AsyncGenerator<T> {
      for (;;) {
        const item = waiting.shift();
        if (item !== undefined) yield item;
        else if (closed) return;
        else
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
      }
    },
  };
}

/** Messages of this size and more are compressed by {@link gzip}. */
const COMPRESS_FROM_BYTES = 1024;
const gzip: Client<typeof TestService> = createClient(
  TestService,
  createGrpcTransport({ baseUrl, sendCompression: compressionGzip, compressMinBytes: COMPRESS_FROM_BYTES }),
);

await runCases(settings.cases, {
  async empty_unary() {
    await client.emptyCall({});
  },
  async large_unary() {
    equal("bytes", (await client.unaryCall(large)).payload?.body.length, LARGE_RESPONSE_BYTES);
  },
  async client_streaming() {
    const answer = await client.streamingInputCall(each(REQUEST_SIZES.map((size) => ({ payload: zeros(size) }))));
    equal("size", answer.aggregatedPayloadSize, 74_922);
  },
  async server_streaming() {
    const answers = await all(client.streamingOutputCall({ responseParameters: RESPONSE_SIZES.map((size) => ({ size })) }));
    equal(
      "sizes",
      answers.map(({ payload }) => payload?.body.length),
      RESPONSE_SIZES,
    );
  },
  async ping_pong() {
    const requests = pipe<{ responseParameters: { size: number }[]; payload: { body: Uint8Array } }>();
    const answers = client.fullDuplexCall(requests)[Symbol.asyncIterator]();
    for (const [i, size] of RESPONSE_SIZES.entries()) {
      requests.send({ responseParameters: [{ size }], payload: zeros(REQUEST_SIZES[i] ?? 0) });
      equal("size", (await answers.next()).value?.payload?.body.length, size);
    }
    requests.close();
    equal("after the last", (await answers.next()).done, true);
  },
  async empty_stream() {
    equal("answers", (await all(client.fullDuplexCall(each([])))).length, 0);
  },
  async half_duplex() {
    const answers = await all(client.halfDuplexCall(each(RESPONSE_SIZES.map((size) => ({ responseParameters: [{ size }] })))));
    equal(
      "sizes",
      answers.map(({ payload }) => payload?.body.length),
      RESPONSE_SIZES,
    );
  },
  async custom_metadata() {
    const headers = { [INITIAL_KEY]: INITIAL_VALUE, "x-grpc-test-echo-trailing-bin": "q6ur" };
    const seen: (string | null | undefined)[] = [];
    const options = {
      headers,
      onHeader: (fields: Headers) => void seen.push(fields.get(INITIAL_KEY)),
      onTrailer: (fields: Headers) => void seen.push(fields.get("x-grpc-test-echo-trailing-bin")?.replaceAll("=", "")),
    };
    await client.unaryCall(large, options);
    await all(client.fullDuplexCall(each([{ responseParameters: [{ size: LARGE_RESPONSE_BYTES }], payload: zeros(1) }]), options));
    equal("metadata", seen, [INITIAL_VALUE, "q6ur", INITIAL_VALUE, "q6ur"]);
  },
  async status_code_and_message() {
    const responseStatus = { code: Code.UNKNOWN, message: STATUS_MESSAGE };
    const calls = [() => client.unaryCall({ responseStatus }), () => all(client.fullDuplexCall(each([{ responseStatus }])))];
    for (const call of calls) {
      const { code, rawMessage } = await failure(call());
      equal("status", [code, rawMessage], [Code.UNKNOWN, STATUS_MESSAGE]);
    }
  },
  async special_status_message() {
    const { code, rawMessage } = await failure(
      client.unaryCall({ responseStatus: { code: Code.UNKNOWN, message: SPECIAL_STATUS_MESSAGE } }),
    );
    equal("status", [code, rawMessage], [Code.UNKNOWN, SPECIAL_STATUS_MESSAGE]);
  },
  async unimplemented_method() {
    equal("status", (await failure(client.unimplementedMethod({}))).code, Code.UNIMPLEMENTED);
  },
  async unimplemented_service() {
    const other = createClient(UnimplementedService, transport);
    equal("status", (await failure(other.unimplementedCall({}))).code, Code.UNIMPLEMENTED);
  },
  async cancel_after_begin() {
    const abort = new AbortController();
    const requests = pipe<{ payload: { body: Uint8Array } }>();
    const call = failure(client.streamingInputCall(requests, { signal: abort.signal }));
    setImmediate(() => abort.abort());
    equal("status", (await call).code, Code.CANCELLED);
    requests.close();
  },
  async cancel_after_first_response() {
    const abort = new AbortController();
    const requests = pipe<{ responseParameters: { size: number }[]; payload: { body: Uint8Array } }>();
    const answers = client.fullDuplexCall(requests, { signal: abort.signal })[Symbol.asyncIterator]();
    requests.send({ responseParameters: [{ size: RESPONSE_SIZES[0] }], payload: zeros(REQUEST_SIZES[0]) });
    equal("size", (await answers.next()).value?.payload?.body.length, RESPONSE_SIZES[0]);
    abort.abort();
    equal("status", (await failure(answers.next())).code, Code.CANCELLED);
    requests.close();
  },
  async timeout_on_sleeping_server() {
    const requests = pipe<{ payload: { body: Uint8Array } }>();
    requests.send({ payload: zeros(REQUEST_SIZES[0]) });
    equal("status", (await failure(all(client.fullDuplexCall(requests, { timeoutMs: 1 })))).code, Code.DEADLINE_EXCEEDED);
    requests.close();
  },
  async client_compressed_unary() {
    const said = { ...large, expectCompressed: { value: true } };
    equal("not compressed, but said to be", (await failure(client.unaryCall(said))).code, Code.INVALID_ARGUMENT);
    equal("bytes", (await gzip.unaryCall(said)).payload?.body.length, LARGE_RESPONSE_BYTES);
    const plain = await client.unaryCall({ ...large, expectCompressed: { value: false } });
    equal("bytes", plain.payload?.body.length, LARGE_RESPONSE_BYTES);
  },
  // Compressed and not in one stream: this stack leaves small messages as they are.
  async client_compressed_streaming() {
    const said = { payload: zeros(27_182), expectCompressed: { value: true } };
    equal("not compressed, but said to be", (await failure(client.streamingInputCall(each([said])))).code, Code.INVALID_ARGUMENT);
    const answer = await gzip.streamingInputCall(each([said, { payload: zeros(504), expectCompressed: { value: false } }]));
    equal("size", answer.aggregatedPayloadSize, 27_686);
  },
  async server_compressed_unary() {
    for (const value of [true, false]) {
      const answer = await client.unaryCall({ ...large, responseCompressed: { value } });
      equal("bytes", answer.payload?.body.length, LARGE_RESPONSE_BYTES);
    }
  },
  async server_compressed_streaming() {
    const responseParameters = [
      { size: 31_415, compressed: { value: true } },
      { size: 92_653, compressed: { value: false } },
    ];
    const answers = await all(client.streamingOutputCall({ responseParameters }));
    equal(
      "sizes",
      answers.map(({ payload }) => payload?.body.length),
      [31_415, 92_653],
    );
  },
  async parallel_100() {
    const answers = await Promise.all(
      Array.from({ length: 100 }, () => client.unaryCall({ responseSize: 10_000, payload: zeros(10_000) })),
    );
    equal(
      "sizes",
      answers.map(({ payload }) => payload?.body.length),
      answers.map(() => 10_000),
    );
  },
});
process.exit(0);
