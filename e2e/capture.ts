// Captures TCP payloads that cross a network interface: what a neighbour on the wire would see. Linux, root.
import { dlopen, FFIType, ptr } from "bun:ffi";
import { readFileSync } from "node:fs";

const AF_PACKET = 17;
const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0o4000;
const ETH_P_ALL = 0x0003;
/** Above this many segments the oldest are kept and later ones only counted. */
const MAX_SEGMENTS = 20_000;
const POLL_MS = 5;

/** One TCP segment with payload. */
export type Segment = { readonly from: string; readonly fromPort: number; readonly to: string; readonly toPort: number; readonly payload: Uint8Array };

export class Capture {
  readonly segments: Segment[] = [];
  readonly #libc;
  readonly #fd: number;
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #buffer = new Uint8Array(65536);

  /** Starts at once. @throws {Error} when the interface does not exist or this process may not capture. */
  constructor(interfaceName: string) {
    const index = Number(readFileSync(`/sys/class/net/${interfaceName}/ifindex`, "utf8"));
    this.#libc = dlopen("libc.so.6", {
      socket: { args: [FFIType.i32, FFIType.i32, FFIType.i32], returns: FFIType.i32 },
      bind: { args: [FFIType.i32, FFIType.ptr, FFIType.i32], returns: FFIType.i32 },
      recv: { args: [FFIType.i32, FFIType.ptr, FFIType.u64, FFIType.i32], returns: FFIType.i64 },
      close: { args: [FFIType.i32], returns: FFIType.i32 },
    }).symbols;
    const protocol = ((ETH_P_ALL & 0xff) << 8) | (ETH_P_ALL >> 8);
    this.#fd = this.#libc.socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, protocol);
    if (this.#fd < 0) throw new Error(`cannot capture on ${interfaceName}: root is needed`);
    // struct sockaddr_ll: family, protocol (network order), ifindex, the rest zero.
    const address = new DataView(new ArrayBuffer(20));
    address.setUint16(0, AF_PACKET, true);
    address.setUint16(2, ETH_P_ALL, false);
    address.setInt32(4, index, true);
    if (this.#libc.bind(this.#fd, ptr(address.buffer as ArrayBuffer), 20) < 0) throw new Error(`cannot bind the capture to ${interfaceName}`);
    this.#timer = setInterval(() => this.#drain(), POLL_MS);
  }

  stop(): Segment[] {
    clearInterval(this.#timer);
    this.#drain();
    this.#libc.close(this.#fd);
    return this.segments;
  }

  #drain(): void {
    for (;;) {
      const n = Number(this.#libc.recv(this.#fd, ptr(this.#buffer), BigInt(this.#buffer.length), 0));
      if (n <= 0) return;
      const segment = parseSegment(this.#buffer.subarray(0, n));
      if (segment && this.segments.length < MAX_SEGMENTS) this.segments.push(segment);
    }
  }
}

/** The TCP payload of an Ethernet frame with IPv4; null for anything else and for empty segments. */
export function parseSegment(frame: Uint8Array): Segment | null {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  if (frame.length < 54 || view.getUint16(12) !== 0x0800) return null;
  const headerLength = ((frame[14] as number) & 15) * 4;
  if (frame[23] !== 6) return null;
  const tcp = 14 + headerLength;
  const end = Math.min(frame.length, 14 + view.getUint16(16));
  if (tcp + 20 > end) return null;
  const data = tcp + ((frame[tcp + 12] as number) >> 4) * 4;
  if (data >= end) return null;
  const ip = (at: number) => frame.subarray(at, at + 4).join(".");
  return { from: ip(26), to: ip(30), fromPort: view.getUint16(tcp), toPort: view.getUint16(tcp + 2), payload: frame.slice(data, end) };
}

/** True for bytes that begin like a TLS record of any kind. */
export function looksLikeTls(payload: Uint8Array): boolean {
  return payload.length >= 3 && (payload[0] as number) >= 20 && (payload[0] as number) <= 23 && payload[1] === 3 && (payload[2] as number) <= 4;
}
