// Interop and observer server on grpc-js: `node server.mjs PORT`. Says "listening" when it does.
import { ServerCredentials } from "@grpc/grpc-js";
import { createServer } from "./services.ts";

createServer().bindAsync(`0.0.0.0:${process.argv[2]}`, ServerCredentials.createInsecure(), (error) => {
  if (error !== null) throw error;
  console.log("listening");
});
