// SPDY/3.1 as far as port forwarding needs it: frames in, events out; bytes handed to `write`. No sockets.
//
// Control frame: |1| version 3 (15) | type (16) | flags (8) | length (24) | data        Data frame: |0| stream (31) | flags (8) | length (24) | data
// Header block: zlib with SPDY's dictionary, one context per direction: count (32), then length (32) and bytes of each name and value.
import { constants, createDeflate, createInflate, type Deflate, type Inflate } from "node:zlib";

export interface SpdyHandlers {
  /** A stream was opened by the peer. `headers`: lower-case names. */
  onStream(id: number, headers: Map<string, string>): void;
  onData(id: number, data: Buffer, isLast: boolean): void;
  onReset(id: number): void;
  /** The peer broke the protocol, or went away by GOAWAY. */
  onEnd(reason: string): void;
  write(bytes: Buffer): void;
}

/** Largest control frame taken, in bytes: headers of port forwarding are tiny. */
export const maxControlBytes = 16 << 10;
/** Largest data frame taken: the format's own limit. */
export const maxDataBytes = (1 << 24) - 1;
/** Largest header block after decompression. */
export const maxHeaderBytes = 64 << 10;
/** Data frames sent are at most so long. */
const sendBytes = 32 << 10;

const types = { SYN_STREAM: 1, SYN_REPLY: 2, RST_STREAM: 3, SETTINGS: 4, PING: 6, GOAWAY: 7, HEADERS: 8, WINDOW_UPDATE: 9 } as const;
const flagFin = 1;

/** The server's side of one connection. Call `push` with what arrives, in order; it resolves when that has been dealt with. */
export class SpdyServer {
  readonly #handlers: SpdyHandlers;
  readonly #inflater: Codec<Inflate>;
  readonly #deflater: Codec<Deflate>;
  #buffered: Buffer = Buffer.alloc(0);
  #work: Promise<void> = Promise.resolve();
  #sending: Promise<void> = Promise.resolve();
  #isOver = false;

  constructor(handlers: SpdyHandlers) {
    this.#handlers = handlers;
    this.#inflater = new Codec(createInflate({ dictionary: spdyDictionary, finishFlush: constants.Z_SYNC_FLUSH }), maxHeaderBytes);
    this.#deflater = new Codec(createDeflate({ dictionary: spdyDictionary, flush: constants.Z_SYNC_FLUSH }), maxHeaderBytes);
  }

  push(bytes: Uint8Array): Promise<void> {
    this.#work = this.#work.then(() => this.#consume(Buffer.from(bytes))).catch((error) => this.#fail((error as Error).message));
    return this.#work;
  }

  /** Accepts a stream that the peer has opened. */
  reply(id: number): void {
    // Frames leave in the order of these calls, though compressing takes its time.
    this.#sending = this.#sending.then(async () => {
      const block = await this.#deflater.run(encodeHeaders(new Map()));
      this.#control(types.SYN_REPLY, 0, Buffer.concat([uint32(id), block]));
    });
    this.#sending.catch((error) => this.#fail((error as Error).message));
  }

  data(id: number, data: Uint8Array, isLast = false): void {
    const bytes = Buffer.from(data);
    this.#sending = this.#sending.then(() => {
      let offset = 0;
      do {
        const piece = bytes.subarray(offset, offset + sendBytes);
        offset += piece.length;
        const header = Buffer.alloc(8);
        header.writeUInt32BE(id, 0);
        header.writeUInt32BE((isLast && offset >= bytes.length ? flagFin << 24 : 0) | piece.length, 4);
        this.#handlers.write(Buffer.concat([header, piece]));
      } while (offset < bytes.length);
    });
  }

  /** @param status 5: cancel. */
  reset(id: number, status = 5): void {
    this.#sending = this.#sending.then(() => this.#control(types.RST_STREAM, 0, Buffer.concat([uint32(id), uint32(status)])));
  }

  close(): void {
    this.#isOver = true;
    this.#inflater.close();
    this.#deflater.close();
  }

  async #consume(bytes: Buffer): Promise<void> {
    if (this.#isOver) return;
    this.#buffered = this.#buffered.length === 0 ? bytes : Buffer.concat([this.#buffered, bytes]);
    while (this.#buffered.length >= 8 && !this.#isOver) {
      const first = this.#buffered.readUInt32BE(0);
      const flags = this.#buffered[4]!;
      const length = this.#buffered.readUInt32BE(4) & 0xffffff;
      const isControl = first >>> 31 === 1;
      if (isControl && length > maxControlBytes) throw new Error(`control frame of ${length} bytes; at most ${maxControlBytes} are taken`);
      if (this.#buffered.length < 8 + length) return;
      const payload = this.#buffered.subarray(8, 8 + length);
      this.#buffered = this.#buffered.subarray(8 + length);
      if (!isControl) this.#handlers.onData(first & 0x7fffffff, payload, (flags & flagFin) !== 0);
      else {
        if (((first >>> 16) & 0x7fff) !== 3) throw new Error(`SPDY version ${(first >>> 16) & 0x7fff}; only 3 is spoken`);
        await this.#frame(first & 0xffff, flags, payload);
      }
    }
  }

  async #frame(type: number, flags: number, payload: Buffer): Promise<void> {
    switch (type) {
      case types.SYN_STREAM: {
        if (payload.length < 10) throw new Error("SYN_STREAM is too short");
        const id = payload.readUInt32BE(0) & 0x7fffffff;
        const headers = decodeHeaders(await this.#inflater.run(payload.subarray(10)));
        this.#handlers.onStream(id, headers);
        if (flags & flagFin) this.#handlers.onData(id, Buffer.alloc(0), true);
        return;
      }
      case types.SYN_REPLY:
      case types.HEADERS:
        // The decompressor's state depends on every block.
        if (payload.length > 4) await this.#inflater.run(payload.subarray(4));
        return;
      case types.RST_STREAM:
        if (payload.length >= 4) this.#handlers.onReset(payload.readUInt32BE(0) & 0x7fffffff);
        return;
      case types.PING:
        // Odd numbers are the client's, to be returned.
        if (payload.length >= 4 && payload.readUInt32BE(0) % 2 === 1) {
          const id = Buffer.from(payload.subarray(0, 4));
          this.#sending = this.#sending.then(() => this.#control(types.PING, 0, id));
        }
        return;
      case types.GOAWAY:
        this.#fail("the client is going away");
    }
    // SETTINGS and WINDOW_UPDATE: Kubernetes' clients keep no windows. Unknown types are to be ignored (SPDY/3 §2.2.1).
  }

  #control(type: number, flags: number, payload: Buffer): void {
    const header = Buffer.alloc(8);
    header.writeUInt16BE(0x8003, 0);
    header.writeUInt16BE(type, 2);
    header.writeUInt32BE(((flags << 24) | payload.length) >>> 0, 4);
    this.#handlers.write(Buffer.concat([header, payload]));
  }

  #fail(reason: string): void {
    if (this.#isOver) return;
    this.close();
    this.#handlers.onEnd(reason);
  }
}

/** One direction's zlib context, used block by block. */
export class Codec<Z extends Inflate | Deflate> {
  readonly #zlib: Z;
  readonly #limit: number;
  #out: Buffer[] = [];
  #size = 0;
  #reject: ((error: Error) => void) | undefined;

  constructor(zlib: Z, limit: number) {
    this.#zlib = zlib;
    this.#limit = limit;
    zlib.on("data", (chunk: Buffer) => {
      this.#size += chunk.length;
      if (this.#size <= limit) this.#out.push(chunk);
    });
    zlib.on("error", (error: Error) => this.#reject?.(error));
  }

  run(block: Buffer): Promise<Buffer> {
    this.#out = [];
    this.#size = 0;
    return new Promise((resolve, reject) => {
      this.#reject = reject;
      this.#zlib.write(block, () => {
        // The output of a write is there before its callback; a turn later for streams that flow.
        setImmediate(() => {
          if (this.#size > this.#limit) reject(new Error(`header block of more than ${this.#limit} bytes`));
          else resolve(Buffer.concat(this.#out));
        });
      });
    });
  }

  close(): void {
    this.#zlib.close();
  }
}

export function encodeHeaders(headers: Map<string, string>): Buffer {
  const parts = [uint32(headers.size)];
  for (const text of [...headers].flat()) {
    const bytes = Buffer.from(text, "utf8");
    parts.push(uint32(bytes.length), bytes);
  }
  return Buffer.concat(parts);
}

/** @throws {Error} for a block that ends early. */
export function decodeHeaders(block: Buffer): Map<string, string> {
  let offset = 0;
  const number = () => {
    if (offset + 4 > block.length) throw new Error("header block ends early");
    offset += 4;
    return block.readUInt32BE(offset - 4);
  };
  const text = () => {
    const length = number();
    if (offset + length > block.length) throw new Error("header block ends early");
    offset += length;
    return block.toString("utf8", offset - length, offset);
  };
  const headers = new Map<string, string>();
  for (let left = number(); left > 0; left--) headers.set(text().toLowerCase(), text());
  return headers;
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0, 0);
  return bytes;
}

const lengthPrefixed = [
  "options",
  "head",
  "post",
  "put",
  "delete",
  "trace",
  "accept",
  "accept-charset",
  "accept-encoding",
  "accept-language",
  "accept-ranges",
  "age",
  "allow",
  "authorization",
  "cache-control",
  "connection",
  "content-base",
  "content-encoding",
  "content-language",
  "content-length",
  "content-location",
  "content-md5",
  "content-range",
  "content-type",
  "date",
  "etag",
  "expect",
  "expires",
  "from",
  "host",
  "if-match",
  "if-modified-since",
  "if-none-match",
  "if-range",
  "if-unmodified-since",
  "last-modified",
  "location",
  "max-forwards",
  "pragma",
  "proxy-authenticate",
  "proxy-authorization",
  "range",
  "referer",
  "retry-after",
  "server",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "user-agent",
  "vary",
  "via",
  "warning",
  "www-authenticate",
  "method",
  "get",
  "status",
  "200 OK",
  "version",
  "HTTP/1.1",
  "url",
  "public",
  "set-cookie",
  "keep-alive",
  "origin",
];
const rest =
  "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

/** SPDY/3 §2.6.10.1. */
export const spdyDictionary: Buffer = Buffer.concat([
  ...lengthPrefixed.flatMap((word) => [uint32(word.length), Buffer.from(word, "latin1")]),
  Buffer.from(rest, "latin1"),
]);
