// SETTINGS, RFC 9113 §6.5.

import type { OutputBuffer } from "#http";
import { ErrorCode } from "#http";
import { Flag, FRAME_HEADER_BYTES, FrameType, MAX_WINDOW, readUint32, writeFrameHeader, writeUint32 } from "./header.ts";

export const Setting = {
  HEADER_TABLE_SIZE: 0x1,
  ENABLE_PUSH: 0x2,
  MAX_CONCURRENT_STREAMS: 0x3,
  INITIAL_WINDOW_SIZE: 0x4,
  MAX_FRAME_SIZE: 0x5,
  MAX_HEADER_LIST_SIZE: 0x6,
} as const;

export const SETTINGS_ACK_BYTES = FRAME_HEADER_BYTES;

/** `settings`: identifier, value, identifier, value … */
export function writeSettings(out: OutputBuffer, settings: readonly number[]): void {
  const length = settings.length * 3;
  out.room(FRAME_HEADER_BYTES + length);
  writeFrameHeader(out, length, FrameType.SETTINGS, 0, 0);
  for (let i = 0; i < settings.length; i += 2) {
    out.bytes[out.end++] = (settings[i] as number) >>> 8;
    out.bytes[out.end++] = settings[i] as number;
    writeUint32(out, settings[i + 1] as number);
  }
}

export function writeSettingsAck(out: OutputBuffer): void {
  out.room(SETTINGS_ACK_BYTES);
  writeFrameHeader(out, 0, FrameType.SETTINGS, Flag.ACK, 0);
}

/** What a SETTINGS frame changes; undefined: not named in it. */
export type SettingsChange = {
  /** The smallest and the last value, RFC 7541 §4.2. */
  smallestTableSize?: number;
  tableSize?: number;
  maxConcurrentStreams?: number;
  initialWindow?: number;
  maxFrameBytes?: number;
};

export type SettingsError = { readonly code: number; readonly message: string };

/** Reads the parameters in `bytes[start..end)`, whose number is whole. Unknown ones are ignored. */
export function readSettings(bytes: Uint8Array, start: number, end: number, fromServer: boolean): SettingsChange | SettingsError {
  const change: SettingsChange = {};
  for (let at = start; at < end; at += 6) {
    const value = readUint32(bytes, at + 2);
    switch (((bytes[at] as number) << 8) | (bytes[at + 1] as number)) {
      case Setting.HEADER_TABLE_SIZE:
        change.smallestTableSize = Math.min(change.smallestTableSize ?? value, value);
        change.tableSize = value;
        break;
      case Setting.ENABLE_PUSH:
        if (value > 1 || (fromServer && value === 1)) return { code: ErrorCode.PROTOCOL_ERROR, message: `SETTINGS_ENABLE_PUSH ${value}` };
        break;
      case Setting.MAX_CONCURRENT_STREAMS:
        change.maxConcurrentStreams = value;
        break;
      case Setting.INITIAL_WINDOW_SIZE:
        if (value > MAX_WINDOW) return { code: ErrorCode.FLOW_CONTROL_ERROR, message: `SETTINGS_INITIAL_WINDOW_SIZE ${value}` };
        change.initialWindow = value;
        break;
      case Setting.MAX_FRAME_SIZE:
        if (value < 16384 || value > 16777215) return { code: ErrorCode.PROTOCOL_ERROR, message: `SETTINGS_MAX_FRAME_SIZE ${value}` };
        change.maxFrameBytes = value;
        break;
      default:
        break;
    }
  }
  return change;
}
