// Captures TCP payloads that cross a network interface: what a neighbour on the wire would see. Linux, root.
import { dlopen, FFIType, ptr } from "bun:ffi";
import { readFileSync } from "node:fs";

const AF_PACKET = 17;
const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0o4000;
const ETH_P_ALL = 0x0003;
const SOL_PACKET = 263;
const PACKET_ADD_MEMBERSHIP = 1;
const PACKET_MR_PROMISC = 1;
const SOL_SOCKET = 1;
const SO_RCVBUFFORCE = 33;
/** What may wait in the kernel while this process does something else. */
const RECEIVE_BUFFER_BYTES = 32 << 20;
/** The first so many segments are kept, later ones only counted. */
const MAX_SEGMENTS = 50_000;
const POLL_MS = 5;

/** One TCP segment that carries payload or opens a connection (`syn`). `seq` is its sequence number, RFC 9293 §3.1. */
export type Segment = {
  readonly from: string;
  readonly fromPort: number;
  readonly to: string;
  readonly toPort: number;
  readonly seq: number;
  readonly syn: boolean;
  readonly payload: Uint8Array;
};

export class Capture {
  readonly segments: Segment[] = [];
  /** Segments that came after the first MAX_SEGMENTS. */
  dropped = 0;
  readonly #libc;
  readonly #fd: number;
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #buffer = new Uint8Array(65536);

  /**
   * Starts at once, in promiscuous mode: a bridge then shows also what it forwards between its ports.
   * @throws {Error} when the interface does not exist or this process may not capture.
   */
  constructor(interfaceName: string) {
    const index = Number(readFileSync(`/sys/class/net/${interfaceName}/ifindex`, "utf8"));
    this.#libc = dlopen("libc.so.6", {
      socket: { args: [FFIType.i32, FFIType.i32, FFIType.i32], returns: FFIType.i32 },
      bind: { args: [FFIType.i32, FFIType.ptr, FFIType.i32], returns: FFIType.i32 },
      setsockopt: { args: [FFIType.i32, FFIType.i32, FFIType.i32, FFIType.ptr, FFIType.i32], returns: FFIType.i32 },
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
    if (this.#libc.bind(this.#fd, ptr(address.buffer as ArrayBuffer), 20) < 0)
      throw new Error(`cannot bind the capture to ${interfaceName}`);
    // struct packet_mreq: ifindex, type, address length and address; the membership ends with the socket.
    const membership = new DataView(new ArrayBuffer(16));
    membership.setInt32(0, index, true);
    membership.setUint16(4, PACKET_MR_PROMISC, true);
    if (this.#libc.setsockopt(this.#fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, ptr(membership.buffer as ArrayBuffer), 16) < 0)
      throw new Error(`cannot see what ${interfaceName} forwards`);
    // Where the kernel refuses, its default stays.
    this.#libc.setsockopt(this.#fd, SOL_SOCKET, SO_RCVBUFFORCE, ptr(new Int32Array([RECEIVE_BUFFER_BYTES])), 4);
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
      if (!segment) continue;
      if (this.segments.length < MAX_SEGMENTS) this.segments.push(segment);
      else this.dropped++;
    }
  }
}

/** The TCP segment of an Ethernet frame with IPv4; null for anything else and for segments that neither carry nor open anything. */
export function parseSegment(frame: Uint8Array): Segment | null {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  if (frame.length < 54 || view.getUint16(12) !== 0x0800) return null;
  const headerLength = ((frame[14] as number) & 15) * 4;
  if (frame[23] !== 6) return null;
  const tcp = 14 + headerLength;
  const end = Math.min(frame.length, 14 + view.getUint16(16));
  if (tcp + 20 > end) return null;
  const data = tcp + ((frame[tcp + 12] as number) >> 4) * 4;
  const syn = ((frame[tcp + 13] as number) & 2) !== 0;
  if (data >= end && !syn) return null;
  const ip = (at: number) => frame.subarray(at, at + 4).join(".");
  return {
    from: ip(26),
    to: ip(30),
    fromPort: view.getUint16(tcp),
    toPort: view.getUint16(tcp + 2),
    seq: view.getUint32(tcp + 4),
    syn,
    payload: frame.slice(data, end),
  };
}

/** True for bytes that begin like a TLS record of any kind. */
export function looksLikeTls(payload: Uint8Array): boolean {
  return (
    payload.length >= 3 && (payload[0] as number) >= 20 && (payload[0] as number) <= 23 && payload[1] === 3 && (payload[2] as number) <= 4
  );
}
