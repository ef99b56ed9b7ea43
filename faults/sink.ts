// The application that floods are aimed at: HTTP/2 at the least cost there is, so that what neighbours feel is the proxy's doing and not
// this one's. Every request gets 200 and a kilobyte.
//   bun sink.ts PORT      says "listening"
import type { Socket } from "bun";
import { settingsFrame } from "../proxy/advisories/attacks.ts";
import { FrameType, frame, OK_BLOCK, PREFACE } from "../proxy/testing/frames.ts";

const END_STREAM = 1;
const END_HEADERS = 4;
const ACK = 1;
const FIRST_WINDOW = 65_535;
const CONTENT = Buffer.alloc(1000, "x");
const SETTINGS_ACK = frame(FrameType.SETTINGS, ACK, 0);

class Client {
  #rest: Buffer = Buffer.alloc(0);
  #preface = PREFACE.length;
  /** Bytes of DATA the proxy takes. */
  #window = FIRST_WINDOW;

  receive(chunk: Uint8Array): Buffer {
    let bytes = this.#rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.#rest, chunk]);
    const skipped = Math.min(this.#preface, bytes.length);
    this.#preface -= skipped;
    bytes = bytes.subarray(skipped);
    const out: Buffer[] = [];
    let at = 0;
    while (bytes.length - at >= 9) {
      const length = bytes.readUIntBE(at, 3);
      if (bytes.length - at < 9 + length) break;
      this.#frame(
        bytes[at + 3] as number,
        bytes[at + 4] as number,
        bytes.readUInt32BE(at + 5),
        bytes.subarray(at + 9, at + 9 + length),
        out,
      );
      at += 9 + length;
    }
    this.#rest = Buffer.from(bytes.subarray(at));
    return Buffer.concat(out);
  }

  #frame(type: number, flags: number, stream: number, payload: Buffer, out: Buffer[]): void {
    if (type === FrameType.SETTINGS && (flags & ACK) === 0) out.push(SETTINGS_ACK);
    else if (type === FrameType.PING && (flags & ACK) === 0) out.push(frame(FrameType.PING, ACK, 0, payload));
    else if (type === FrameType.WINDOW_UPDATE && stream === 0) this.#window += payload.readUInt32BE(0);
    else if (type === FrameType.HEADERS) {
      const content = this.#window >= CONTENT.length;
      out.push(frame(FrameType.HEADERS, END_HEADERS | (content ? 0 : END_STREAM), stream, OK_BLOCK));
      if (!content) return;
      this.#window -= CONTENT.length;
      out.push(frame(FrameType.DATA, END_STREAM, stream, CONTENT));
    }
  }
}

Bun.listen<Client>({
  hostname: "0.0.0.0",
  port: Number(process.argv[2]),
  socket: {
    open(socket: Socket<Client>) {
      socket.data = new Client();
      socket.write(settingsFrame());
    },
    data(socket, chunk) {
      // What the kernel does not take is lost: the proxy ends the connection then, and makes another.
      socket.write(socket.data.receive(chunk));
    },
  },
});
console.log("listening");
