// Requests about a running container go on to the node agent: logs as a stream, exec, attach and port-forward as raw upgraded bytes.
import type { Socket } from "bun";
import type { HttpRequest, HttpResponse, RawSocket } from "./http/listener.ts";
import { ApiError, badRequest, internalError } from "./status.ts";

/** `unix:/path` or `host:port`. */
export type NodeAgentAddress = string;

/** Request fields that are this server's business, not the agent's. */
const ownHeaders = /^(host|authorization|impersonate-.*|content-length|transfer-encoding|expect)$/;
/** Bytes towards a reader that does not read; then the writer is paused. */
const highWaterBytes = 1024 * 1024;
const connectTimeoutMs = 5000;

function parseAddress(address: NodeAgentAddress): { unix: string } | { hostname: string; port: number } {
  if (address.startsWith("unix:")) return { unix: address.slice("unix:".length) };
  const colon = address.lastIndexOf(":");
  const port = Number(address.slice(colon + 1));
  if (colon <= 0 || !Number.isInteger(port) || port < 1 || port > 65535)
    throw new RangeError(`node agent address ${JSON.stringify(address)} is neither unix:/path nor host:port`);
  return { hostname: address.slice(0, colon), port };
}

export class NodeProxy {
  readonly #target: ReturnType<typeof parseAddress> | undefined;

  /** @throws {RangeError} for a malformed address. */
  constructor(address: NodeAgentAddress | undefined) {
    this.#target = address === undefined ? undefined : parseAddress(address);
  }

  #need(): ReturnType<typeof parseAddress> {
    if (!this.#target) throw internalError("error dialing backend: this server was started without a node agent");
    return this.#target;
  }

  /** Streams the answer to a plain GET, without buffering; the agent's refusals become Status objects. */
  async stream(request: HttpRequest, path: string): Promise<HttpResponse> {
    const target = this.#need();
    const abort = new AbortController();
    request.onAbort(() => abort.abort());
    const url = "unix" in target ? `http://node${path}` : `http://${target.hostname}:${target.port}${path}`;
    let answer: Response;
    try {
      answer = await fetch(url, {
        signal: abort.signal,
        timeout: false,
        ...("unix" in target ? { unix: target.unix } : {}),
      } as RequestInit);
    } catch (error) {
      throw internalError(`Get ${JSON.stringify(url)}: ${(error as Error).message}`);
    }
    if (answer.status >= 400) {
      const text = (await answer.text()).trim();
      if (answer.status === 400) throw badRequest(text);
      throw new ApiError(
        answer.status,
        answer.status === 404 ? "NotFound" : "InternalError",
        text || `the node agent answered ${answer.status}`,
      );
    }
    return {
      status: answer.status,
      headers: { "content-type": answer.headers.get("content-type") ?? "text/plain" },
      stream: (sink) => {
        sink.onClose(() => abort.abort());
        let wake: (() => void) | undefined;
        sink.onDrain(() => wake?.());
        const pump = async () => {
          const reader = (answer.body as ReadableStream<Uint8Array> | null)?.getReader();
          while (reader) {
            const { done, value } = await reader.read();
            if (done) break;
            if (!sink.write(value) && !abort.signal.aborted)
              await new Promise<void>((resolve) => {
                wake = resolve;
                abort.signal.addEventListener("abort", () => resolve(), { once: true });
              });
          }
        };
        pump().then(
          () => sink.end(),
          () => sink.end(),
        );
      },
    };
  }

  /** Sends the request on as it is and joins both connections byte by byte. */
  async upgrade(request: HttpRequest, path: string): Promise<HttpResponse> {
    const target = this.#need();
    let head = `${request.method} ${path} HTTP/1.1\r\nhost: node\r\n`;
    for (const [name, value] of request.headers) if (!ownHeaders.test(name)) head += `${name}: ${value}\r\n`;
    // A browser's token in the subprotocol is not for the agent.
    head = head.replace(/base64url\.bearer\.authorization\.k8s\.io\.[A-Za-z0-9_-]+\s*,?\s*/g, "");
    const backend = new Backend();
    try {
      await backend.connect(target);
    } catch (error) {
      throw internalError(`error dialing backend: ${(error as Error).message}`);
    }
    backend.write(Buffer.from(`${head}\r\n`, "latin1"));
    return { upgrade: (client) => backend.join(client) };
  }
}

/** The connection to the agent. */
class Backend {
  #socket: Socket<undefined> | undefined;
  #client: RawSocket | undefined;
  #queue: Uint8Array[] = [];
  #queued = 0;
  #early: Uint8Array[] = [];
  #closed = false;
  #ending = false;

  async connect(target: ReturnType<typeof parseAddress>): Promise<void> {
    let failed: (error: Error) => void = () => {};
    const timeout = new Promise<never>((_, reject) => {
      failed = reject;
    });
    const timer = setTimeout(() => failed(new Error("connection timed out")), connectTimeoutMs);
    const handlers = {
      data: (_: Socket<undefined>, bytes: Uint8Array) => this.#fromAgent(bytes),
      drain: () => this.#flush(),
      close: () => this.#end(),
      error: () => this.#end(),
    };
    try {
      const connecting =
        "unix" in target ? Bun.connect({ unix: target.unix, socket: handlers }) : Bun.connect({ ...target, socket: handlers });
      this.#socket = await Promise.race([connecting, timeout]);
    } finally {
      clearTimeout(timer);
    }
  }

  write(bytes: Uint8Array): void {
    if (this.#closed || !this.#socket) return;
    if (this.#queued === 0) {
      const sent = Math.max(0, this.#socket.write(bytes));
      if (sent === bytes.length) return;
      bytes = bytes.subarray(sent);
    }
    this.#queue.push(Buffer.from(bytes));
    this.#queued += bytes.length;
    if (this.#queued > highWaterBytes) this.#client?.pause();
  }

  join(client: RawSocket): void {
    this.#client = client;
    client.onDrain(() => this.#socket?.resume());
    client.onClose(() => {
      this.#ending = true;
      this.#flush();
    });
    for (const bytes of this.#early.splice(0)) client.write(bytes);
    client.onData((bytes) => this.write(bytes));
    if (this.#closed) client.end();
  }

  #fromAgent(bytes: Uint8Array): void {
    if (!this.#client) this.#early.push(Buffer.from(bytes));
    else if (!this.#client.write(bytes)) this.#socket?.pause();
  }

  #flush(): void {
    while (this.#queue.length > 0 && this.#socket) {
      const first = this.#queue[0] as Uint8Array;
      const sent = Math.max(0, this.#socket.write(first));
      this.#queued -= sent;
      if (sent < first.length) {
        this.#queue[0] = first.subarray(sent);
        return;
      }
      this.#queue.shift();
    }
    this.#client?.resume();
    if (this.#ending) this.#socket?.end();
  }

  #end(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#client?.end();
  }
}
