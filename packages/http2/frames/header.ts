// Frame types, flags and sizes, RFC 9113 §4.1 and §6.
//
//     +-----------------------------------------------+
//     |                 Length (24)                   |
//     +---------------+---------------+---------------+
//     |   Type (8)    |   Flags (8)   |
//     +-+-------------+---------------+-------------------------------+
//     |R|                 Stream Identifier (31)                      |
//     +=+=============================================================+
//     |                   Frame Payload (0...)                      ...
//     +---------------------------------------------------------------+
import type { OutputBuffer } from "#http";

export const FRAME_HEADER_BYTES = 9;

export const FrameType = {
  DATA: 0x0,
  HEADERS: 0x1,
  PRIORITY: 0x2,
  RST_STREAM: 0x3,
  SETTINGS: 0x4,
  PUSH_PROMISE: 0x5,
  PING: 0x6,
  GOAWAY: 0x7,
  WINDOW_UPDATE: 0x8,
  CONTINUATION: 0x9,
} as const;

export const Flag = {
  ACK: 0x1,
  END_STREAM: 0x1,
  END_HEADERS: 0x4,
  PADDED: 0x8,
  PRIORITY: 0x20,
} as const;

/** Largest payload this side receives, and sends: SETTINGS_MAX_FRAME_SIZE as it is at first. */
export const MAX_FRAME_BYTES = 16384;
export const MAX_WINDOW = 0x7fffffff;
export const DEFAULT_WINDOW = 65535;
export const MAX_STREAM_ID = 0x7fffffff;

/** What a client says first, RFC 9113 §3.4. */
export const CONNECTION_PREFACE: Readonly<Uint8Array> = Uint8Array.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (c) => c.charCodeAt(0));

/** Writes a frame header; there must be room for it. */
export function writeFrameHeader(out: OutputBuffer, length: number, type: number, flags: number, streamId: number): void {
  const bytes = out.bytes;
  const at = out.end;
  bytes[at] = length >>> 16;
  bytes[at + 1] = length >>> 8;
  bytes[at + 2] = length;
  bytes[at + 3] = type;
  bytes[at + 4] = flags;
  bytes[at + 5] = streamId >>> 24;
  bytes[at + 6] = streamId >>> 16;
  bytes[at + 7] = streamId >>> 8;
  bytes[at + 8] = streamId;
  out.end = at + FRAME_HEADER_BYTES;
}

export function writeUint32(out: OutputBuffer, value: number): void {
  const bytes = out.bytes;
  const at = out.end;
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
  out.end = at + 4;
}

/** Unsigned, as far as 2^32 - 1. */
export function readUint32(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at] as number) * 0x1000000 + (((bytes[at + 1] as number) << 16) | ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number))
  );
}

/** The lower 31 bits. */
export function readUint31(bytes: Uint8Array, at: number): number {
  return (
    (((bytes[at] as number) & 0x7f) << 24) |
    ((bytes[at + 1] as number) << 16) |
    ((bytes[at + 2] as number) << 8) |
    (bytes[at + 3] as number)
  );
}
