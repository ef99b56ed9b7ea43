// Runs request cases through a door. The oracle is what the application really received.
import type { Raw } from "../../proxy/testing/wire.ts";
import type { CaseResult } from "../suite.ts";
import { FOLLOWING, type RequestCase, type Sighting, SMUGGLED } from "./case.ts";
import type { Door } from "./doors.ts";
import { type Recorded, type Recorder, within } from "./recorder.ts";
import { type ReadMessage, readResponses } from "./strict-reader.ts";

const WARM = "GET /warm HTTP/1.1\r\nHost: a\r\n\r\n";
const BARRIER = "GET /barrier HTTP/1.1\r\nHost: a\r\n\r\n";

/** A client of good manners beside the cases: what it gets says that all before it has reached the application. */
export class Bystander {
  readonly #door: Door;
  #client: Raw | null = null;
  #answers = 0;

  constructor(door: Door) {
    this.#door = door;
  }

  /** A request of its own, answered. */
  async pass(): Promise<void> {
    if (this.#client === null || this.#client.socket.destroyed) {
      this.#client = await within(this.#door.dial(), "the bystander's connection");
      this.#answers = 0;
    }
    this.#client.write(BARRIER);
    const answers = ++this.#answers;
    await within(
      this.#client.until((text) => text.split("HTTP/1.1 200 OK\r\n").length > answers),
      "the bystander's request",
    );
    // What it has read is not kept for ever.
    if (this.#answers >= 50) this.close();
  }

  close(): void {
    this.#client?.socket.destroy();
    this.#client = null;
  }
}

/** Every case through the door, each on a connection of its own. `pieces` cuts what is sent. */
export async function runRequests(
  door: Door,
  cases: readonly RequestCase[],
  options: { readonly suffix?: string; readonly cut?: (bytes: string) => readonly string[] } = {},
): Promise<CaseResult[]> {
  const bystander = new Bystander(door);
  const results: CaseResult[] = [];
  try {
    for (const one of cases) {
      const detail = await runCase(door, bystander, one, options.cut ?? ((bytes) => [bytes])).catch((error: Error) => error.message);
      results.push({
        target: door.name,
        case: `${one.group}: ${one.name}${options.suffix ?? ""} (${one.source})`,
        outcome: detail === null ? "passed" : "failed",
        detail: detail ?? "",
      });
      // What a failure has left must not be counted against the next.
      if (detail !== null) door.recorder.take();
    }
  } finally {
    bystander.close();
  }
  return results;
}

/** Null when all is well, else what is not. */
async function runCase(
  door: Door,
  bystander: Bystander,
  one: RequestCase,
  cut: (bytes: string) => readonly string[],
): Promise<string | null> {
  const { recorder } = door;
  const client = await within(door.dial(), "the connection");
  try {
    let before = 0;
    if (door.detects) {
      client.write(WARM);
      await within(client.until("\r\n\r\nok"), "the first request");
      before = client.text().length;
    }
    recorder.take();
    const { verdict } = one;
    const bytes = one.bytes + (verdict.kind === "accepted" ? FOLLOWING : SMUGGLED);
    const pieces = cut(bytes);
    for (const piece of pieces) {
      client.write(piece);
      if (pieces.length > 1) await turn();
    }
    const text = (): string => client.text().slice(before);
    if (verdict.kind === "accepted") return await accepted(one, verdict.seen, verdict.closes, recorder, client, text);
    await within(client.closed, "the end of the connection");
    const fault = refusal(text(), verdict.status);
    if (fault !== null) return fault;
    await bystander.pass();
    await within(settled(recorder), "the end of what the application has begun to receive");
    const record = recorder.take();
    return verdict.kind === "refused" ? nothing(record) : nothingWhole(record);
  } finally {
    client.socket.destroy();
  }
}

/** Exactly one response, an error, and then the end. */
function refusal(text: string, status: number): string | null {
  const { messages, problem } = readResponses(text, []);
  if (problem !== null) return `the client got ${problem}`;
  const [response, ...more] = messages;
  if (response === undefined) return "the connection ended without a response";
  if (more.length > 0) return `${messages.length} responses: ${messages.map(({ start }) => start).join(", ")}`;
  if (!response.start.startsWith(`HTTP/1.1 ${status} `)) return `answered ${response.start}, not ${status}`;
  if (!response.fields.some(([name, value]) => name === "connection" && value === "close"))
    return "the response does not say that it closes";
  return response.complete && response.body === "" ? null : "the response has content or no end";
}

const isBarrier = ({ start }: ReadMessage): boolean => start === "GET /barrier HTTP/1.1";

/** Not one byte reached the application beside the bystander's. */
export function nothing(record: Recorded): string | null {
  const fault = nothingWhole(record);
  if (fault !== null) return fault;
  return record.unfinished.length === 0 ? null : `the application got ${JSON.stringify(record.unfinished[0])}`;
}

/** No request that is complete, at most one that was broken off. */
export function nothingWhole(record: Recorded): string | null {
  if (record.problem !== null) return `the application got ${record.problem}`;
  const whole = record.requests.filter((request) => !isBarrier(request));
  if (whole.length > 0) return `the application got ${whole.map(({ start }) => start).join(", ")}`;
  if (record.unfinished.length > 1) return "the application got the beginnings of two requests";
  return record.unfinished.some((text) => text.includes("/smuggled")) ? "the application got the second request" : null;
}

/** Until nothing that was begun is still open: a request that is broken off ends with its connection. */
export async function settled(recorder: Recorder): Promise<void> {
  while (recorder.open > 0) await recorder.changed();
}

async function accepted(
  one: RequestCase,
  seen: Sighting,
  closes: boolean,
  recorder: Recorder,
  client: Raw,
  text: () => string,
): Promise<string | null> {
  const expected = closes ? 1 : 2;
  const methods = [seen.method, "GET"];
  const finals = (): ReadMessage[] =>
    readResponses(text(), methods).messages.filter(({ start, complete }) => complete && !/^.{9}1/.test(start)) as ReadMessage[];
  if (closes) await within(client.closed, "the end of the connection");
  else
    await within(
      client.until(() => finals().length >= expected),
      `the responses to the request and to the one behind it (client: ${JSON.stringify(text().slice(0, 200))})`,
    );
  const { problem } = readResponses(text(), methods);
  if (problem !== null) return `the client got ${problem}`;
  const responses = finals();
  if (responses.length !== expected) return `${responses.length} responses, not ${expected}: ${text().slice(0, 200)}`;
  const record = recorder.take();
  if (record.problem !== null) return `the application got ${record.problem}`;
  if (record.requests.length !== expected || record.unfinished.length > 0)
    return `the application got ${record.requests.length} requests, not ${expected}: ${record.requests.map(({ start }) => start).join(", ")}`;
  const first = record.requests.find(({ start }) => !start.includes(" /following "));
  if (first === undefined) return `the application did not get ${one.name}`;
  const line = first.start.slice(0, first.start.lastIndexOf(" "));
  if (line !== `${seen.method} ${seen.target}`)
    return `the application got ${line.slice(0, 200)}, not ${seen.method} ${seen.target.slice(0, 200)}`;
  if (first.body !== (seen.body ?? "")) return `the application got the content ${JSON.stringify(first.body.slice(0, 100))}`;
  for (const [name, value] of seen.fields ?? []) {
    const got = first.fields.filter(([own]) => own === name).map(([, own]) => own);
    if (value === null ? got.length > 0 : got.length !== 1 || got[0] !== value) return `${name} is ${JSON.stringify(got).slice(0, 200)}`;
  }
  return null;
}

/** Lets the proxy read what was written. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
}

/** A few cases of each kind through real connections, cut at every byte. */
export async function runSplits(door: Door, cases: readonly RequestCase[]): Promise<CaseResult[]> {
  const results: CaseResult[] = [];
  const bystander = new Bystander(door);
  try {
    for (const one of cases) {
      let detail: string | null = null;
      const name = `${one.group}: ${one.name}, cut at each of ${one.bytes.length} bytes (${one.source})`;
      for (let at = 1; at <= one.bytes.length && detail === null; at++) {
        const wrong = await runCase(door, bystander, one, (bytes) => [bytes.slice(0, at), bytes.slice(at)]).catch(
          (error: Error) => error.message,
        );
        if (wrong !== null) detail = `cut at ${at}: ${wrong}`;
      }
      results.push({ target: door.name, case: name, outcome: detail === null ? "passed" : "failed", detail: detail ?? "" });
      door.recorder.take();
    }
  } finally {
    bystander.close();
  }
  return results;
}
