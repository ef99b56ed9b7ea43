// Errors of the Kubernetes API and of reaching it, as one type.
import type { StatusDetails } from "./types.ts";

/** A `Status` object as the API server answers it. */
export interface StatusBody {
  code?: number;
  reason?: string;
  message?: string;
  details?: StatusDetails;
}

/**
 * What went wrong with a request to the API server.
 *
 * - `code`: HTTP status; 0 when no answer came (connection refused, reset, timed out).
 * - `reason`: Kubernetes's word for it (`NotFound`, `AlreadyExists`, `Conflict`, `Expired`, `Forbidden`, …); `Unreachable` when no answer came.
 * - `causes`: the fields at fault, when the server names them.
 */
export class KubeError extends Error {
  override readonly name = "KubeError";
  readonly code: number;
  readonly reason: string;
  readonly causes: { field: string; message: string; reason: string }[];
  readonly details: StatusDetails | undefined;

  constructor({
    code,
    reason,
    message,
    details,
    cause,
  }: { code: number; reason: string; message: string; details?: StatusDetails | undefined; cause?: unknown }) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.reason = reason;
    this.details = details;
    this.causes = (details?.causes ?? []).map((one) => ({ field: one.field ?? "", message: one.message ?? "", reason: one.reason ?? "" }));
  }

  /** The error for an answer of the server; `text` may be a `Status`, or anything a proxy in between has said. */
  static fromBody(httpStatus: number, text: string, request: string): KubeError {
    let status: StatusBody = {};
    try {
      const parsed: unknown = JSON.parse(text);
      if (parsed && typeof parsed === "object" && (parsed as { kind?: string }).kind === "Status") status = parsed as StatusBody;
    } catch {
      // Not JSON: the text itself is the message.
    }
    return new KubeError({
      code: status.code ?? httpStatus,
      reason: status.reason || (reasonOf[httpStatus] ?? "Unknown"),
      message: status.message || `${request}: the server answered ${httpStatus}${text ? `: ${text.slice(0, 512).trim()}` : ""}`,
      details: status.details,
    });
  }

  /** True for an answer that says "no such object" (or no such resource type). */
  static isNotFound(error: unknown): boolean {
    return error instanceof KubeError && error.code === 404;
  }

  /** True for 409 of any reason. */
  static isConflict(error: unknown): boolean {
    return error instanceof KubeError && error.code === 409;
  }

  /** True when the resourceVersion asked for is gone and a new list is needed. */
  static isExpired(error: unknown): boolean {
    return error instanceof KubeError && (error.code === 410 || error.reason === "Expired" || error.reason === "Gone");
  }
}

/** A kubeconfig that cannot be used: names file and field. */
export class KubeconfigError extends Error {
  override readonly name = "KubeconfigError";
}

const reasonOf: Record<number, string> = {
  400: "BadRequest",
  401: "Unauthorized",
  403: "Forbidden",
  404: "NotFound",
  405: "MethodNotAllowed",
  409: "Conflict",
  410: "Expired",
  422: "Invalid",
  429: "TooManyRequests",
  500: "InternalError",
  503: "ServiceUnavailable",
  504: "Timeout",
};
