// The header a proxy writes at the head of a direct connection, telling where its bytes are bound (spec proxy §3.4). Pure.
import { parseDnsName } from "#addr";
import { decodeMessage, encodeMessage } from "./message.ts";

/** ALPN protocol both sides must agree on before a header is sent. */
export const TRANSPORT_ALPN = "transport.l5d.io/v1";
const PREFACE = new TextEncoder().encode("transport.l5d.io/v1\r\n\r\n");
/** Preface (23 bytes) and big-endian u32 length. */
const PREFIX_BYTES = PREFACE.length + 4;
/** Largest message accepted; a header is some dozens of bytes, a name at most 253. */
export const MAX_HEADER_BYTES = 65535;

export type TransportHeader = {
  /** Target port, 1..65535. */
  readonly port: number;
  /** Logical name without port, lower-case; null = the local workload. */
  readonly name: string | null;
  /** Protocol of the stream that follows; null = opaque bytes. */
  readonly protocol: "http1" | "http2" | null;
};

export type Decoded =
  | { readonly kind: "need-more" }
  /** `consumed`: bytes of the header; what follows belongs to the stream. */
  | { readonly kind: "header"; readonly header: TransportHeader; readonly consumed: number }
  | { readonly kind: "invalid"; readonly reason: string };

const NEED_MORE: Decoded = { kind: "need-more" };

/** Encodes a header with its preface. Throws RangeError when the port is not 1..65535. */
export function encodeTransportHeader(header: TransportHeader): Uint8Array {
  if (!Number.isInteger(header.port) || header.port < 1 || header.port > 65535)
    throw new RangeError(`transport header: port ${header.port} is not 1..65535`);
  const message = encodeMessage({ ...header, name: header.name ?? "" });
  const out = new Uint8Array(PREFIX_BYTES + message.length);
  out.set(PREFACE);
  new DataView(out.buffer).setUint32(PREFACE.length, message.length);
  out.set(message, PREFIX_BYTES);
  return out;
}

/** Decodes the bytes received so far. Split-invariant: a prefix gives `need-more` or the final answer. */
export function decodeTransportHeader(bytes: Uint8Array): Decoded {
  const seen = Math.min(bytes.length, PREFACE.length);
  for (let i = 0; i < seen; i++) if (bytes[i] !== PREFACE[i]) return { kind: "invalid", reason: "no transport header" };
  if (bytes.length < PREFIX_BYTES) return NEED_MORE;
  const length = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(PREFACE.length);
  if (length > MAX_HEADER_BYTES) return { kind: "invalid", reason: `transport header of ${length} bytes exceeds ${MAX_HEADER_BYTES}` };
  const consumed = PREFIX_BYTES + length;
  if (bytes.length < consumed) return NEED_MORE;
  const message = decodeMessage(bytes.subarray(PREFIX_BYTES, consumed));
  if (message === null) return { kind: "invalid", reason: "transport header is not a valid message" };
  if (message.port < 1 || message.port > 65535)
    return { kind: "invalid", reason: `transport header: port ${message.port} is not 1..65535` };
  let name: string | null = null;
  if (message.name !== "") {
    name = parseDnsName(message.name);
    if (name === null) return { kind: "invalid", reason: "transport header: name is not a DNS name" };
  }
  return { kind: "header", header: { port: message.port, name, protocol: message.protocol }, consumed };
}
