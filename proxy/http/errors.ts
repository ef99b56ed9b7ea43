// The one table of what goes wrong and how it is answered (spec proxy §3.8, §4.9).

/** `error` label of `inbound_*_errors_total` and `outbound_*_errors_total` (spec proxy §9.7). */
export type ErrorLabel =
  | "failfast"
  | "tls detection timeout"
  | "unknown port denied"
  | "gateway identity required"
  | "gateway loop"
  | "gateway domain invalid"
  | "identity required"
  | "response timeout"
  | "i/o"
  | "unexpected";

export type ProxyError = {
  /** Value of `l5d-proxy-error` and `grpc-message`. */
  readonly message: string;
  readonly status: number;
  readonly grpcStatus: number;
  /** Null: counted elsewhere (denials). */
  readonly label: ErrorLabel | null;
  /** The client's connection ends after the answer. */
  readonly closes: boolean;
};

function error(status: number, grpcStatus: number, label: ErrorLabel | null, closes: boolean, message: string): ProxyError {
  return { message, status, grpcStatus, label, closes };
}

export const UNEXPECTED = error(500, 13, "unexpected", true, "unexpected error");
/** A downgraded HTTP/2 error, or an endpoint that broke its protocol or went away. */
export const BAD_GATEWAY = error(502, 14, "i/o", true, "connection closed by the endpoint");
export const NO_IDENTITY = error(403, 16, "gateway identity required", false, "no identity provided");
export const BAD_GATEWAY_DOMAIN = error(404, 5, "gateway domain invalid", false, "bad gateway domain");
export const GATEWAY_LOOP = error(508, 10, "gateway loop", true, "gateway loop detected");

export function unauthorized(serverName: string): ProxyError {
  return error(403, 7, null, false, `unauthorized connection on server ${serverName}`);
}

/** `layer` such as `HTTP Balancer`. */
export function failFastError(layer: string): ProxyError {
  return error(504, 14, "failfast", true, `${layer} service in fail-fast`);
}

export function connectError(failure: { readonly kind: "timeout" | "io" | "loop"; readonly message: string }): ProxyError {
  if (failure.kind === "loop") return UNEXPECTED;
  return error(failure.kind === "timeout" ? 504 : 502, 14, "i/o", true, failure.message);
}

/** `duration` as the reference prints it: `100ms`, `1s`. */
export function responseTimeout(duration: string): ProxyError {
  return error(504, 14, "response timeout", true, `HTTP response timeout after ${duration}`);
}

export function identityRequired(required: string, found: string | null): ProxyError {
  return error(502, 14, "identity required", true, `required id ${required}; found ${found ?? "none"}`);
}
