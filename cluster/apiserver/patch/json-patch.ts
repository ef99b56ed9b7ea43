// JSON patch (RFC 6902), with the refusals worded for the API.
import fastJsonPatch, { type Operation } from "fast-json-patch";

/** More operations in one patch are refused, as in Kubernetes. */
export const maxOperations = 10_000;

export class PatchError extends Error {}

/**
 * A new document.
 * @throws {PatchError} when the patch is malformed or does not fit the document.
 */
export function jsonPatch(document: unknown, patch: unknown): unknown {
  if (!Array.isArray(patch)) throw new PatchError("the patch is not a list of operations");
  if (patch.length > maxOperations)
    throw new PatchError(`the allowed maximum operations in a JSON patch is ${maxOperations}, got ${patch.length}`);
  patch.forEach((operation: unknown, index) => {
    if (typeof operation !== "object" || operation === null) throw new PatchError(`operation ${index} is not an object`);
    const { op, path } = operation as Record<string, unknown>;
    if (typeof op !== "string" || !["add", "remove", "replace", "move", "copy", "test"].includes(op))
      throw new PatchError(`operation ${index}: unexpected kind: ${String(op)}`);
    if (typeof path !== "string") throw new PatchError(`operation ${index}: path is missing`);
  });
  try {
    return fastJsonPatch.applyPatch(document, patch as Operation[], true, false, true).newDocument;
  } catch (error) {
    const { name, index, operation } = error as { name?: string; index?: number; operation?: { op?: string; path?: string } };
    if (name === "TEST_OPERATION_FAILED") throw new PatchError(`testing value ${operation?.path ?? ""} failed`);
    throw new PatchError(
      `operation ${index ?? "?"}: ${operation?.op ?? ""} ${operation?.path ?? ""}: ${nameToText[name ?? ""] ?? (error as Error).message.split("\n")[0]}`,
    );
  }
}

const nameToText: Record<string, string> = {
  OPERATION_PATH_UNRESOLVABLE: "path does not exist",
  OPERATION_FROM_UNRESOLVABLE: "from path does not exist",
  OPERATION_PATH_CANNOT_ADD: "unable to add at this path: parent does not exist",
  OPERATION_VALUE_OUT_OF_BOUNDS: "index out of bounds",
  OPERATION_PATH_ILLEGAL_ARRAY_INDEX: "illegal array index",
  OPERATION_PATH_INVALID: "malformed path",
  OPERATION_VALUE_REQUIRED: "value is missing",
};
