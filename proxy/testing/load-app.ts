// The application behind load.ts, a process: `bun load-app.ts DELAY_MS HTTP1_PORT GRPC_PORT`. Every answer takes DELAY_MS. Says "listening".
import http from "node:http";
import * as grpc from "@grpc/grpc-js";

const [delay = "0", http1Port = "", grpcPort = ""] = process.argv.slice(2);
const later = (answer: () => void): void => void setTimeout(answer, Number(delay));

const web = http.createServer((request, response) => {
  request.resume();
  request.on("end", () => later(() => response.end("answer")));
});
// Pooled connections of a proxy are closed by the proxy.
web.keepAliveTimeout = 0;
await new Promise<void>((resolve) => web.listen(Number(http1Port), "0.0.0.0", resolve));

const bytes = (value: Buffer): Buffer => value;
const server = new grpc.Server();
server.addService(
  {
    call: {
      path: "/load.Load/Call",
      requestStream: false,
      responseStream: false,
      requestSerialize: bytes,
      requestDeserialize: bytes,
      responseSerialize: bytes,
      responseDeserialize: bytes,
    },
  },
  { call: (call: grpc.ServerUnaryCall<Buffer, Buffer>, done: grpc.sendUnaryData<Buffer>) => later(() => done(null, call.request)) },
);
await new Promise<void>((resolve, reject) =>
  server.bindAsync(`0.0.0.0:${grpcPort}`, grpc.ServerCredentials.createInsecure(), (error) => (error ? reject(error) : resolve())),
);
console.log("listening");
