// What was said on each TCP connection of a capture, and whether it was TLS from its first byte to its last. Pure.
import type { Segment } from "./capture.ts";

/** One direction of one connection. */
export type Stream = {
  readonly from: string;
  readonly fromPort: number;
  readonly to: string;
  readonly toPort: number;
  /** All bytes from the first one, as far as they were captured without a gap. */
  readonly bytes: Uint8Array;
  /** True when bytes after `bytes` were captured, but some between were not. */
  readonly hasGap: boolean;
};

/** RFC 8446 §5.2: 2^14 bytes and what encryption adds. */
const MAX_RECORD_BYTES = 16_384 + 256;
const RECORD_HEADER_BYTES = 5;

/** The streams whose beginning (SYN) was captured, in that order. Sequence numbers wrap (RFC 9293 §3.4); what was sent again counts once. */
export function streams(segments: readonly Segment[]): Stream[] {
  type Open = { first: Segment; start: number; pieces: { at: number; payload: Uint8Array }[] };
  const all: Open[] = [];
  const current = new Map<string, Open>();
  for (const segment of segments) {
    const key = `${segment.from}:${segment.fromPort}>${segment.to}:${segment.toPort}`;
    const known = current.get(key);
    if (segment.syn && known?.start !== (segment.seq + 1) >>> 0) {
      const opened = { first: segment, start: (segment.seq + 1) >>> 0, pieces: [] };
      current.set(key, opened);
      all.push(opened);
    }
    const stream = current.get(key);
    if (!stream || segment.payload.length === 0) continue;
    // Half of the number space lies before the start: a keep-alive probe repeats the byte before the next one.
    const at = (segment.seq - stream.start) | 0;
    if (at >= 0) stream.pieces.push({ at, payload: segment.payload });
  }
  return all.map(({ first: { from, fromPort, to, toPort }, pieces }) => ({ from, fromPort, to, toPort, ...joined(pieces) }));
}

function joined(pieces: { at: number; payload: Uint8Array }[]): Pick<Stream, "bytes" | "hasGap"> {
  const parts: Uint8Array[] = [];
  let end = 0;
  for (const { at, payload } of [...pieces].sort((a, b) => a.at - b.at)) {
    if (at > end) return { bytes: Buffer.concat(parts), hasGap: true };
    if (at + payload.length <= end) continue;
    parts.push(payload.subarray(end - at));
    end = at + payload.length;
  }
  return { bytes: Buffer.concat(parts), hasGap: false };
}

/** Offset of the first byte that does not belong to a TLS record (RFC 8446 §5.1, any version up to 1.3); null when all do. A record may be cut off at the end. */
export function clearTextAt(bytes: Uint8Array): number | null {
  let at = 0;
  while (at < bytes.length) {
    const type = bytes[at] as number;
    if (type < 20 || type > 23) return at;
    if (at + 1 < bytes.length && bytes[at + 1] !== 3) return at;
    if (at + 2 < bytes.length && (bytes[at + 2] as number) > 4) return at;
    if (at + RECORD_HEADER_BYTES > bytes.length) return null;
    const length = ((bytes[at + 3] as number) << 8) | (bytes[at + 4] as number);
    if (length > MAX_RECORD_BYTES) return at;
    at += RECORD_HEADER_BYTES + length;
  }
  return null;
}
