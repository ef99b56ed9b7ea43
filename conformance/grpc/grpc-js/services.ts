// TestService of the interop cases and the Observer, as a server of grpc-js.
import {
  type handleBidiStreamingCall,
  type handleClientStreamingCall,
  type handleServerStreamingCall,
  type handleUnaryCall,
  Metadata,
  Server,
  type ServerWritableStream,
} from "@grpc/grpc-js";
import {
  type Empty,
  type SimpleRequest,
  type StreamingInputCallRequest,
  type StreamingOutputCallRequest,
  TestService,
} from "../gen/interop_pb.ts";
import { type CallName, type Hold, Observer } from "../gen/observer_pb.ts";
import { INITIAL_KEY, TRAILING_KEY } from "../values.ts";
import { definition } from "./stub.ts";

type Out = { payload: { body: Uint8Array } };

/** The metadata that the client wants to have back. */
function echoed(metadata: Metadata): { initial: Metadata | null; trailing: Metadata } {
  const trailing = new Metadata();
  for (const value of metadata.get(TRAILING_KEY)) trailing.set(TRAILING_KEY, value);
  const [value] = metadata.get(INITIAL_KEY);
  if (value === undefined) return { initial: null, trailing };
  const initial = new Metadata();
  initial.set(INITIAL_KEY, value);
  return { initial, trailing };
}

const emptyCall: handleUnaryCall<Empty, object> = (_call, callback) => callback(null, {});

const unaryCall: handleUnaryCall<SimpleRequest, Out> = (call, callback) => {
  const { initial, trailing } = echoed(call.metadata);
  if (initial !== null) call.sendMetadata(initial);
  const { responseStatus, responseSize } = call.request;
  if (responseStatus !== undefined && responseStatus.code !== 0)
    callback({ code: responseStatus.code, details: responseStatus.message, metadata: trailing });
  else callback(null, { payload: { body: new Uint8Array(responseSize) } }, trailing);
};

function send(call: Pick<ServerWritableStream<unknown, Out>, "write">, request: StreamingOutputCallRequest): void {
  for (const { size } of request.responseParameters) call.write({ payload: { body: new Uint8Array(size) } });
}

const streamingOutputCall: handleServerStreamingCall<StreamingOutputCallRequest, Out> = (call) => {
  send(call, call.request);
  call.end();
};

const streamingInputCall: handleClientStreamingCall<StreamingInputCallRequest, { aggregatedPayloadSize: number }> = (call, callback) => {
  let aggregatedPayloadSize = 0;
  call.on("data", (request: StreamingInputCallRequest) => {
    aggregatedPayloadSize += request.payload?.body.length ?? 0;
  });
  call.on("end", () => callback(null, { aggregatedPayloadSize }));
};

const fullDuplexCall: handleBidiStreamingCall<StreamingOutputCallRequest, Out> = (call) => {
  const { initial, trailing } = echoed(call.metadata);
  if (initial !== null) call.sendMetadata(initial);
  let over = false;
  call.on("data", (request: StreamingOutputCallRequest) => {
    if (over) return;
    const { responseStatus } = request;
    if (responseStatus === undefined || responseStatus.code === 0) send(call, request);
    else {
      over = true;
      call.emit("error", { code: responseStatus.code, details: responseStatus.message, metadata: trailing });
    }
  });
  call.on("end", () => {
    if (!over) call.end(trailing);
  });
};

const halfDuplexCall: handleBidiStreamingCall<StreamingOutputCallRequest, Out> = (call) => {
  const requests: StreamingOutputCallRequest[] = [];
  call.on("data", (request: StreamingOutputCallRequest) => requests.push(request));
  call.on("end", () => {
    for (const request of requests) send(call, request);
    call.end();
  });
};

type Seen = { cancelled: boolean; notes: number };
const AFTER_HALF_CLOSE_MS = 10;
/** grpc-js ends what the client reset for the reader first, as if it were half-closed, and says that it is cancelled some turns later. */
const CANCEL_MS = 500;

function observer() {
  // How calls ended, for those who ask before and after.
  const endings = new Map<string, Promise<Seen>>();
  const told = new Map<string, (seen: Seen) => void>();
  const ending = (name: string): Promise<Seen> => {
    const known = endings.get(name) ?? new Promise<Seen>((resolve) => told.set(name, resolve));
    endings.set(name, known);
    return known;
  };

  const exchange: handleBidiStreamingCall<Hold, { number: bigint; body?: Uint8Array }> = (call) => {
    let name = "";
    let notes = 0;
    let endAfter = 0;
    let more = 0;
    let over = false;
    const end = (cancelled: boolean): void => {
      if (over) return;
      over = true;
      ending(name);
      told.get(name)?.({ cancelled, notes });
    };
    call.on("data", (hold: Hold) => {
      if (over) return;
      if (notes === 0) ({ name, endAfter, afterHalfClose: more } = hold);
      notes++;
      if (hold.note !== undefined) call.write(hold.note);
      if (notes !== endAfter) return;
      end(false);
      call.end();
    });
    call.on("end", () => {
      let number = BigInt(notes);
      const next = (): void => {
        if (over) return;
        if (call.cancelled || Date.now() >= Number(call.getDeadline())) end(true);
        else if (more-- > 0) {
          call.write({ number: ++number });
          setTimeout(next, AFTER_HALF_CLOSE_MS);
        } else {
          end(false);
          call.end();
        }
      };
      setTimeout(next, CANCEL_MS);
    });
    call.on("cancelled", () => end(true));
    call.on("error", () => end(true));
  };

  const ended: handleUnaryCall<CallName, Seen> = (call, callback) => {
    ending(call.request.name).then((seen) => callback(null, seen));
  };
  return { Exchange: exchange, Ended: ended };
}

export function createServer(): Server {
  const server = new Server();
  server.addService(definition(TestService, ["UnimplementedMethod"]), {
    EmptyCall: emptyCall,
    UnaryCall: unaryCall,
    StreamingOutputCall: streamingOutputCall,
    StreamingInputCall: streamingInputCall,
    FullDuplexCall: fullDuplexCall,
    HalfDuplexCall: halfDuplexCall,
  });
  server.addService(definition(Observer, ["Arrived"]), observer());
  return server;
}
