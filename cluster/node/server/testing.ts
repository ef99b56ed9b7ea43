// For tests: the client's side of SPDY/3.1 and of WebSocket, as kubectl speaks them.
import { connect, type Socket } from "node:net";
import { constants, createDeflate, createInflate } from "node:zlib";
import { Codec, encodeHeaders, spdyDictionary } from "./spdy.ts";

export class SpdyClient {
  readonly deflater = new Codec(createDeflate({ dictionary: spdyDictionary, flush: constants.Z_SYNC_FLUSH }), 1 << 20);
  readonly inflater = new Codec(createInflate({ dictionary: spdyDictionary, finishFlush: constants.Z_SYNC_FLUSH }), 1 << 20);
  close(): void {
    this.deflater.close();
    this.inflater.close();
  }
  static frame(type: number, payload: Buffer, flags = 0): Buffer {
    const header = Buffer.from([0x80, 3, 0, type, flags, payload.length >> 16, (payload.length >> 8) & 255, payload.length & 255]);
    return Buffer.concat([header, payload]);
  }
  static data(id: number, text: string, isLast = false): Buffer {
    return Buffer.concat([Buffer.from([0, 0, 0, id, isLast ? 1 : 0, 0, text.length >> 8, text.length & 255]), Buffer.from(text)]);
  }
  async syn(id: number, headers: Record<string, string>, flags = 0): Promise<Buffer> {
    const prefix = Buffer.from([0, 0, 0, id, 0, 0, 0, 0, 0, 0]);
    return SpdyClient.frame(1, Buffer.concat([prefix, await this.deflater.run(encodeHeaders(new Map(Object.entries(headers))))]), flags);
  }
}

/** A WebSocket client on a UNIX socket whose subprotocol may have a slash in its name, as Kubernetes' do and the runtime's client does not allow. */
export class RawWebSocket {
  /** Payloads of the binary messages so far, joined. */
  received: Buffer = Buffer.alloc(0);
  readonly #socket: Socket;
  #buffered: Buffer = Buffer.alloc(0);
  #arrived = Promise.withResolvers<void>();

  private constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** @throws {Error} with the answer's first line unless it is 101. */
  static async connect(unixPath: string, path: string, protocol: string): Promise<RawWebSocket> {
    const socket = connect(unixPath);
    const client = new RawWebSocket(socket);
    await new Promise<void>((resolve, reject) => {
      let isOpen = false;
      socket.on("error", reject);
      socket.on("data", (chunk) => {
        client.#buffered = Buffer.concat([client.#buffered, chunk as Buffer]);
        if (!isOpen) {
          const end = client.#buffered.indexOf("\r\n\r\n");
          if (end < 0) return;
          const head = client.#buffered.toString("latin1", 0, end);
          if (!head.startsWith("HTTP/1.1 101")) return reject(new Error(head.split("\r\n")[0]));
          client.#buffered = client.#buffered.subarray(end + 4);
          isOpen = true;
          resolve();
        }
        client.#frames();
      });
      socket.write(
        `GET ${path} HTTP/1.1\r\nhost: node\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: ${protocol}\r\n\r\n`,
      );
    });
    return client;
  }

  send(payload: Buffer): void {
    const length =
      payload.length < 126 ? Buffer.from([0x80 | payload.length]) : Buffer.from([0x80 | 126, payload.length >> 8, payload.length & 255]);
    // Masked with zeros, so that the payload stays as it is.
    this.#socket.write(Buffer.concat([Buffer.from([0x82]), length, Buffer.alloc(4), payload]));
  }

  /** Resolves when more has arrived. */
  more(): Promise<void> {
    return this.#arrived.promise;
  }

  close(): void {
    this.#socket.destroy();
  }

  #frames(): void {
    for (;;) {
      const bytes = this.#buffered;
      if (bytes.length < 2) return;
      const short = bytes[1]! & 127;
      const offset = short === 126 ? 4 : short === 127 ? 10 : 2;
      if (bytes.length < offset) return;
      const length = short === 126 ? bytes.readUInt16BE(2) : short === 127 ? Number(bytes.readBigUInt64BE(2)) : short;
      if (bytes.length < offset + length) return;
      if ((bytes[0]! & 15) === 2) this.received = Buffer.concat([this.received, bytes.subarray(offset, offset + length)]);
      this.#buffered = bytes.subarray(offset + length);
      this.#arrived.resolve();
      this.#arrived = Promise.withResolvers();
    }
  }
}
