// Makes the answer to a request that failed in the proxy: plain or gRPC, with or without informational headers (spec proxy §3.8).
import { type Fields, type HttpVersion, ResponseHead } from "#http";
import type { ProxyError } from "./errors.ts";

// RFC 9110 §5.5: visible characters, spaces and tabs; obs-text left out.
const HEADER_VALUE = /^[\t\x20-\x7e]*$/;

export type ErrorStyle = {
  /** Version of the request as the client sees it. */
  readonly version: HttpVersion;
  /** HTTP/2 request whose content-type begins with `application/grpc`. */
  readonly grpc: boolean;
  /** `l5d-proxy-error`, `l5d-proxy-connection` and `grpc-message` are shown. */
  readonly informational: boolean;
};

function message(error: ProxyError): string {
  return HEADER_VALUE.test(error.message) ? error.message : "unexpected error";
}

export function errorResponse(error: ProxyError, style: ErrorStyle): ResponseHead {
  const fields: string[] = ["content-length", "0"];
  if (style.grpc) fields.push("content-type", "application/grpc", "grpc-status", String(error.grpcStatus));
  if (style.informational) {
    if (style.grpc) fields.push("grpc-message", message(error));
    fields.push("l5d-proxy-error", message(error));
    if (error.closes) fields.push("l5d-proxy-connection", "close");
  }
  if (error.closes && style.version !== "HTTP/2") fields.push("connection", "close");
  return new ResponseHead({ version: style.version, status: style.grpc ? 200 : error.status, reason: null, fields });
}

/** Trailers that end a gRPC response which failed midway. */
export function errorTrailers(error: ProxyError, style: ErrorStyle): Fields {
  const fields = ["grpc-status", String(error.grpcStatus)];
  if (style.informational) fields.push("grpc-message", message(error));
  return fields;
}
