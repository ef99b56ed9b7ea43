// HTTP/1.1 requests out of bytes (RFC 9112): head, then a whole body, bounded. No sockets.

export interface RequestHead {
  method: string;
  /** As sent: path and query, not decoded. */
  target: string;
  path: string;
  /** Without `?`; "" when absent. */
  query: string;
  /** Lower-case names; repeated fields joined with ", ". */
  headers: Map<string, string>;
  /** HTTP/1.0 or `Connection: close`: the connection ends after the answer. */
  close: boolean;
  /** The client waits for `100 Continue` before it sends the body. */
  expectContinue: boolean;
  /** `Connection: Upgrade`: what follows the head is not a body. */
  upgrade: boolean;
}

export interface ParsedRequest extends RequestHead {
  body: Uint8Array;
}

/** What is wrong with a request and which status says so. The connection cannot be used after it. */
export class RequestError extends Error {
  constructor(
    readonly status: 400 | 408 | 413 | 417 | 431 | 501 | 505,
    message: string,
  ) {
    super(message);
  }
}

/** Request line and fields together; kubectl's longest (exec with many arguments) stay far below. */
export const maxHeadBytes = 64 * 1024;
/** As in Kubernetes: 3 MiB. */
export const maxBodyBytes = 3 * 1024 * 1024;

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const nothing = new Uint8Array(0);

type State = "head" | "length" | "chunk-size" | "chunk-data" | "chunk-end" | "trailers";

/** Feeds on bytes, gives whole requests one at a time. */
export class RequestParser {
  #buffer: Buffer = Buffer.alloc(0);
  #state: State = "head";
  #head: RequestHead | undefined;
  #remaining = 0;
  #chunks: Buffer[] = [];
  #bodyBytes = 0;
  #scanned = 0;

  /** Bytes that came but belong to no request yet given. */
  get buffered(): number {
    return this.#buffer.length;
  }

  push(bytes: Uint8Array): void {
    this.#buffer = this.#buffer.length === 0 ? Buffer.from(bytes) : Buffer.concat([this.#buffer, bytes]);
  }

  /** Takes what is left, after an upgrade. */
  takeRest(): Uint8Array {
    const rest = this.#buffer;
    this.#buffer = Buffer.alloc(0);
    return rest;
  }

  /**
   * The next whole request, or undefined until more bytes come. `onHead` is called once as soon as the head of a request that has a body is read.
   * @throws {RequestError}
   */
  next(onHead?: (head: RequestHead) => void): ParsedRequest | undefined {
    for (;;) {
      switch (this.#state) {
        case "head": {
          // RFC 9112 §2.2: ignore at least one empty line before the request line.
          while (this.#buffer.length >= 2 && this.#buffer[0] === 13 && this.#buffer[1] === 10) this.#buffer = this.#buffer.subarray(2);
          const end = this.#buffer.indexOf("\r\n\r\n", Math.max(0, this.#scanned - 3), "latin1");
          if (end < 0 || end > maxHeadBytes) {
            if (this.#buffer.length > maxHeadBytes) throw new RequestError(431, `request head is larger than ${maxHeadBytes} bytes`);
            this.#scanned = this.#buffer.length;
            return undefined;
          }
          this.#scanned = 0;
          const head = parseHead(this.#buffer.toString("latin1", 0, end));
          this.#buffer = this.#buffer.subarray(end + 4);
          const framing = bodyFraming(head);
          if (head.upgrade || framing === 0) return { ...head, body: nothing };
          this.#head = head;
          this.#chunks = [];
          this.#bodyBytes = 0;
          if (framing === "chunked") this.#state = "chunk-size";
          else {
            this.#remaining = framing;
            this.#state = "length";
          }
          onHead?.(head);
          break;
        }
        case "length": {
          if (this.#buffer.length < this.#remaining) return undefined;
          const body = this.#buffer.subarray(0, this.#remaining);
          this.#buffer = this.#buffer.subarray(this.#remaining);
          return this.#finish(body);
        }
        case "chunk-size": {
          const line = this.#line();
          if (line === undefined) return undefined;
          const size = /^([0-9a-fA-F]{1,8})[ \t]*(;.*)?$/.exec(line);
          if (!size) throw new RequestError(400, "malformed chunk size");
          this.#remaining = Number.parseInt(size[1] as string, 16);
          if (this.#bodyBytes + this.#remaining > maxBodyBytes) throw bodyTooLarge();
          this.#state = this.#remaining === 0 ? "trailers" : "chunk-data";
          break;
        }
        case "chunk-data":
          if (this.#buffer.length < this.#remaining) return undefined;
          this.#chunks.push(this.#buffer.subarray(0, this.#remaining));
          this.#bodyBytes += this.#remaining;
          this.#buffer = this.#buffer.subarray(this.#remaining);
          this.#state = "chunk-end";
          break;
        case "chunk-end": {
          const line = this.#line();
          if (line === undefined) return undefined;
          if (line !== "") throw new RequestError(400, "chunk longer than its size");
          this.#state = "chunk-size";
          break;
        }
        case "trailers": {
          const line = this.#line();
          if (line === undefined) return undefined;
          if (line === "") return this.#finish(this.#chunks.length === 1 ? (this.#chunks[0] as Buffer) : Buffer.concat(this.#chunks));
          break;
        }
        default:
          return this.#state satisfies never;
      }
    }
  }

  #line(): string | undefined {
    const end = this.#buffer.indexOf("\r\n", 0, "latin1");
    if (end < 0 || end > maxHeadBytes) {
      if (this.#buffer.length > maxHeadBytes) throw new RequestError(400, "line too long in chunked body");
      return undefined;
    }
    const line = this.#buffer.toString("latin1", 0, end);
    this.#buffer = this.#buffer.subarray(end + 2);
    return line;
  }

  #finish(body: Uint8Array): ParsedRequest {
    const head = this.#head as RequestHead;
    this.#head = undefined;
    this.#chunks = [];
    this.#state = "head";
    return { ...head, body };
  }
}

function bodyTooLarge(): RequestError {
  return new RequestError(413, `Request entity too large: limit is ${maxBodyBytes}`);
}

/** Length of the body, or "chunked" (RFC 9112 §6.3). */
function bodyFraming({ headers }: RequestHead): number | "chunked" {
  const encoding = headers.get("transfer-encoding");
  const length = headers.get("content-length");
  if (encoding !== undefined) {
    // RFC 9112 §6.1: both together is a smuggling attempt or a broken sender.
    if (length !== undefined) throw new RequestError(400, "both Content-Length and Transfer-Encoding");
    if (encoding.toLowerCase() !== "chunked") throw new RequestError(501, "unsupported transfer encoding");
    return "chunked";
  }
  if (length === undefined) return 0;
  if (!/^\d{1,15}$/.test(length)) throw new RequestError(400, "malformed Content-Length");
  const bytes = Number(length);
  if (bytes > maxBodyBytes) throw bodyTooLarge();
  return bytes;
}

/** @throws {RequestError} */
export function parseHead(text: string): RequestHead {
  const lines = text.split("\r\n");
  const request = /^(\S+) (\S+) HTTP\/1\.([01])$/.exec(lines[0] as string);
  if (!request)
    throw /HTTP\/[2-9]/.test(lines[0] as string)
      ? new RequestError(505, "HTTP version not supported")
      : new RequestError(400, "malformed request line");
  const [, method, target, minor] = request as unknown as [string, string, string, string];
  if (!token.test(method) || !target.startsWith("/")) throw new RequestError(400, "malformed request line");
  const headers = new Map<string, string>();
  for (let i = 1; i < lines.length; i++) {
    const line = lines[i] as string;
    const colon = line.indexOf(":");
    const name = line.slice(0, colon).toLowerCase();
    if (colon <= 0 || !token.test(name)) throw new RequestError(400, "malformed header field");
    const value = line.slice(colon + 1).trim();
    const before = headers.get(name);
    if (before !== undefined && name === "content-length" && before !== value) throw new RequestError(400, "conflicting Content-Length");
    headers.set(name, before === undefined || name === "content-length" ? value : `${before}, ${value}`);
  }
  const connection = (headers.get("connection") ?? "").toLowerCase();
  const options = connection.split(",").map((option) => option.trim());
  const mark = target.indexOf("?");
  return {
    method,
    target,
    path: mark < 0 ? target : target.slice(0, mark),
    query: mark < 0 ? "" : target.slice(mark + 1),
    headers,
    close: options.includes("close") || (minor === "0" && !options.includes("keep-alive")),
    expectContinue: (headers.get("expect") ?? "").toLowerCase() === "100-continue",
    upgrade: options.includes("upgrade") && headers.has("upgrade"),
  };
}
