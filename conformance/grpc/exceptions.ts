// Cases that a target is right not to pass, each with its reason.
import type { Exception } from "../suite.ts";

const TARGETS = ["direct", "outbound", "inbound", "inbound-tls", "two-proxies", "two-proxies-changing"];

/** Cases that fail without a proxy too. */
const OF_THE_STACK: Readonly<Record<string, string>> = {
  "grpc-go-http2 → rst_during_data: rst_during_data":
    "also without a proxy: grpc-go's library says INTERNAL to a reset amid a message, its own case wants UNKNOWN. grpcio and grpc-js pass it.",
  "grpc-js → rst_after_header: rst_after_header":
    "also without a proxy: grpc-js does not notice that a stream is reset with NO_ERROR while its request is being sent. grpcio and grpc-go pass it.",
};

export const exceptions: readonly Exception[] = TARGETS.flatMap((target) =>
  Object.entries(OF_THE_STACK).map(([name, reason]) => ({ target, case: name, reason })),
);
