// HTTP/2 frame by frame: send this, expect that. For what libraries hide: reset codes, GOAWAY, order.
import type { Raw } from "./wire.ts";

export const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
export const FrameType = { DATA: 0, HEADERS: 1, RST_STREAM: 3, SETTINGS: 4, PING: 6, GOAWAY: 7, WINDOW_UPDATE: 8 } as const;

export type Frame = { readonly type: number; readonly flags: number; readonly stream: number; readonly payload: Buffer };

export function frame(type: number, flags: number, stream: number, payload: Uint8Array = new Uint8Array(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

export const u32 = (n: number): Buffer => {
  const out = Buffer.alloc(4);
  out.writeUInt32BE(n);
  return out;
};

const literal = (text: string): Buffer => Buffer.concat([Buffer.of(text.length), Buffer.from(text, "latin1")]);
/** Header block of a GET over http: static table and literals without indexing. */
export function requestBlock(path: string, authority: string): Buffer {
  return Buffer.concat([Buffer.of(0x82, 0x86, 0x04), literal(path), Buffer.of(0x01), literal(authority)]);
}
/** `:status: 200`. */
export const OK_BLOCK = Buffer.of(0x88);

/** Reads the frames of a connection, the preface of a client skipped. */
export class Frames {
  readonly connection: Raw;
  readonly #skip: number;

  constructor(connection: Raw, role: "client" | "server") {
    this.connection = connection;
    // A server reads what a client sent, which begins with the preface.
    this.#skip = role === "server" ? PREFACE.length : 0;
  }

  all(): Frame[] {
    const bytes = Buffer.from(this.connection.text(), "latin1");
    const out: Frame[] = [];
    for (let at = this.#skip; at + 9 <= bytes.length; ) {
      const length = bytes.readUIntBE(at, 3);
      if (at + 9 + length > bytes.length) break;
      out.push({
        type: bytes[at + 3] ?? 0,
        flags: bytes[at + 4] ?? 0,
        stream: bytes.readUInt32BE(at + 5),
        payload: bytes.subarray(at + 9, at + 9 + length),
      });
      at += 9 + length;
    }
    return out;
  }

  /** The first frame that satisfies. */
  async find(matches: (frame: Frame) => boolean): Promise<Frame> {
    for (;;) {
      const hit = this.all().find(matches);
      if (hit) return hit;
      const { length } = this.connection.text();
      await this.connection.until((text) => text.length > length);
    }
  }
}
