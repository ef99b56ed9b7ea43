# Interop server on grpcio: `python interop_server.py PORT`. Says "listening" when it does.
import sys
from concurrent import futures

import grpc
import interop_pb2
import interop_pb2_grpc

INITIAL_KEY = "x-grpc-test-echo-initial"
TRAILING_KEY = "x-grpc-test-echo-trailing-bin"


def echo_metadata(context):
    for key, value in context.invocation_metadata():
        if key == INITIAL_KEY:
            context.send_initial_metadata(((key, value),))
        elif key == TRAILING_KEY:
            context.set_trailing_metadata(((key, value),))


def zeros(size):
    return interop_pb2.Payload(body=bytes(size))


def compress(context, wanted):
    if not wanted.value:
        context.disable_next_message_compression()


def fail(context, status):
    context.set_code(next(code for code in grpc.StatusCode if code.value[0] == status.code))
    context.set_details(status.message)


class TestService(interop_pb2_grpc.TestServiceServicer):
    def EmptyCall(self, request, context):
        echo_metadata(context)
        return interop_pb2.Empty()

    def UnaryCall(self, request, context):
        if request.HasField("response_compressed"):
            context.set_compression(grpc.Compression.Gzip)
            compress(context, request.response_compressed)
        echo_metadata(context)
        if request.response_status.code:
            fail(context, request.response_status)
            return interop_pb2.SimpleResponse()
        return interop_pb2.SimpleResponse(payload=zeros(request.response_size))

    def StreamingOutputCall(self, request, context):
        if any(parameters.HasField("compressed") for parameters in request.response_parameters):
            context.set_compression(grpc.Compression.Gzip)
        for parameters in request.response_parameters:
            if parameters.HasField("compressed"):
                compress(context, parameters.compressed)
            yield interop_pb2.StreamingOutputCallResponse(payload=zeros(parameters.size))

    def StreamingInputCall(self, requests, context):
        size = sum(len(request.payload.body) for request in requests)
        return interop_pb2.StreamingInputCallResponse(aggregated_payload_size=size)

    def FullDuplexCall(self, requests, context):
        echo_metadata(context)
        for request in requests:
            if request.response_status.code:
                fail(context, request.response_status)
                return
            for parameters in request.response_parameters:
                yield interop_pb2.StreamingOutputCallResponse(payload=zeros(parameters.size))

    def HalfDuplexCall(self, requests, context):
        for request in list(requests):
            for parameters in request.response_parameters:
                yield interop_pb2.StreamingOutputCallResponse(payload=zeros(parameters.size))


server = grpc.server(futures.ThreadPoolExecutor(max_workers=64))
interop_pb2_grpc.add_TestServiceServicer_to_server(TestService(), server)
if server.add_insecure_port(f"0.0.0.0:{sys.argv[1]}") == 0:
    sys.exit("the port is taken")
server.start()
print("listening", flush=True)
server.wait_for_termination()
