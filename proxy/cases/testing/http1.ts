// HTTP/1 as bytes: heads exactly as they came, bodies without their framing.
import type { Raw } from "../../testing/wire.ts";

export type Message = {
  /** Start line and field lines with the empty line, as received. */
  readonly head: string;
  readonly startLine: string;
  /** Names in lower case; repeated fields joined by ", ". */
  readonly fields: ReadonlyMap<string, string>;
  /** latin1 */
  readonly body: string;
  /** Trailer field lines as received. */
  readonly trailers: string;
};
export type Answer = Message & { readonly status: number };

/** `end`: where the next message begins. Null: not whole yet. */
function parse(text: string, at: number, options: { over: boolean; untilClose: boolean; bodyless: boolean }) {
  const headEnd = text.indexOf("\r\n\r\n", at);
  if (headEnd < 0) return null;
  const head = text.slice(at, headEnd + 4);
  const [startLine = "", ...lines] = head.slice(0, -4).split("\r\n");
  const fields = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(":");
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).trim();
    fields.set(name, fields.has(name) ? `${fields.get(name)}, ${value}` : value);
  }
  const start = headEnd + 4;
  const make = (body: string, end: number, trailers = "") => ({ message: { head, startLine, fields, body, trailers }, end });
  const length = fields.get("content-length");
  if (options.bodyless) return make("", start);
  if (fields.get("transfer-encoding") === "chunked") {
    let body = "";
    for (let position = start; ; ) {
      const lineEnd = text.indexOf("\r\n", position);
      if (lineEnd < 0) return null;
      const size = Number.parseInt(text.slice(position, lineEnd), 16);
      if (size === 0) {
        if (text.startsWith("\r\n", lineEnd + 2)) return make(body, lineEnd + 4);
        const end = text.indexOf("\r\n\r\n", lineEnd + 2);
        return end < 0 ? null : make(body, end + 4, text.slice(lineEnd + 2, end + 2));
      }
      if (text.length < lineEnd + 4 + size) return null;
      body += text.slice(lineEnd + 2, lineEnd + 2 + size);
      position = lineEnd + 4 + size;
    }
  }
  if (length !== undefined) {
    const end = start + Number(length);
    return text.length >= end ? make(text.slice(start, end), end) : null;
  }
  if (!options.untilClose) return make("", start);
  return options.over ? make(text.slice(start), text.length) : null;
}

/** Messages of one direction of a connection, one after the other. */
export class Messages {
  readonly raw: Raw;
  readonly #responses: boolean;
  #at = 0;
  #over = false;

  constructor(raw: Raw, responses: boolean) {
    this.raw = raw;
    this.#responses = responses;
    void raw.closed.then(() => {
      this.#over = true;
    });
  }

  /** Bytes after the last message that was read. */
  get rest(): string {
    return this.raw.text().slice(this.#at);
  }

  /** Leaves what has come so far to somebody else. */
  skip(): void {
    this.#at = this.raw.text().length;
  }

  async next(bodyless = false): Promise<Message> {
    for (;;) {
      const text = this.raw.text();
      const status = text.slice(this.#at + 9, this.#at + 12);
      const none = bodyless || (this.#responses && /^(1..|204|304)$/.test(status));
      const hit = parse(text, this.#at, { over: this.#over, untilClose: this.#responses, bodyless: none });
      if (hit !== null) {
        this.#at = hit.end;
        return hit.message;
      }
      if (this.#over)
        throw new Error(`the connection ended before a whole message; received: ${JSON.stringify(text.slice(this.#at, this.#at + 500))}`);
      await this.raw.until((now) => now.length > text.length).catch(() => this.raw.closed);
    }
  }
}

/** A client that sends what it is told and reads answers. */
export class Client {
  readonly raw: Raw;
  readonly #answers: Messages;

  constructor(raw: Raw) {
    this.raw = raw;
    this.#answers = new Messages(raw, true);
  }

  send(text: string | Uint8Array): this {
    this.raw.write(text);
    return this;
  }

  /** @param bodyless the answer to HEAD, or a 2xx to CONNECT */
  async answer(bodyless = false): Promise<Answer> {
    const message = await this.#answers.next(bodyless);
    return { ...message, status: Number(message.startLine.split(" ")[1]) };
  }

  /** A request line and fields, and the answer. */
  ask(requestLine: string, fields: Record<string, string> = {}, body = ""): Promise<Answer> {
    this.send(request(requestLine, fields, body));
    return this.answer(requestLine.startsWith("HEAD "));
  }

  get rest(): string {
    return this.#answers.rest;
  }
}

/** Bytes of a request; `host` and `content-length` are added when absent. */
export function request(requestLine: string, fields: Record<string, string> = {}, body = ""): string {
  const all: Record<string, string> = { host: "app", ...fields };
  if (body !== "" && !("transfer-encoding" in all)) all["content-length"] = String(body.length);
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `${requestLine} HTTP/1.1\r\n${lines.join("")}\r\n${body}`;
}

/** Bytes of a response. */
export function response(status: number, body = "", fields: Record<string, string> = {}): string {
  const lines = Object.entries({ "content-length": String(body.length), ...fields }).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status} Told\r\n${lines.join("")}\r\n${body}`;
}

export type Request = Message & { readonly method: string; readonly target: string; readonly connection: Raw };

/** What an application says to a request; null: nothing (it has written itself, or will not). */
export type Respond = (request: Request) => string | null | Promise<string | null>;

/** Reads requests off a connection and answers each in turn, as an application does. */
export async function serveRequests(raw: Raw, respond: Respond): Promise<void> {
  const requests = new Messages(raw, false);
  try {
    for (;;) {
      const message = await requests.next();
      const [method = "", target = ""] = message.startLine.split(" ");
      const answer = await respond({ ...message, method, target, connection: raw });
      if (answer === null) continue;
      raw.write(answer);
      if (message.startLine.endsWith("HTTP/1.0")) raw.socket.end();
    }
  } catch {
    // The client has gone.
    raw.socket.end();
  }
}
