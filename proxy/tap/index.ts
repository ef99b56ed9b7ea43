// Live requests for one permitted client (spec proxy §10). Contract of the tap server.
export { TapRegistry, type Taps } from "./registry.ts";
export { MAX_CALLS, MAX_REQUEST_BYTES, TapServer, type TapServerOptions } from "./server.ts";
export { MAX_QUEUED_BYTES, MAX_QUEUED_EVENTS } from "./subscription.ts";
