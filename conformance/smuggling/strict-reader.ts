// Reads what the proxy wrote, for the suite's oracle: a reader that knows one spelling of everything and calls every other a
// problem. It shares nothing with the engines under test.

export type ReadMessage = {
  /** Request line or status line. */
  readonly start: string;
  readonly fields: readonly (readonly [name: string, value: string])[];
  readonly body: string;
  readonly trailers: readonly (readonly [name: string, value: string])[];
  readonly complete: boolean;
};

export type Reading = {
  readonly messages: readonly ReadMessage[];
  /** Why two readers could see different messages in these bytes; null when they cannot. */
  readonly problem: string | null;
  /** Where the last complete message ends. */
  readonly consumed: number;
};

const REQUEST_LINE = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+ [!"$-~]+ HTTP\/1\.[01]$/;
const STATUS_LINE = /^HTTP\/1\.[01] [1-5][0-9][0-9] [\t\x20-\x7e\x80-\xff]*$/;
const FIELD_LINE = /^([!#$%&'*+\-.^_`|~0-9a-z]+): ?((?:[!-~\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[!-~\x80-\xff])?)?)$/;

/** The requests of a connection's bytes; the last may be incomplete. */
export function readRequests(text: string): Reading {
  return read(text, REQUEST_LINE, () => false);
}

/** The responses of a connection's bytes. `methods`: of the requests, in order, for those whose responses have no content. */
export function readResponses(text: string, methods: readonly string[]): Reading {
  return read(text, STATUS_LINE, (start, finals) => /^.{9}(1|204|304)/.test(start) || methods[finals] === "HEAD");
}

function read(text: string, startLine: RegExp, noContent: (start: string, finals: number) => boolean): Reading {
  const messages: ReadMessage[] = [];
  let at = 0;
  let finals = 0;
  let consumed = 0;
  const problem = (what: string): Reading => ({ messages, consumed, problem: `${what}: ${JSON.stringify(text.slice(at, at + 200))}` });
  while (at < text.length) {
    const end = text.indexOf("\r\n\r\n", at);
    const head = text.slice(at, end < 0 ? undefined : end);
    if (/[\0\x7f]|\r(?!\n)|(?<!\r)\n/.test(end < 0 ? head.replace(/\r$/, "") : head)) return problem("a control character in a head");
    if (end < 0) {
      messages.push({ start: head.split("\r\n", 1)[0] as string, fields: [], body: "", trailers: [], complete: false });
      return { messages, consumed, problem: null };
    }
    const [start = "", ...lines] = head.split("\r\n");
    if (!startLine.test(start)) return problem("an odd start line");
    const fields = readFields(lines);
    if (fields === null) return problem("an odd field line");
    const get = (name: string): string[] => fields.filter(([own]) => own === name).map(([, value]) => value);
    const lengths = get("content-length");
    const codings = get("transfer-encoding");
    const request = startLine === REQUEST_LINE;
    if (request && (get("host").length > 1 || (get("host").length === 0 && start.endsWith("1.1")))) return problem("not one Host");
    if (lengths.length + codings.length > 1) return problem("more than one framing field");
    if (lengths.length === 1 && !/^(0|[1-9][0-9]{0,15})$/.test(lengths[0] as string)) return problem("an odd length");
    if (codings.length === 1 && (codings[0] !== "chunked" || start.includes("HTTP/1.0"))) return problem("an odd coding");
    at = end + 4;
    let body = "";
    let trailers: ReadMessage["trailers"] = [];
    let complete = true;
    if (noContent(start, finals)) {
      // Nothing follows, whatever the fields say.
    } else if (codings.length === 1) {
      const chunks = readChunks(text, at);
      if (typeof chunks === "string") return problem(chunks);
      body = chunks.body;
      trailers = chunks.trailers;
      complete = chunks.complete;
      at = chunks.end;
    } else if (lengths.length === 1) {
      const length = Number(lengths[0]);
      body = text.slice(at, at + length);
      complete = body.length === length;
      at += body.length;
    } else if (!request) {
      // Ends with the connection.
      body = text.slice(at);
      at = text.length;
    }
    if (request || !/^.{9}1/.test(start)) finals++;
    messages.push({ start, fields, body, trailers, complete });
    if (complete) consumed = at;
    else return { messages, consumed, problem: null };
  }
  return { messages, consumed, problem: null };
}

function readFields(lines: readonly string[]): [string, string][] | null {
  const fields: [string, string][] = [];
  for (const line of lines) {
    const match = FIELD_LINE.exec(line);
    if (match === null) return null;
    fields.push([match[1] as string, match[2] as string]);
  }
  return fields;
}

type Chunks = { body: string; trailers: [string, string][]; complete: boolean; end: number };

function readChunks(text: string, from: number): Chunks | string {
  let at = from;
  let body = "";
  const incomplete = (): Chunks => ({ body, trailers: [], complete: false, end: text.length });
  for (;;) {
    const lineEnd = text.indexOf("\r\n", at);
    if (lineEnd < 0) return /^[0-9a-f]{0,8}\r?$/.test(text.slice(at)) ? incomplete() : "an odd chunk size";
    const size = text.slice(at, lineEnd);
    if (!/^(0|[1-9a-f][0-9a-f]{0,7})$/.test(size)) return "an odd chunk size";
    const length = Number.parseInt(size, 16);
    at = lineEnd + 2;
    if (length === 0) {
      const end = text.startsWith("\r\n", at) ? at : text.indexOf("\r\n\r\n", at);
      if (end < 0) return incomplete();
      const section = text.slice(at, end);
      const trailers = section === "" ? [] : readFields(section.split("\r\n"));
      if (trailers === null) return "an odd trailer";
      return { body, trailers, complete: true, end: end + (section === "" ? 2 : 4) };
    }
    const data = text.slice(at, at + length);
    body += data;
    at += length;
    if (text.length < at + 2) return data.length < length || /^\r?$/.test(text.slice(at)) ? incomplete() : "no line end behind a chunk";
    if (text.slice(at, at + 2) !== "\r\n") return "no line end behind a chunk";
    at += 2;
  }
}
