// Interop client on grpc-js: `node client.mjs --server_host=HOST --server_port=PORT --test_case=NAME[,NAME …]`.
import { flags, runCases } from "../../cases.ts";
import { cases } from "./cases.ts";
import { Stub } from "./stub.ts";

const settings = flags(process.argv);
const address = `${settings.host}:${settings.port}`;
const stub = new Stub(address);
await runCases(settings.cases, Object.fromEntries(Object.entries(cases).map(([name, run]) => [name, () => run(stub, address)])));
// A case that failed may have left a call.
process.exit(0);
