// Contract of the transport: connections over plain and TLS sockets, listening, dialing, forwarding.
export { type ConnectError, type ConnectOptions, connect, formatDuration } from "./connect.ts";
export { Connection, type ConnectionHandler, errnoOf, type TlsSession, type TransportCounters } from "./connection.ts";
export { type Flushable, FlushQueue } from "./flush.ts";
export { forward } from "./forward.ts";
export { descriptorOf, Listener, MAX_HELD_CONNECTIONS } from "./listen.ts";
export { type OriginalDst, openOriginalDst } from "./original-dst.ts";
export { UserTimeout } from "./user-timeout.ts";
