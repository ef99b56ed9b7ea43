import { expect, test } from "bun:test";
import { ErrorCode } from "#http";
import { Code, GrpcError, statusOfFields, statusOfHttp, statusOfReset } from "./index.ts";

test.each([
  [["grpc-status", "0"], { code: 0, message: "" }],
  [["x", "y", "grpc-status", "9", "grpc-message", "not%20ours: %E2%9C%93"], { code: 9, message: "not ours: ✓" }],
  [["grpc-status", "16", "grpc-message", "50% off"], { code: 16, message: "50% off" }],
  [["grpc-status", "17"], { code: Code.UNKNOWN, message: "" }],
  [["grpc-status", "-1"], { code: Code.UNKNOWN, message: "" }],
  [["grpc-status", "nonsense"], { code: Code.UNKNOWN, message: "" }],
  [["grpc-message", "alone"], null],
  [[], null],
])("%p → %p", (fields, status) => {
  expect(statusOfFields(fields)).toEqual(status);
});

test.each([
  [400, Code.INTERNAL],
  [401, Code.UNAUTHENTICATED],
  [403, Code.PERMISSION_DENIED],
  [404, Code.UNIMPLEMENTED],
  [502, Code.UNAVAILABLE],
  [504, Code.UNAVAILABLE],
  [500, Code.UNKNOWN],
  [200, Code.UNKNOWN],
])("HTTP %d → code %d", (status, code) => {
  expect(statusOfHttp(status).code).toBe(code);
});

test.each([
  [{ kind: "reset", code: ErrorCode.REFUSED_STREAM }, Code.UNAVAILABLE],
  [{ kind: "reset", code: ErrorCode.CANCEL }, Code.CANCELLED],
  [{ kind: "reset", code: ErrorCode.ENHANCE_YOUR_CALM }, Code.RESOURCE_EXHAUSTED],
  [{ kind: "reset", code: ErrorCode.INADEQUATE_SECURITY }, Code.PERMISSION_DENIED],
  [{ kind: "reset", code: ErrorCode.PROTOCOL_ERROR }, Code.INTERNAL],
  [{ kind: "refused" }, Code.UNAVAILABLE],
  [{ kind: "closed", errno: "ECONNRESET" }, Code.UNAVAILABLE],
  [{ kind: "protocol", message: "bad" }, Code.INTERNAL],
] as const)("%p → code %d", (error, code) => {
  expect(statusOfReset(error).code).toBe(code);
});

test("an error tells code and message", () => {
  const error = new GrpcError({ code: 9, message: "not ours" });
  expect([error.code, error.message]).toEqual([9, "FAILED_PRECONDITION: not ours"]);
});
