// Errors of the API: every refusal is a metav1.Status with code, reason, message and the fields at fault.

export interface StatusCause {
  reason?: string;
  message?: string;
  field?: string;
}

export interface StatusDetails {
  name?: string;
  group?: string;
  kind?: string;
  uid?: string;
  causes?: StatusCause[];
  retryAfterSeconds?: number;
}

export interface StatusObject {
  kind: "Status";
  apiVersion: "v1";
  metadata: Record<string, unknown>;
  status: "Success" | "Failure";
  message?: string;
  reason?: string;
  details?: StatusDetails;
  code?: number;
}

/** Thrown anywhere below a handler; answered as its Status. */
export class ApiError extends Error {
  constructor(
    readonly code: number,
    readonly reason: string,
    message: string,
    readonly details?: StatusDetails,
  ) {
    super(message);
  }

  toStatus(): StatusObject {
    return {
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Failure",
      message: this.message,
      ...(this.reason === "" ? {} : { reason: this.reason }),
      ...(this.details ? { details: this.details } : {}),
      code: this.code,
    };
  }
}

/** A group and a plural: how errors name a kind, `deployments.apps`. */
export interface GroupResource {
  group: string;
  resource: string;
}

export const qualified = ({ group, resource }: GroupResource) => (group === "" ? resource : `${resource}.${group}`);
const details = ({ group, resource }: GroupResource, name: string): StatusDetails => ({
  name,
  ...(group ? { group } : {}),
  kind: resource,
});

export const notFound = (type: GroupResource, name: string) =>
  new ApiError(404, "NotFound", `${qualified(type)} "${name}" not found`, details(type, name));
export const alreadyExists = (type: GroupResource, name: string) =>
  new ApiError(409, "AlreadyExists", `${qualified(type)} "${name}" already exists`, details(type, name));
export const conflict = (type: GroupResource, name: string, why: string) =>
  new ApiError(409, "Conflict", `Operation cannot be fulfilled on ${qualified(type)} "${name}": ${why}`, details(type, name));
export const modified = (type: GroupResource, name: string) =>
  conflict(type, name, "the object has been modified; please apply your changes to the latest version and try again");
export const forbidden = (type: GroupResource, name: string, why: string) =>
  new ApiError(
    403,
    "Forbidden",
    name === "" ? `${qualified(type)} is forbidden: ${why}` : `${qualified(type)} "${name}" is forbidden: ${why}`,
    { ...(name ? { name } : {}), ...(type.group ? { group: type.group } : {}), kind: type.resource },
  );
export const badRequest = (message: string) => new ApiError(400, "BadRequest", message);
export const unauthorized = () => new ApiError(401, "Unauthorized", "Unauthorized");
export const methodNotAllowed = () =>
  new ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {});
export const noSuchResource = () => new ApiError(404, "NotFound", "the server could not find the requested resource", {});
export const notAcceptable = (supported: string[]) =>
  new ApiError(406, "NotAcceptable", `only the following media types are accepted: ${supported.join(", ")}`);
export const unsupportedMediaType = (supported: string[]) =>
  new ApiError(
    415,
    "UnsupportedMediaType",
    `the body of the request was in an unknown format - accepted media types include: ${supported.join(", ")}`,
  );
export const expired = (message: string) => new ApiError(410, "Expired", message);
export const internalError = (message: string) =>
  new ApiError(500, "InternalError", `Internal error occurred: ${message}`, { causes: [{ message }] });
export const unavailable = (message: string) => new ApiError(503, "ServiceUnavailable", message);
export const tooManyRequests = (message: string, causes: StatusCause[]) => new ApiError(429, "TooManyRequests", message, { causes });

/** 422: the object breaks rules of its kind. */
export function invalid(kind: { group: string; kind: string }, name: string, errors: FieldError[]): ApiError {
  const messages = [...new Set(errors.map((error) => error.message))];
  const all = messages.length === 1 ? messages[0] : `[${messages.join(", ")}]`;
  return new ApiError(422, "Invalid", `${kind.group ? `${kind.kind}.${kind.group}` : kind.kind} "${name}" is invalid: ${all}`, {
    name,
    ...(kind.group ? { group: kind.group } : {}),
    kind: kind.kind,
    causes: errors.map(({ reason, detail, field }) => ({ reason, message: detail, field })),
  });
}

/** One broken rule; `detail` is what the cause says, `message` has the field before it. */
export interface FieldError {
  reason:
    | "FieldValueRequired"
    | "FieldValueInvalid"
    | "FieldValueNotSupported"
    | "FieldValueForbidden"
    | "FieldValueDuplicate"
    | "FieldValueNotFound"
    | "FieldValueTooLong"
    | "FieldValueTooMany"
    | "FieldValueTypeInvalid";
  field: string;
  detail: string;
  message: string;
}

const fieldError = (reason: FieldError["reason"], field: string, detail: string): FieldError => ({
  reason,
  field,
  detail,
  message: `${field}: ${detail}`,
});
const tail = (why: string) => (why === "" ? "" : `: ${why}`);

/** Values as Go's `%#v`-like quoting shows them in messages. */
function shown(value: unknown): string {
  return value === undefined || value === null ? "null" : JSON.stringify(value);
}

export const field = {
  required: (at: string, why = "") => fieldError("FieldValueRequired", at, `Required value${tail(why)}`),
  invalid: (at: string, value: unknown, why: string) => fieldError("FieldValueInvalid", at, `Invalid value: ${shown(value)}${tail(why)}`),
  typeInvalid: (at: string, value: unknown, why: string) =>
    fieldError("FieldValueTypeInvalid", at, `Invalid value: ${shown(value)}${tail(why)}`),
  notSupported: (at: string, value: unknown, supported: readonly unknown[]) =>
    fieldError("FieldValueNotSupported", at, `Unsupported value: ${shown(value)}: supported values: ${supported.map(shown).join(", ")}`),
  forbidden: (at: string, why: string) => fieldError("FieldValueForbidden", at, `Forbidden${tail(why)}`),
  duplicate: (at: string, value: unknown) => fieldError("FieldValueDuplicate", at, `Duplicate value: ${shown(value)}`),
  notFound: (at: string, value: unknown) => fieldError("FieldValueNotFound", at, `Not found: ${shown(value)}`),
  tooLong: (at: string, limit: number) => fieldError("FieldValueTooLong", at, `Too long: may not be more than ${limit} bytes`),
  tooMany: (at: string, count: number, limit: number) =>
    fieldError("FieldValueTooMany", at, `Too many: ${count}: must have at most ${limit} items`),
};
