// How a call ended, from what HTTP/2 says (gRPC over HTTP2, "Responses" and "Errors"). Pure.
import { ErrorCode, type Fields, type StreamError } from "#http";

export const Code = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;

/** `code` 0 to 16; numbers that no code has become UNKNOWN. `message` is empty when the server gave none. */
export type Status = { readonly code: number; readonly message: string };

/** A call that did not end with OK. */
export class GrpcError extends Error {
  override readonly name = "GrpcError";
  readonly code: number;

  constructor(status: Status) {
    super(status.message === "" ? codeName(status.code) : `${codeName(status.code)}: ${status.message}`);
    this.code = status.code;
  }
}

export function codeName(code: number): string {
  return Object.entries(Code).find(([, value]) => value === code)?.[0] ?? "UNKNOWN";
}

/** The status that trailers, or the head of a response without body, carry; null when there is none. */
export function statusOfFields(fields: Fields): Status | null {
  let code: number | null = null;
  let message = "";
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i] === "grpc-status") code = parseCode(fields[i + 1] as string);
    else if (fields[i] === "grpc-message") message = decodeMessage(fields[i + 1] as string);
  }
  return code === null ? null : { code, message };
}

function parseCode(text: string): number {
  const code = /^\d{1,3}$/.test(text) ? Number(text) : Code.UNKNOWN;
  return code <= Code.UNAUTHENTICATED ? code : Code.UNKNOWN;
}

/** Percent-encoded UTF-8; what is not stays as it is. */
function decodeMessage(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

const HTTP: Readonly<Record<number, number>> = {
  400: Code.INTERNAL,
  401: Code.UNAUTHENTICATED,
  403: Code.PERMISSION_DENIED,
  404: Code.UNIMPLEMENTED,
  429: Code.UNAVAILABLE,
  502: Code.UNAVAILABLE,
  503: Code.UNAVAILABLE,
  504: Code.UNAVAILABLE,
};

/** Of a response that is not gRPC: a proxy's, say. */
export function statusOfHttp(status: number): Status {
  return { code: HTTP[status] ?? Code.UNKNOWN, message: `HTTP status ${status}` };
}

/** Of a stream that ended early. */
export function statusOfReset(error: StreamError): Status {
  switch (error.kind) {
    case "reset":
      return { code: ofErrorCode(error.code), message: `stream reset with code ${error.code}` };
    case "refused":
      return { code: Code.UNAVAILABLE, message: "request refused" };
    case "closed":
      return { code: Code.UNAVAILABLE, message: error.errno === "" ? "connection closed" : `connection closed: ${error.errno}` };
    case "protocol":
      return { code: Code.INTERNAL, message: error.message };
    default:
      return error satisfies never;
  }
}

function ofErrorCode(code: number): number {
  switch (code) {
    case ErrorCode.REFUSED_STREAM:
      return Code.UNAVAILABLE;
    case ErrorCode.CANCEL:
      return Code.CANCELLED;
    case ErrorCode.ENHANCE_YOUR_CALM:
      return Code.RESOURCE_EXHAUSTED;
    case ErrorCode.INADEQUATE_SECURITY:
      return Code.PERMISSION_DENIED;
    default:
      return Code.INTERNAL;
  }
}
