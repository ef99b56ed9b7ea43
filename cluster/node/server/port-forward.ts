// Port forwarding: SPDY/3.1 streams inside WebSocket messages (what kubectl uses), and Kubernetes' plain WebSocket channels.
// Connections are made to the loopback address inside the pod's network namespace, as the container runtimes do.
import type { DialedSocket, DialHandlers } from "../../network/index.ts";
import type { Link, Session } from "./session.ts";
import { SpdyServer } from "./spdy.ts";

export const portForwardProtocols = ["SPDY/3.1+portforward.k8s.io", "v4.channel.k8s.io", "portforward.k8s.io"] as const;

/** Connections of one client at one time. */
export const maxForwards = 256;
/** Bytes from a client that may wait for a pod that does not read them: then that connection is ended. */
const maxPendingBytes = 16 << 20;

export type Dial = (port: number, handlers: DialHandlers) => Promise<DialedSocket>;

interface Forward {
  errorStream: number | undefined;
  dataStream: number | undefined;
  port: number;
  socket: DialedSocket | undefined;
  /** Data that came before the connection stood. */
  early: Buffer[];
  earlyBytes: number;
  isClientDone: boolean;
  isPodDone: boolean;
  isClosed: boolean;
}

/** Port forwarding for one kubectl: pairs of an error and a data stream, joined by their `requestid`. */
export class SpdyForwardSession implements Session {
  readonly #dial: Dial;
  readonly #describe: string;
  readonly #forwards = new Map<string, Forward>();
  readonly #byStream = new Map<number, Forward>();
  #spdy!: SpdyServer;
  #link!: Link;

  constructor({ dial, describe }: { dial: Dial; describe: string }) {
    this.#dial = dial;
    this.#describe = describe;
  }

  open(link: Link): void {
    this.#link = link;
    this.#spdy = new SpdyServer({
      onStream: (id, headers) => this.#stream(id, headers),
      onData: (id, data, isLast) => this.#data(id, data, isLast),
      onReset: (id) => {
        const forward = this.#byStream.get(id);
        if (forward && id === forward.dataStream) this.#end(forward);
      },
      onEnd: () => link.close(),
      write: (bytes) => void link.send(bytes),
    });
  }

  message(bytes: Buffer): void {
    void this.#spdy.push(bytes);
  }

  close(): void {
    this.#spdy.close();
    for (const forward of this.#forwards.values()) forward.socket?.destroy();
    this.#forwards.clear();
  }

  #stream(id: number, headers: Map<string, string>): void {
    const kind = headers.get("streamtype");
    const port = Number(headers.get("port"));
    // Old clients send no request id: their data stream follows the error stream.
    const request = headers.get("requestid") ?? String(kind === "error" ? id : id - 2);
    if (
      (kind !== "error" && kind !== "data") ||
      !(port > 0 && port < 65_536) ||
      (!this.#forwards.has(request) && this.#forwards.size >= maxForwards)
    ) {
      this.#spdy.reset(id, 3);
      return;
    }
    const forward = this.#forwards.get(request) ?? {
      errorStream: undefined,
      dataStream: undefined,
      port,
      socket: undefined,
      early: [],
      earlyBytes: 0,
      isClientDone: false,
      isPodDone: false,
      isClosed: false,
    };
    this.#forwards.set(request, forward);
    this.#byStream.set(id, forward);
    this.#spdy.reply(id);
    if (kind === "error") forward.errorStream = id;
    else forward.dataStream = id;
    if (forward.errorStream !== undefined && forward.dataStream !== undefined) void this.#connect(request, forward);
  }

  async #connect(request: string, forward: Forward): Promise<void> {
    const stream = forward.dataStream!;
    const finish = () => {
      if (!this.#forwards.delete(request)) return;
      forward.isClosed = true;
      if (!forward.isPodDone) this.#spdy.data(stream, Buffer.alloc(0), true);
      this.#spdy.data(forward.errorStream!, Buffer.alloc(0), true);
      this.#byStream.delete(stream);
      this.#byStream.delete(forward.errorStream!);
    };
    try {
      const socket = await this.#dial(forward.port, {
        data: (bytes) => this.#spdy.data(stream, bytes),
        end: () => {
          forward.isPodDone = true;
          this.#spdy.data(stream, Buffer.alloc(0), true);
          forward.socket?.end();
        },
        close: finish,
        drain: () => {},
      });
      forward.socket = socket;
      for (const bytes of forward.early) socket.write(bytes);
      forward.early = [];
      if (forward.isClientDone || forward.isPodDone) socket.end();
      if (this.#link.isClosed) socket.destroy();
    } catch (error) {
      this.#spdy.data(
        forward.errorStream!,
        Buffer.from(
          `error forwarding port ${forward.port} to pod ${this.#describe}: failed to connect to localhost:${forward.port} inside its namespace: ${(error as Error).message}`,
        ),
        true,
      );
      this.#forwards.delete(request);
      this.#spdy.data(stream, Buffer.alloc(0), true);
    }
  }

  #data(id: number, data: Buffer, isLast: boolean): void {
    const forward = this.#byStream.get(id);
    if (!forward || id !== forward.dataStream || forward.isClosed) return;
    if (data.length > 0) {
      if (forward.socket) forward.socket.write(data);
      else {
        forward.early.push(Buffer.from(data));
        forward.earlyBytes += data.length;
        if (forward.earlyBytes > maxPendingBytes) this.#end(forward);
      }
    }
    if (isLast) {
      forward.isClientDone = true;
      forward.socket?.end();
    }
  }

  #end(forward: Forward): void {
    forward.isClientDone = true;
    forward.socket?.destroy();
  }
}

/** One pair of channels per requested port: 2n data, 2n+1 error; each opens with the port in two bytes, low byte first. */
export class ChannelForwardSession implements Session {
  readonly #dial: Dial;
  readonly #ports: number[];
  readonly #sockets = new Map<number, DialedSocket>();
  readonly #early = new Map<number, Buffer[]>();

  constructor({ dial, ports }: { dial: Dial; ports: number[] }) {
    this.#dial = dial;
    this.#ports = ports;
  }

  open(link: Link): void {
    this.#ports.forEach((port, index) => {
      const announce = Buffer.from([0, port & 255, port >> 8]);
      for (const channel of [index * 2, index * 2 + 1]) void link.send(Buffer.concat([Buffer.from([channel]), announce.subarray(1)]));
      void this.#dial(port, {
        data: (bytes) => void link.send(Buffer.concat([Buffer.from([index * 2]), bytes])),
        end: () => {},
        close: () => link.close(),
        drain: () => {},
      })
        .then((socket) => {
          this.#sockets.set(index * 2, socket);
          for (const bytes of this.#early.get(index * 2) ?? []) socket.write(bytes);
          this.#early.delete(index * 2);
        })
        .catch(
          (error) =>
            void link.send(Buffer.concat([Buffer.from([index * 2 + 1]), Buffer.from((error as Error).message)])).then(() => link.close()),
        );
    });
  }

  message(bytes: Buffer): void {
    const channel = bytes[0] ?? 0;
    const socket = this.#sockets.get(channel);
    if (socket) socket.write(bytes.subarray(1));
    else if (channel % 2 === 0 && channel < this.#ports.length * 2)
      this.#early.set(channel, [...(this.#early.get(channel) ?? []), Buffer.from(bytes.subarray(1))]);
  }

  close(): void {
    for (const socket of this.#sockets.values()) socket.destroy();
  }
}
