// HTTP/1.1 over TLS on raw sockets, because the runtime's own HTTP servers show no client certificate and hand out no raw upgraded stream.
import type { Socket, TCPSocketListener } from "bun";
import { maxBodyBytes, maxHeadBytes, type ParsedRequest, RequestError, RequestParser } from "./request-parser.ts";

/** Who the client's certificate says it is; only of a certificate that the client CA signed. */
export interface Peer {
  commonName: string;
  organizations: string[];
}

export interface HttpRequest extends ParsedRequest {
  peer: Peer | undefined;
  remoteAddress: string;
  /** Is called once when the client goes away before the answer is complete. */
  onAbort(callback: () => void): void;
}

/** Where a streamed answer goes. */
export interface Sink {
  /** Queues text or bytes; sent once per turn of the event loop. False: the client reads too slowly, wait for `onDrain`. */
  write(chunk: string | Uint8Array): boolean;
  end(): void;
  onClose(callback: () => void): void;
  onDrain(callback: () => void): void;
}

/** A connection after an upgrade: raw bytes both ways. */
export interface RawSocket extends Sink {
  onData(callback: (bytes: Uint8Array) => void): void;
  pause(): void;
  resume(): void;
}

export type HttpResponse =
  | { status: number; headers?: Record<string, string | string[]>; body?: string | Uint8Array }
  | { status: number; headers?: Record<string, string | string[]>; stream: (sink: Sink) => void }
  | { upgrade: (socket: RawSocket) => void };

export type Handler = (request: HttpRequest) => HttpResponse | Promise<HttpResponse>;

export interface ListenerOptions {
  hostname: string;
  /** 0: any free one. */
  port: number;
  cert: string;
  key: string;
  clientCa: string;
  handler: Handler;
}

/** Unsent bytes of one connection; a client that falls further behind is cut off (a watcher then lists again). */
const maxQueuedBytes = 64 * 1024 * 1024;
/** Where a stream is told to wait. */
const highWaterBytes = 1024 * 1024;
const handshakeTimeoutSeconds = 10;
const idleTimeoutSeconds = 250;

const reasons: Record<number, string> = {
  200: "OK",
  201: "Created",
  202: "Accepted",
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  406: "Not Acceptable",
  408: "Request Timeout",
  409: "Conflict",
  410: "Gone",
  413: "Payload Too Large",
  415: "Unsupported Media Type",
  422: "Unprocessable Entity",
  429: "Too Many Requests",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  501: "Not Implemented",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
  505: "HTTP Version Not Supported",
};

type Tcp = Socket<Connection>;

export interface Listener {
  readonly port: number;
  /** Ends every connection and stops listening. */
  close(): void;
}

export function listen({ hostname, port, cert, key, clientCa, handler }: ListenerOptions): Listener {
  const connections = new Set<Connection>();
  const server: TCPSocketListener<Connection> = Bun.listen<Connection>({
    hostname,
    port,
    tls: { cert, key, ca: clientCa, requestCert: true, rejectUnauthorized: false },
    socket: {
      open(socket) {
        socket.data = new Connection(socket, handler);
        connections.add(socket.data);
        socket.timeout(handshakeTimeoutSeconds);
      },
      handshake(socket) {
        socket.data.handshake();
      },
      data: (socket, bytes) => socket.data.data(bytes),
      drain: (socket) => socket.data.flush(),
      timeout: (socket) => socket.data.idle(),
      error: (socket) => socket.data.destroy(),
      close(socket) {
        connections.delete(socket.data);
        socket.data.closed();
      },
    },
  });
  return {
    port: server.port,
    close() {
      server.stop(true);
      for (const connection of [...connections]) connection.destroy();
    },
  };
}

class Connection implements RawSocket {
  readonly #socket: Tcp;
  readonly #handler: Handler;
  readonly #parser = new RequestParser();
  #peer: Peer | undefined;
  #peerRead = false;
  #busy = false;
  #closed = false;
  #ending = false;
  #scheduled = false;
  #chunked = false;
  #raw: ((bytes: Uint8Array) => void) | undefined;
  #upgraded = false;
  #early: Uint8Array[] = [];
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #pending = "";
  #waiting = false;
  #closeCallbacks: (() => void)[] = [];
  #drainCallbacks: (() => void)[] = [];

  constructor(socket: Tcp, handler: Handler) {
    this.#socket = socket;
    this.#handler = handler;
  }

  handshake(): void {
    this.#socket.timeout(idleTimeoutSeconds);
  }

  data(bytes: Uint8Array): void {
    if (this.#upgraded) {
      if (this.#raw) this.#raw(bytes);
      else this.#early.push(Buffer.from(bytes));
      return;
    }
    this.#parser.push(bytes);
    if (!this.#busy) this.#advance();
    else if (this.#parser.buffered > maxBodyBytes + maxHeadBytes) this.destroy();
  }

  idle(): void {
    if (!this.#busy && !this.#upgraded) this.destroy();
  }

  #advance(): void {
    let request: ParsedRequest | undefined;
    try {
      request = this.#parser.next((head) => {
        if (head.expectContinue) this.#enqueue(Buffer.from("HTTP/1.1 100 Continue\r\n\r\n"));
      });
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      const body = JSON.stringify({
        kind: "Status",
        apiVersion: "v1",
        metadata: {},
        status: "Failure",
        message: error.message,
        reason: error.status === 413 ? "RequestEntityTooLarge" : "BadRequest",
        code: error.status,
      });
      this.#busy = true;
      this.#respond({ status: error.status, headers: { "content-type": "application/json" }, body }, "GET", true);
      return;
    }
    if (!request) return;
    this.#busy = true;
    const whole: HttpRequest = {
      ...request,
      peer: this.#identity(),
      remoteAddress: this.#socket.remoteAddress,
      onAbort: (callback) => this.#closeCallbacks.push(callback),
    };
    const { method, close } = request;
    let answer: HttpResponse | Promise<HttpResponse>;
    try {
      answer = this.#handler(whole);
    } catch (error) {
      answer = internalError(error);
    }
    if (answer instanceof Promise)
      answer.then(
        (response) => this.#respond(response, method, close),
        (error) => this.#respond(internalError(error), method, close),
      );
    else this.#respond(answer, method, close);
  }

  #identity(): Peer | undefined {
    if (this.#peerRead) return this.#peer;
    this.#peerRead = true;
    const tls = this.#socket as unknown as {
      authorized: boolean;
      getPeerCertificate?(): { subject?: { CN?: string | string[]; O?: string | string[] } } | null;
    };
    if (!tls.authorized) return undefined;
    const subject = tls.getPeerCertificate?.()?.subject;
    const commonName = [subject?.CN ?? []].flat().at(-1);
    if (commonName) this.#peer = { commonName, organizations: [subject?.O ?? []].flat() };
    return this.#peer;
  }

  #respond(response: HttpResponse, method: string, close: boolean): void {
    if (this.#closed) {
      if ("stream" in response) {
        // Let the producer see that nobody listens.
        response.stream({ write: () => false, end() {}, onClose: (callback) => callback(), onDrain() {} });
      }
      return;
    }
    this.#closeCallbacks = [];
    if ("upgrade" in response) {
      this.#upgraded = true;
      const rest = this.#parser.takeRest();
      if (rest.length > 0) this.#early.push(rest);
      this.#socket.timeout(0);
      response.upgrade(this);
      return;
    }
    let head = `HTTP/1.1 ${response.status} ${reasons[response.status] ?? "Status"}\r\n`;
    for (const [name, value] of Object.entries(response.headers ?? {}))
      for (const one of typeof value === "string" ? [value] : value) head += `${name}: ${one}\r\n`;
    if (close) head += "connection: close\r\n";
    if ("stream" in response) {
      this.#chunked = true;
      this.#socket.timeout(0);
      this.#enqueue(Buffer.from(`${head}transfer-encoding: chunked\r\n\r\n`));
      this.#ending = close;
      response.stream(this);
      return;
    }
    const body = response.body ?? "";
    const length = typeof body === "string" ? Buffer.byteLength(body) : body.length;
    head += `content-length: ${length}\r\n\r\n`;
    if (method === "HEAD") this.#enqueue(Buffer.from(head));
    else if (typeof body === "string") this.#enqueue(Buffer.from(head + body));
    else this.#enqueue(Buffer.concat([Buffer.from(head), body]));
    this.#finish(close);
  }

  #finish(close: boolean): void {
    this.#chunked = false;
    this.#closeCallbacks = [];
    this.#drainCallbacks = [];
    if (close) {
      this.#ending = true;
      this.flush();
      return;
    }
    this.#socket.timeout(idleTimeoutSeconds);
    this.#busy = false;
    if (this.#parser.buffered > 0) queueMicrotask(() => !this.#busy && !this.#closed && this.#advance());
  }

  // As a sink

  write(chunk: string | Uint8Array): boolean {
    if (this.#closed) return false;
    if (typeof chunk === "string" && this.#chunked) {
      this.#pending += chunk;
      if (!this.#scheduled) {
        this.#scheduled = true;
        setImmediate(() => {
          this.#scheduled = false;
          this.#flushPending();
        });
      }
      return this.#room(this.#queuedBytes + this.#pending.length);
    }
    this.#flushPending();
    const bytes = typeof chunk === "string" ? Buffer.from(chunk) : chunk;
    if (bytes.length === 0) return true;
    this.#enqueue(this.#chunked ? chunkOf(bytes) : Buffer.from(bytes));
    return this.#room(this.#queuedBytes);
  }

  end(): void {
    if (this.#closed) return;
    if (this.#chunked) {
      this.#flushPending();
      const close = this.#ending;
      this.#ending = false;
      this.#enqueue(Buffer.from("0\r\n\r\n"));
      this.#finish(close);
    } else {
      this.#ending = true;
      this.flush();
    }
  }

  onClose(callback: () => void): void {
    if (this.#closed) callback();
    else this.#closeCallbacks.push(callback);
  }

  onDrain(callback: () => void): void {
    this.#drainCallbacks.push(callback);
  }

  // As a raw socket

  onData(callback: (bytes: Uint8Array) => void): void {
    this.#raw = callback;
    for (const bytes of this.#early.splice(0)) callback(bytes);
  }

  pause(): void {
    if (!this.#closed) this.#socket.pause();
  }

  resume(): void {
    if (!this.#closed) this.#socket.resume();
  }

  #room(bytes: number): boolean {
    if (bytes < highWaterBytes) return true;
    this.#waiting = true;
    return false;
  }

  #flushPending(): void {
    if (this.#pending === "" || this.#closed) return;
    const bytes = Buffer.from(this.#pending);
    this.#pending = "";
    this.#enqueue(this.#chunked ? chunkOf(bytes) : bytes);
  }

  #enqueue(bytes: Uint8Array): void {
    if (this.#closed) return;
    if (this.#queuedBytes === 0) {
      const sent = Math.max(0, this.#socket.write(bytes));
      if (sent === bytes.length) return;
      bytes = bytes.subarray(sent);
    }
    this.#queue.push(bytes);
    this.#queuedBytes += bytes.length;
    if (this.#queuedBytes > maxQueuedBytes) this.destroy();
  }

  flush(): void {
    while (this.#queue.length > 0) {
      const first = this.#queue[0] as Uint8Array;
      const sent = Math.max(0, this.#socket.write(first));
      this.#queuedBytes -= sent;
      if (sent < first.length) {
        this.#queue[0] = first.subarray(sent);
        return;
      }
      this.#queue.shift();
    }
    if (this.#ending && !this.#chunked) {
      this.#socket.end();
      return;
    }
    if (this.#waiting && this.#queuedBytes < highWaterBytes) {
      this.#waiting = false;
      for (const callback of this.#drainCallbacks) callback();
    }
  }

  destroy(): void {
    if (this.#closed) return;
    this.#socket.terminate();
    this.closed();
  }

  closed(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#queue = [];
    this.#pending = "";
    for (const callback of this.#closeCallbacks.splice(0)) callback();
  }
}

function chunkOf(bytes: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from("\r\n")]);
}

function internalError(error: unknown): HttpResponse {
  const message = `Internal error occurred: ${error instanceof Error ? error.message : String(error)}`;
  return {
    status: 500,
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Failure",
      message,
      reason: "InternalError",
      code: 500,
    }),
  };
}
