// The protobuf message of the transport header, read and written by hand: three fields do not pay for a library in every proxy.
//
//   message Header { int32 port = 1; string name = 2; SessionProtocol session_protocol = 3; }
//   message SessionProtocol { oneof kind { Http1 http1 = 1; Http2 http2 = 2; } }      both empty

export type Message = { readonly port: number; readonly name: string; readonly protocol: "http1" | "http2" | null };

// Field number × 8 + wire type, Protocol Buffers "Encoding".
const PORT = 0x08;
const NAME = 0x12;
const SESSION_PROTOCOL = 0x1a;
const HTTP1 = 0x0a;
const HTTP2 = 0x12;

const WireType = { VARINT: 0, I64: 1, LEN: 2, I32: 5 } as const;

/** `port` 0 to 65535; `name` ASCII of at most 253 bytes. */
export function encodeMessage({ port, name, protocol }: Message): Uint8Array {
  const out: number[] = [];
  if (port !== 0) {
    out.push(PORT);
    pushVarint(out, port);
  }
  if (name !== "") {
    out.push(NAME);
    pushVarint(out, name.length);
    for (let i = 0; i < name.length; i++) out.push(name.charCodeAt(i));
  }
  if (protocol !== null) out.push(SESSION_PROTOCOL, 2, protocol === "http1" ? HTTP1 : HTTP2, 0);
  return Uint8Array.from(out);
}

function pushVarint(out: number[], value: number): void {
  let rest = value;
  while (rest > 0x7f) {
    out.push((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  out.push(rest);
}

/** Null when the bytes are no such message. Unknown fields are skipped, the last of repeated ones wins. */
export function decodeMessage(bytes: Uint8Array): Message | null {
  let port = 0;
  let name = "";
  let protocol: Message["protocol"] = null;
  const reader = new Reader(bytes);
  while (!reader.done) {
    const tag = reader.varint();
    if (tag === PORT) port = reader.varint() | 0;
    else if (tag === NAME) {
      const text = reader.bytes();
      if (text === null) return null;
      name = Buffer.from(text.buffer, text.byteOffset, text.length).toString("utf8");
    } else if (tag === SESSION_PROTOCOL) {
      const inner = reader.bytes();
      if (inner === null) return null;
      const kinds = new Reader(inner);
      while (!kinds.done) {
        const kind = kinds.varint();
        if (kind === HTTP1) protocol = "http1";
        else if (kind === HTTP2) protocol = "http2";
        if (!kinds.skip(kind)) return null;
      }
    } else if (!reader.skip(tag)) return null;
    if (reader.failed) return null;
  }
  return reader.failed ? null : { port, name, protocol };
}

class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;
  failed = false;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get done(): boolean {
    return this.failed || this.#at >= this.#bytes.length;
  }

  /** The low 32 bits; at most ten bytes. */
  varint(): number {
    let value = 0;
    for (let i = 0; i < 10; i++) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) break;
      if (i < 5) value |= (byte & 0x7f) << (7 * i);
      if (byte < 0x80) return value >>> 0;
    }
    this.failed = true;
    return 0;
  }

  bytes(): Uint8Array | null {
    const length = this.varint();
    const end = this.#at + length;
    if (this.failed || end > this.#bytes.length) {
      this.failed = true;
      return null;
    }
    const out = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return out;
  }

  /** Passes over the value of a tag; false when it is none (field 0, groups). */
  skip(tag: number): boolean {
    if (tag >>> 3 === 0) this.failed = true;
    switch (tag & 7) {
      case WireType.VARINT:
        this.varint();
        break;
      case WireType.I64:
        this.#at += 8;
        break;
      case WireType.LEN:
        this.bytes();
        break;
      case WireType.I32:
        this.#at += 4;
        break;
      default:
        this.failed = true;
    }
    if (this.#at > this.#bytes.length) this.failed = true;
    return !this.failed;
  }
}
