// The API server of the embedded cluster: start it in a process of its own (main.ts) or inside another one (startApiServer).
export { createPki, type Pki, type PkiOptions, readPki } from "./pki.ts";
export { type ApiServer, type ApiServerOptions, startApiServer } from "./server.ts";
