# Interop client on grpcio: `python interop_client.py --server_host=HOST --server_port=PORT --test_case=NAME[,NAME ...]`.
# A line of JSON tells of each case: {"case": ..., "error": ... or null}.
import argparse
import json
import os
import queue
import re
import sys
import threading
import time
from concurrent import futures

import grpc
import interop_pb2 as pb
import interop_pb2_grpc
import observer_pb2
import observer_pb2_grpc

LARGE_REQUEST_BYTES = 271828
LARGE_RESPONSE_BYTES = 314159
REQUEST_SIZES = [27182, 8, 1828, 45904]
RESPONSE_SIZES = [31415, 9, 2653, 58979]
SPECIAL_STATUS_MESSAGE = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"
INITIAL = ("x-grpc-test-echo-initial", "test_initial_metadata_value")
TRAILING = ("x-grpc-test-echo-trailing-bin", b"\xab\xab\xab")
CASE_SECONDS = 45
UNITS = {"H": 3600, "M": 60, "S": 1, "m": 1e-3, "u": 1e-6, "n": 1e-9}


def equal(what, actual, expected):
    if actual != expected:
        raise AssertionError(f"{what}: {actual!r}, expected {expected!r}")


class Pipe:
    """Requests of a stream, given one by one."""

    def __init__(self):
        self._queue = queue.Queue()

    def send(self, message):
        self._queue.put(message)

    def close(self):
        self._queue.put(None)

    def __iter__(self):
        return self

    def __next__(self):
        message = self._queue.get()
        if message is None:
            raise StopIteration
        return message


def zeros(size):
    return pb.Payload(body=bytes(size))


def large(**fields):
    return pb.SimpleRequest(response_size=LARGE_RESPONSE_BYTES, payload=zeros(LARGE_REQUEST_BYTES), **fields)


def sized(size, **fields):
    return pb.StreamingOutputCallRequest(response_parameters=[pb.ResponseParameters(size=size)], **fields)


def fails(call):
    """The error of a call that must fail."""
    try:
        result = call()
    except grpc.RpcError as error:
        return error
    raise AssertionError(f"answered: {type(result).__name__}")


def empty_unary(stub, observer):
    equal("answer", stub.EmptyCall(pb.Empty()), pb.Empty())


def large_unary(stub, observer):
    equal("bytes", len(stub.UnaryCall(large()).payload.body), LARGE_RESPONSE_BYTES)


def client_streaming(stub, observer):
    answer = stub.StreamingInputCall(pb.StreamingInputCallRequest(payload=zeros(size)) for size in REQUEST_SIZES)
    equal("size", answer.aggregated_payload_size, sum(REQUEST_SIZES))


def server_streaming(stub, observer):
    request = pb.StreamingOutputCallRequest(response_parameters=[pb.ResponseParameters(size=size) for size in RESPONSE_SIZES])
    equal("sizes", [len(answer.payload.body) for answer in stub.StreamingOutputCall(request)], RESPONSE_SIZES)


def ping_pong(stub, observer):
    pipe = Pipe()
    answers = stub.FullDuplexCall(pipe)
    for request, response in zip(REQUEST_SIZES, RESPONSE_SIZES):
        pipe.send(sized(response, payload=zeros(request)))
        equal("size", len(next(answers).payload.body), response)
    pipe.close()
    equal("after the last", list(answers), [])


def empty_stream(stub, observer):
    equal("answers", list(stub.FullDuplexCall(iter(()))), [])


def half_duplex(stub, observer):
    answers = stub.HalfDuplexCall(sized(size) for size in RESPONSE_SIZES)
    equal("sizes", [len(answer.payload.body) for answer in answers], RESPONSE_SIZES)


def look_at_metadata(call):
    equal("initial metadata", dict(call.initial_metadata()).get(INITIAL[0]), INITIAL[1])
    equal("trailing metadata", dict(call.trailing_metadata()).get(TRAILING[0]), TRAILING[1])


def custom_metadata(stub, observer):
    _, call = stub.UnaryCall.with_call(large(), metadata=(INITIAL, TRAILING))
    look_at_metadata(call)
    pipe = Pipe()
    stream = stub.FullDuplexCall(pipe, metadata=(INITIAL, TRAILING))
    pipe.send(sized(LARGE_RESPONSE_BYTES, payload=zeros(LARGE_REQUEST_BYTES)))
    next(stream)
    pipe.close()
    equal("after the first", list(stream), [])
    look_at_metadata(stream)


def status_code_and_message(stub, observer):
    status = pb.EchoStatus(code=2, message="test status message")
    error = fails(lambda: stub.UnaryCall(pb.SimpleRequest(response_status=status)))
    equal("status", (error.code(), error.details()), (grpc.StatusCode.UNKNOWN, status.message))
    error = fails(lambda: list(stub.FullDuplexCall(iter([pb.StreamingOutputCallRequest(response_status=status)]))))
    equal("status of the stream", (error.code(), error.details()), (grpc.StatusCode.UNKNOWN, status.message))


def special_status_message(stub, observer):
    error = fails(lambda: stub.UnaryCall(pb.SimpleRequest(response_status=pb.EchoStatus(code=2, message=SPECIAL_STATUS_MESSAGE))))
    equal("status", (error.code(), error.details()), (grpc.StatusCode.UNKNOWN, SPECIAL_STATUS_MESSAGE))


def unimplemented_method(stub, observer):
    equal("status", fails(lambda: stub.UnimplementedMethod(pb.Empty())).code(), grpc.StatusCode.UNIMPLEMENTED)


def unimplemented_service(stub, observer):
    other = interop_pb2_grpc.UnimplementedServiceStub(channel)
    equal("status", fails(lambda: other.UnimplementedCall(pb.Empty())).code(), grpc.StatusCode.UNIMPLEMENTED)


def cancel_after_begin(stub, observer):
    pipe = Pipe()
    call = stub.StreamingInputCall.future(pipe)
    call.cancel()
    pipe.close()
    equal("cancelled", (call.cancelled(), call.code()), (True, grpc.StatusCode.CANCELLED))


def cancel_after_first_response(stub, observer):
    pipe = Pipe()
    call = stub.FullDuplexCall(pipe)
    pipe.send(sized(RESPONSE_SIZES[0], payload=zeros(REQUEST_SIZES[0])))
    next(call)
    call.cancel()
    equal("status", fails(lambda: next(call)).code(), grpc.StatusCode.CANCELLED)
    pipe.close()


def timeout_on_sleeping_server(stub, observer):
    pipe = Pipe()
    call = stub.FullDuplexCall(pipe, timeout=0.001)
    pipe.send(pb.StreamingOutputCallRequest(payload=zeros(REQUEST_SIZES[0])))
    equal("status", fails(lambda: next(call)).code(), grpc.StatusCode.DEADLINE_EXCEEDED)
    pipe.close()


def client_compressed_unary(stub, observer):
    error = fails(lambda: stub.UnaryCall(large(expect_compressed=pb.BoolValue(value=True))))
    equal("not compressed, but said to be", error.code(), grpc.StatusCode.INVALID_ARGUMENT)
    for value, compression in ((True, grpc.Compression.Gzip), (False, grpc.Compression.NoCompression)):
        answer = stub.UnaryCall(large(expect_compressed=pb.BoolValue(value=value)), compression=compression)
        equal("bytes", len(answer.payload.body), LARGE_RESPONSE_BYTES)


def server_compressed_unary(stub, observer):
    for value in (True, False):
        answer = stub.UnaryCall(large(response_compressed=pb.BoolValue(value=value)))
        equal("bytes", len(answer.payload.body), LARGE_RESPONSE_BYTES)


def server_compressed_streaming(stub, observer):
    sizes = ((31415, True), (92653, False))
    parameters = [pb.ResponseParameters(size=size, compressed=pb.BoolValue(value=value)) for size, value in sizes]
    answers = stub.StreamingOutputCall(pb.StreamingOutputCallRequest(response_parameters=parameters))
    equal("sizes", [len(answer.payload.body) for answer in answers], [size for size, _ in sizes])


def rst_after_header(stub, observer):
    code = fails(lambda: stub.UnaryCall(large())).code()
    if code in (grpc.StatusCode.OK, grpc.StatusCode.DEADLINE_EXCEEDED):
        raise AssertionError(f"status {code}")


rst_during_data = rst_after_data = rst_after_header


def unique():
    return f"grpcio {os.getpid()} {time.monotonic_ns()}"


def hold(number=1, **fields):
    return observer_pb2.Hold(note=observer_pb2.Note(number=number), **fields)


def no_deadline(stub, observer):
    equal("grpc-timeout", observer.Arrived(observer_pb2.Nothing()).grpc_timeout, "")


def long_deadline(stub, observer):
    for seconds in (60, 3600, 40 * 3600):
        arrival = observer.Arrived(observer_pb2.Nothing(), timeout=seconds)
        match = re.fullmatch(r"(\d{1,8})([HMSmun])", arrival.grpc_timeout)
        if not match:
            raise AssertionError(f"grpc-timeout: {arrival.grpc_timeout}")
        remaining = int(match[1]) * UNITS[match[2]]
        # Within what the proxy may take, and the coarseness of the field.
        if not seconds - 10 < remaining <= seconds * 1.02:
            raise AssertionError(f"{remaining} of {seconds} s remain")


def cancellation_reaches_server(stub, observer):
    name = unique()
    pipe = Pipe()
    call = observer.Exchange(pipe)
    pipe.send(hold(name=name))
    equal("echo", next(call).number, 1)
    call.cancel()
    equal("status", fails(lambda: next(call)).code(), grpc.StatusCode.CANCELLED)
    pipe.close()
    equal("at the server", observer.Ended(observer_pb2.CallName(name=name)), observer_pb2.Ending(cancelled=True, notes=1))


def deadline_reaches_server(stub, observer):
    name = unique()
    pipe = Pipe()
    call = observer.Exchange(pipe, timeout=1.5)
    pipe.send(hold(name=name))
    equal("echo", next(call).number, 1)
    equal("status", fails(lambda: next(call)).code(), grpc.StatusCode.DEADLINE_EXCEEDED)
    pipe.close()
    equal("at the server", observer.Ended(observer_pb2.CallName(name=name)), observer_pb2.Ending(cancelled=True, notes=1))


def half_close_of_client(stub, observer):
    notes = observer.Exchange(iter([hold(name=unique(), after_half_close=100)]))
    equal("notes", [note.number for note in notes], list(range(1, 102)))


def end_by_server(stub, observer):
    name = unique()
    pipe = Pipe()
    notes = observer.Exchange(pipe)
    pipe.send(hold(name=name, end_after=2))
    pipe.send(hold(2))
    equal("notes", [note.number for note in notes], [1, 2])
    pipe.close()
    equal("at the server", observer.Ended(observer_pb2.CallName(name=name)).notes, 2)


def bidi_30_seconds(stub, observer):
    count = 600

    def notes():
        for number in range(1, count + 1):
            yield observer_pb2.Hold(
                name=unique() if number == 1 else "", note=observer_pb2.Note(number=number, body=bytes(1000))
            )
            time.sleep(0.05)

    equal("notes", [note.number for note in observer.Exchange(notes())], list(range(1, count + 1)))


def parallel_100(stub, observer):
    requests = [stub.UnaryCall.future(pb.SimpleRequest(response_size=10000, payload=zeros(10000))) for _ in range(100)]
    equal("sizes", [len(request.result().payload.body) for request in requests], [10000] * 100)


parser = argparse.ArgumentParser()
for flag in ("server_host", "server_port", "test_case"):
    parser.add_argument(f"--{flag}", required=True)
flags = parser.parse_args()
channel = grpc.insecure_channel(f"{flags.server_host}:{flags.server_port}", options=[("grpc.enable_http_proxy", 0)])
stubs = (interop_pb2_grpc.TestServiceStub(channel), observer_pb2_grpc.ObserverStub(channel))

for name in flags.test_case.split(","):
    case = globals()[name]
    future = futures.Future()

    def run():
        try:
            case(*stubs)
            future.set_result(None)
        except Exception as error:  # noqa: BLE001: whatever it is, it is the result
            future.set_result(f"{type(error).__name__}: {error}")

    threading.Thread(target=run, daemon=True).start()
    try:
        error = future.result(CASE_SECONDS)
    except futures.TimeoutError:
        error = f"not done after {CASE_SECONDS} s"
    print(json.dumps({"case": name, "error": error}), flush=True)

# A case that failed may have left a call.
sys.stdout.flush()
os._exit(0)
