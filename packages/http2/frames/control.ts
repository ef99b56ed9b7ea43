// The small frames: RST_STREAM (RFC 9113 §6.4), PING (§6.7), GOAWAY (§6.8), WINDOW_UPDATE (§6.9).
import type { OutputBuffer } from "#http";
import { Flag, FRAME_HEADER_BYTES, FrameType, writeFrameHeader, writeUint32 } from "./header.ts";

export const RST_STREAM_BYTES = FRAME_HEADER_BYTES + 4;
export const PING_BYTES = FRAME_HEADER_BYTES + 8;

export function writeRstStream(out: OutputBuffer, streamId: number, code: number): void {
  out.room(RST_STREAM_BYTES);
  writeFrameHeader(out, 4, FrameType.RST_STREAM, 0, streamId);
  writeUint32(out, code);
}

/** `opaque[at…]` holds the eight bytes to send. */
export function writePing(out: OutputBuffer, ack: boolean, opaque: Uint8Array, at: number): void {
  out.room(PING_BYTES);
  writeFrameHeader(out, 8, FrameType.PING, ack ? Flag.ACK : 0, 0);
  for (let i = 0; i < 8; i++) out.bytes[out.end++] = opaque[at + i] as number;
}

/** `debug` is ASCII for whoever reads a trace. */
export function writeGoaway(out: OutputBuffer, lastStreamId: number, code: number, debug: string): void {
  out.room(FRAME_HEADER_BYTES + 8 + debug.length);
  writeFrameHeader(out, 8 + debug.length, FrameType.GOAWAY, 0, 0);
  writeUint32(out, lastStreamId);
  writeUint32(out, code);
  for (let i = 0; i < debug.length; i++) out.bytes[out.end++] = debug.charCodeAt(i);
}

/** `streamId` 0 is the connection's window; `increment` 1 to 2^31 - 1. */
export function writeWindowUpdate(out: OutputBuffer, streamId: number, increment: number): void {
  out.room(FRAME_HEADER_BYTES + 4);
  writeFrameHeader(out, 4, FrameType.WINDOW_UPDATE, 0, streamId);
  writeUint32(out, increment);
}
