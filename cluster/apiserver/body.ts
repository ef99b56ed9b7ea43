// Request bodies: JSON or YAML into values, and objects of a kind out of them.
import { parse } from "yaml";
import type { ApiObject } from "./kinds/resource.ts";
import { groupVersion } from "./kinds/resource.ts";
import type { Served } from "./registry.ts";
import { DecodeError, decode, isRecord } from "./schema/decode.ts";
import type { TypeNode } from "./schema/type-node.ts";
import { ApiError, badRequest, unsupportedMediaType } from "./status.ts";

const accepted = ["application/json", "application/yaml"];
/** Aliases expanded in YAML; more are a bomb. */
const maxAliasCount = 100;

/** @throws {ApiError} 400 or 415. */
export function parseBody(body: Uint8Array, contentType: string | undefined): unknown {
  const media = (contentType ?? "application/json").split(";")[0]?.trim().toLowerCase() ?? "";
  const text = new TextDecoder().decode(body);
  if (media === "application/yaml" || media === "application/apply-patch+yaml") {
    try {
      return parse(text, { maxAliasCount, uniqueKeys: false });
    } catch (error) {
      throw badRequest(`error converting YAML to JSON: ${(error as Error).message.split("\n")[0]}`);
    }
  }
  if (media !== "application/json" && media !== "" && !media.endsWith("+json") && media !== "*/*") throw unsupportedMediaType(accepted);
  if (text.trim() === "") throw badRequest("the request body is empty");
  try {
    return JSON.parse(text);
  } catch (error) {
    throw badRequest(`the object provided is unrecognized (must be of type JSON or YAML): ${(error as Error).message}`);
  }
}

export type FieldValidation = "Ignore" | "Warn" | "Strict";

/** @throws {ApiError} 422 for a value there is not. */
export function fieldValidation(query: URLSearchParams): FieldValidation {
  const value = query.get("fieldValidation") ?? "";
  if (value === "") return "Warn";
  if (value === "Ignore" || value === "Warn" || value === "Strict") return value;
  throw new ApiError(422, "Invalid", `fieldValidation: Unsupported value: "${value}": supported values: "", "Ignore", "Strict", "Warn"`);
}

/**
 * The value as an object of the request's kind, without unknown fields; warns of or refuses those as `validation` says.
 * @throws {ApiError} 400.
 */
export function readObject(
  value: unknown,
  served: Served,
  { validation, warn }: { validation: FieldValidation; warn: (message: string) => void },
): ApiObject {
  const { resource, version } = served;
  const apiVersion = groupVersion(resource.group, version.name);
  if (!isRecord(value)) throw badRequest(`the object provided is unrecognized (must be of type ${resource.kind})`);
  checkKind(value, apiVersion, resource.kind);
  const object = readAs<ApiObject>(value, version.type, resource.kind, apiVersion, { validation, warn, lenient: resource.custom });
  object.apiVersion = apiVersion;
  object.kind = resource.kind;
  if (!isRecord(object.metadata)) object.metadata = {};
  return object;
}

export function checkKind(value: Record<string, unknown>, apiVersion: string, kind: string): void {
  const given = { apiVersion: value["apiVersion"] ?? apiVersion, kind: value["kind"] ?? kind };
  if (given.kind !== kind)
    throw badRequest(
      `${given.kind} in version "${String(given.apiVersion).split("/").at(-1)}" cannot be handled as a ${kind}: converting to ${kind} is not possible`,
    );
  if (given.apiVersion !== apiVersion)
    throw badRequest(`the API version in the data (${given.apiVersion}) does not match the expected API version (${apiVersion})`);
}

/** Any value as a type of the catalogue. */
export function readAs<T>(
  value: unknown,
  type: TypeNode,
  kind: string,
  apiVersion: string,
  { validation, warn, lenient = false }: { validation: FieldValidation; warn: (message: string) => void; lenient?: boolean },
): T {
  try {
    const { value: read, unknown } = decode(value, type, kind, { lenient });
    if (unknown.length > 0 && validation !== "Ignore") {
      const messages = unknown.map((path) => `unknown field "${path}"`);
      if (validation === "Strict")
        throw badRequest(
          `${kind} in version "${apiVersion.split("/").at(-1)}" cannot be handled as a ${kind}: strict decoding error: ${messages.join(", ")}`,
        );
      for (const message of messages) warn(message);
    }
    return read as T;
  } catch (error) {
    if (error instanceof DecodeError)
      throw badRequest(`${kind} in version "${apiVersion.split("/").at(-1)}" cannot be handled as a ${kind}: ${error.message}`);
    throw error;
  }
}
