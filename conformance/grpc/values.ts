// Values that the client programs of the interop cases share.

export const Code = { OK: 0, CANCELLED: 1, UNKNOWN: 2, INVALID_ARGUMENT: 3, DEADLINE_EXCEEDED: 4, UNIMPLEMENTED: 12 } as const;

/** Sizes and texts of gRPC's "Interoperability Test Case Descriptions". */
export const LARGE_REQUEST_BYTES = 271_828;
export const LARGE_RESPONSE_BYTES = 314_159;
export const REQUEST_SIZES = [27_182, 8, 1828, 45_904] as const;
export const RESPONSE_SIZES = [31_415, 9, 2653, 58_979] as const;
export const STATUS_MESSAGE = "test status message";
export const SPECIAL_STATUS_MESSAGE = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n";
export const INITIAL_KEY = "x-grpc-test-echo-initial";
export const INITIAL_VALUE = "test_initial_metadata_value";
export const TRAILING_KEY = "x-grpc-test-echo-trailing-bin";
export const TRAILING_VALUE: readonly number[] = [0xab, 0xab, 0xab];

const UNITS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };

/** The field grpc-timeout in milliseconds. @throws {Error} when it is none. */
export function timeoutMs(field: string): number {
  const match = /^(\d{1,8})([HMSmun])$/.exec(field);
  if (match === null) throw new Error(`grpc-timeout: "${field}"`);
  return Number(match[1]) * (UNITS[match[2] as string] as number);
}
