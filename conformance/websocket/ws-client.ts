// WebSocket client on the npm package ws: `node ws-client.mjs --server_host=HOST --server_port=PORT --test_case=NAME[,NAME …]`.
import { flags, runCases } from "../cases.ts";
import { wsCases } from "./ws-cases.ts";

const { host, port, cases } = flags(process.argv);
await runCases(cases, wsCases(`ws://${host}:${port}`));
process.exit(0);
