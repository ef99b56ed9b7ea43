// Asks emojivoto's voting service for its results over gRPC, and tells the outcome as a line of JSON: {"code", "message"}, code "ok" or the
// name of a gRPC status (permission_denied). Argument: http://host:port.
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { VotingService } from "../../examples/emojivoto/gen/voting_pb.ts";

const client = createClient(VotingService, createGrpcTransport({ baseUrl: process.argv[2] ?? "", defaultTimeoutMs: 5000 }));
const outcome = await client.results({}).then(
  () => ({ code: "ok", message: "" }),
  (error) => ({
    code: Code[ConnectError.from(error).code],
    message: ConnectError.from(error).rawMessage,
    metadata: Object.fromEntries(ConnectError.from(error).metadata),
  }),
);
console.log(JSON.stringify(outcome));
process.exit(0);
