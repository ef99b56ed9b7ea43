// The standard interop cases, and those of the Observer service, as a client of grpc-js.
import { Metadata } from "@grpc/grpc-js";
import { equal, ok } from "../../cases.ts";
import { TestService, UnimplementedService } from "../gen/interop_pb.ts";
import { Observer } from "../gen/observer_pb.ts";
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
  TRAILING_KEY,
  TRAILING_VALUE,
  timeoutMs,
} from "../values.ts";
import { ended, messages, reader, Stub } from "./stub.ts";

const test = TestService.method;
const observer = Observer.method;
const zeros = (size: number) => ({ body: new Uint8Array(size) });
const sized = (size: number) => ({ responseParameters: [{ size, intervalUs: 0 }] });

type Case = (stub: Stub, address: string) => Promise<void>;

/** grpc-js's number of gzip for `grpc.default_compression_algorithm`. */
const GZIP = 2;

async function withGzip(address: string, run: (stub: Stub) => Promise<void>): Promise<void> {
  const stub = new Stub(address, { "grpc.default_compression_algorithm": GZIP });
  try {
    await run(stub);
  } finally {
    stub.close();
  }
}

const standard: Record<string, Case> = {
  async empty_unary(stub) {
    const { status, message } = await stub.unary(test.emptyCall, {});
    equal("status", status.code, Code.OK);
    ok("no answer", message !== null);
  },
  async large_unary(stub) {
    const { status, message } = await stub.unary(test.unaryCall, {
      responseSize: LARGE_RESPONSE_BYTES,
      payload: zeros(LARGE_REQUEST_BYTES),
    });
    equal("status", status.code, Code.OK);
    equal("bytes", message?.payload?.body.length, LARGE_RESPONSE_BYTES);
  },
  async client_streaming(stub) {
    const { call, answer } = stub.clientStream(test.streamingInputCall);
    for (const size of REQUEST_SIZES) call.write({ payload: zeros(size) });
    call.end();
    const { status, message } = await answer;
    equal("status", status.code, Code.OK);
    equal("size", message?.aggregatedPayloadSize, 74_922);
  },
  async server_streaming(stub) {
    const call = stub.serverStream(test.streamingOutputCall, { responseParameters: RESPONSE_SIZES.map((size) => ({ size })) });
    const end = ended(call);
    equal(
      "sizes",
      (await messages(call)).map((message) => message.payload?.body.length),
      RESPONSE_SIZES,
    );
    equal("status", (await end).status.code, Code.OK);
  },
  async ping_pong(stub) {
    const call = stub.bidi(test.fullDuplexCall);
    const end = ended(call);
    const next = reader(call);
    for (const [i, size] of RESPONSE_SIZES.entries()) {
      call.write({ ...sized(size), payload: zeros(REQUEST_SIZES[i] ?? 0) });
      equal("size", (await next())?.payload?.body.length, size);
    }
    call.end();
    equal("after the last", await next(), null);
    equal("status", (await end).status.code, Code.OK);
  },
  async empty_stream(stub) {
    const call = stub.bidi(test.fullDuplexCall);
    const end = ended(call);
    call.end();
    equal("messages", await messages(call), []);
    equal("status", (await end).status.code, Code.OK);
  },
  async half_duplex(stub) {
    const call = stub.bidi(test.halfDuplexCall);
    const end = ended(call);
    for (const size of RESPONSE_SIZES) call.write(sized(size));
    call.end();
    equal(
      "sizes",
      (await messages(call)).map((message) => message.payload?.body.length),
      RESPONSE_SIZES,
    );
    equal("status", (await end).status.code, Code.OK);
  },
  async custom_metadata(stub) {
    const metadata = new Metadata();
    metadata.set(INITIAL_KEY, INITIAL_VALUE);
    metadata.set(TRAILING_KEY, Buffer.from(TRAILING_VALUE));
    const look = (initial: Metadata | null, trailing: Metadata): void => {
      equal("initial metadata", initial?.get(INITIAL_KEY), [INITIAL_VALUE]);
      equal("trailing metadata", [...((trailing.get(TRAILING_KEY)[0] as Buffer | undefined) ?? [])], TRAILING_VALUE);
    };
    const unary = await stub.unary(test.unaryCall, { responseSize: LARGE_RESPONSE_BYTES, payload: zeros(LARGE_REQUEST_BYTES) }, metadata);
    equal("status", unary.status.code, Code.OK);
    look(unary.initial, unary.status.metadata);
    const call = stub.bidi(test.fullDuplexCall, metadata);
    const end = ended(call);
    call.write({ ...sized(LARGE_RESPONSE_BYTES), payload: zeros(LARGE_REQUEST_BYTES) });
    call.end();
    equal("messages", (await messages(call)).length, 1);
    const { initial, status } = await end;
    equal("status", status.code, Code.OK);
    look(initial, status.metadata);
  },
  async status_code_and_message(stub) {
    const responseStatus = { code: Code.UNKNOWN, message: STATUS_MESSAGE };
    const unary = await stub.unary(test.unaryCall, { responseStatus });
    equal("status", [unary.status.code, unary.status.details], [Code.UNKNOWN, STATUS_MESSAGE]);
    const call = stub.bidi(test.fullDuplexCall);
    const end = ended(call);
    call.write({ responseStatus });
    call.end();
    call.resume();
    const { status } = await end;
    equal("status of the stream", [status.code, status.details], [Code.UNKNOWN, STATUS_MESSAGE]);
  },
  async special_status_message(stub) {
    const { status } = await stub.unary(test.unaryCall, { responseStatus: { code: Code.UNKNOWN, message: SPECIAL_STATUS_MESSAGE } });
    equal("status", [status.code, status.details], [Code.UNKNOWN, SPECIAL_STATUS_MESSAGE]);
  },
  async unimplemented_method(stub) {
    equal("status", (await stub.unary(test.unimplementedMethod, {})).status.code, Code.UNIMPLEMENTED);
  },
  async unimplemented_service(stub) {
    equal("status", (await stub.unary(UnimplementedService.method.unimplementedCall, {})).status.code, Code.UNIMPLEMENTED);
  },
  async cancel_after_begin(stub) {
    const { call, answer } = stub.clientStream(test.streamingInputCall);
    setImmediate(() => call.cancel());
    equal("status", (await answer).status.code, Code.CANCELLED);
  },
  async cancel_after_first_response(stub) {
    const call = stub.bidi(test.fullDuplexCall);
    const end = ended(call);
    call.write({ ...sized(RESPONSE_SIZES[0]), payload: zeros(REQUEST_SIZES[0]) });
    call.once("data", () => call.cancel());
    equal("status", (await end).status.code, Code.CANCELLED);
  },
  async timeout_on_sleeping_server(stub) {
    const call = stub.bidi(test.fullDuplexCall, new Metadata(), { deadline: Date.now() + 1 });
    const end = ended(call);
    call.write({ payload: zeros(REQUEST_SIZES[0]) });
    call.resume();
    equal("status", (await end).status.code, Code.DEADLINE_EXCEEDED);
  },
};

const compressed: Record<string, Case> = {
  async client_compressed_unary(stub, address) {
    const request = { responseSize: LARGE_RESPONSE_BYTES, payload: zeros(LARGE_REQUEST_BYTES) };
    const probe = await stub.unary(test.unaryCall, { ...request, expectCompressed: { value: true } });
    equal("not compressed, but said to be", probe.status.code, Code.INVALID_ARGUMENT);
    await withGzip(address, async (gzip) => {
      const { status, message } = await gzip.unary(test.unaryCall, { ...request, expectCompressed: { value: true } });
      equal("compressed", status.code, Code.OK);
      equal("bytes", message?.payload?.body.length, LARGE_RESPONSE_BYTES);
    });
    const plain = await stub.unary(test.unaryCall, { ...request, expectCompressed: { value: false } });
    equal("not compressed", plain.status.code, Code.OK);
    equal("bytes", plain.message?.payload?.body.length, LARGE_RESPONSE_BYTES);
  },
  async server_compressed_unary(stub) {
    for (const value of [true, false]) {
      const { status, message } = await stub.unary(test.unaryCall, {
        responseSize: LARGE_RESPONSE_BYTES,
        payload: zeros(LARGE_REQUEST_BYTES),
        responseCompressed: { value },
      });
      equal("status", status.code, Code.OK);
      equal("bytes", message?.payload?.body.length, LARGE_RESPONSE_BYTES);
    }
  },
  async server_compressed_streaming(stub) {
    const call = stub.serverStream(test.streamingOutputCall, {
      responseParameters: [
        { size: 31_415, compressed: { value: true } },
        { size: 92_653, compressed: { value: false } },
      ],
    });
    const end = ended(call);
    equal(
      "sizes",
      (await messages(call)).map((message) => message.payload?.body.length),
      [31_415, 92_653],
    );
    equal("status", (await end).status.code, Code.OK);
  },
};

/** The server resets the stream, wherever it stands: the call fails and its message is not delivered as if all were well. */
const reset: Case = async (stub) => {
  const { status } = await stub.unary(test.unaryCall, { responseSize: LARGE_RESPONSE_BYTES, payload: zeros(LARGE_REQUEST_BYTES) });
  ok(`status ${status.code}`, status.code !== Code.OK && status.code !== Code.DEADLINE_EXCEEDED);
};

const resets: Record<string, Case> = { rst_after_header: reset, rst_during_data: reset, rst_after_data: reset };

const HOUR_MS = 3_600_000;
const STREAM_MS = 30_000;
const STREAM_PERIOD_MS = 50;
let names = 0;
const unique = (): string => `grpc-js ${process.pid} ${performance.now()} ${++names}`;

const calls: Record<string, Case> = {
  async no_deadline(stub) {
    const { message } = await stub.unary(observer.arrived, {});
    equal("grpc-timeout", message?.grpcTimeout, "");
  },
  async long_deadline(stub) {
    for (const deadline of [60_000, HOUR_MS, 40 * HOUR_MS]) {
      const { message } = await stub.unary(observer.arrived, {}, new Metadata(), { deadline: Date.now() + deadline });
      const remaining = timeoutMs(message?.grpcTimeout ?? "");
      // Within what the proxy may take, and the coarseness of the field.
      ok(`${remaining} of ${deadline} ms remain`, remaining > deadline - 10_000 && remaining <= deadline * 1.02);
    }
  },
  async cancellation_reaches_server(stub) {
    const name = unique();
    const call = stub.bidi(observer.exchange);
    const end = ended(call);
    call.write({ name, note: { number: 1n } });
    const next = reader(call);
    equal("echo", (await next())?.number, 1n);
    call.cancel();
    await next().catch(() => {});
    equal("status", (await end).status.code, Code.CANCELLED);
    const { message } = await stub.unary(observer.ended, { name });
    equal("at the server", [message?.cancelled, message?.notes], [true, 1]);
  },
  async deadline_reaches_server(stub) {
    const name = unique();
    const call = stub.bidi(observer.exchange, new Metadata(), { deadline: Date.now() + 1500 });
    const end = ended(call);
    call.write({ name, note: { number: 1n } });
    call.resume();
    equal("status", (await end).status.code, Code.DEADLINE_EXCEEDED);
    const { message } = await stub.unary(observer.ended, { name });
    equal("at the server", [message?.cancelled, message?.notes], [true, 1]);
  },
  async half_close_of_client(stub) {
    const call = stub.bidi(observer.exchange);
    const end = ended(call);
    call.write({ name: unique(), afterHalfClose: 100, note: { number: 1n } });
    call.end();
    equal(
      "notes",
      (await messages(call)).map((note) => Number(note.number)),
      Array.from({ length: 101 }, (_, i) => i + 1),
    );
    equal("status", (await end).status.code, Code.OK);
  },
  async end_by_server(stub) {
    const name = unique();
    const call = stub.bidi(observer.exchange);
    const end = ended(call);
    call.write({ name, endAfter: 2, note: { number: 1n } });
    call.write({ note: { number: 2n } });
    equal("notes", (await messages(call)).length, 2);
    equal("status", (await end).status.code, Code.OK);
    const { message } = await stub.unary(observer.ended, { name });
    equal("at the server", message?.notes, 2);
  },
  async bidi_30_seconds(stub) {
    const call = stub.bidi(observer.exchange);
    const end = ended(call);
    let sent = 0;
    const timer = setInterval(() => {
      call.write({ name: sent === 0 ? unique() : "", note: { number: BigInt(++sent), body: new Uint8Array(1000) } });
      if (sent * STREAM_PERIOD_MS < STREAM_MS) return;
      clearInterval(timer);
      call.end();
    }, STREAM_PERIOD_MS);
    try {
      let received = 0;
      for await (const note of call) equal("note", Number((note as { number: bigint }).number), ++received);
      equal("notes", received, STREAM_MS / STREAM_PERIOD_MS);
      equal("status", (await end).status.code, Code.OK);
    } finally {
      clearInterval(timer);
    }
  },
  async parallel_100(stub) {
    const answers = await Promise.all(
      Array.from({ length: 100 }, () => stub.unary(test.unaryCall, { responseSize: 10_000, payload: zeros(10_000) })),
    );
    equal(
      "statuses",
      answers.map(({ status }) => status.code),
      answers.map(() => Code.OK),
    );
  },
};

export const cases: Readonly<Record<string, Case>> = { ...standard, ...compressed, ...resets, ...calls };
