// The two HTTP/1 engines joined as the proxy joins them, without sockets: every case, cut at every byte. A parser that reads
// a message differently when it comes in pieces is two parsers.
import {
  type EngineHost,
  type Fields,
  type Incoming,
  type RequestHandler,
  type RequestHead,
  type ResponseHead,
  type ResponseIncoming,
  type ServerStream,
  stripHopByHop,
  wantsUpgrade,
} from "#http";
import { Http1Client, Http1Server, HttpDate, requestHeadCache, responseHeadCache } from "#http1";
import type { CaseResult, Target } from "../suite.ts";
import { FOLLOWING, type RequestCase, SMUGGLED } from "./case.ts";
import { answerOk } from "./recorder.ts";
import { type ReadMessage, readRequests } from "./strict-reader.ts";

/** Longer cases are cut at as many places, evenly. */
const MAX_CUTS = 400;

export const engines = async (): Promise<Target> => ({
  name: "engines",
  what: "the HTTP/1 engines joined in memory: each case whole, byte by byte, and cut at every byte",
  port: 0,
  stop() {},
});

class Host implements EngineHost {
  over: "" | "finished" | "aborted" = "";
  scheduleFlush(): void {}
  pauseReading(): void {}
  resumeReading(): void {}
  finish(): void {
    this.over ||= "finished";
  }
  abort(): void {
    this.over ||= "aborted";
  }
}

/** A request on its way: the server engine's exchange joined to a client engine of its own. */
class Joint implements Incoming, ResponseIncoming {
  readonly host = new Host();
  readonly client = new Http1Client({ host: this.host, cache: responseHeadCache() });
  readonly server: ServerStream;
  readonly #request: ReturnType<Http1Client["request"]>;
  /** What the application got. */
  text = "";
  #answered = false;

  constructor(server: ServerStream, head: RequestHead, end: boolean) {
    this.server = server;
    const sent = wantsUpgrade(head) ? head : head.with({ fields: stripHopByHop(head.fields) });
    this.#request = this.client.request(sent, end, this);
  }

  /** Takes what the client engine has to say, and answers what is complete. */
  pump(): void {
    for (let bytes = this.client.output(); bytes !== null; bytes = this.client.output()) this.text += Buffer.from(bytes).toString("latin1");
    const message = readRequests(this.text).messages[0];
    if (message?.complete !== true || this.#answered || this.host.over !== "") return;
    this.#answered = true;
    this.client.receive(Buffer.from(answerOk(message, null as never) ?? "", "latin1"));
  }

  onData(chunk: Uint8Array, end: boolean): void {
    this.server.consume(chunk.length);
    this.#request.write(chunk, end);
  }

  onTrailers(fields: Fields): void {
    this.#request.trailers(fields);
  }

  onWritten(): void {}

  onReset(): void {
    this.#request.reset(8);
  }

  onInformational(head: ResponseHead): void {
    this.server.informational(head);
  }

  onResponse(head: ResponseHead, end: boolean): void {
    this.server.respond(head, end);
    const response = this;
    this.#request.incoming = {
      onInformational() {},
      onResponse() {},
      onData(chunk, last) {
        response.#request.consume(chunk.length);
        response.server.write(chunk, last);
      },
      onTrailers: (fields) => this.server.trailers(fields),
      onWritten() {},
      onReset: () => this.server.reset(8),
    };
  }
}

type Outcome = {
  /** Status lines that the client got. */
  readonly statuses: readonly string[];
  readonly over: Host["over"];
  readonly requests: readonly Pick<ReadMessage, "start" | "body" | "complete" | "trailers">[];
  readonly problem: string | null;
};

function run(pieces: readonly string[]): Outcome {
  const host = new Host();
  const joints: Joint[] = [];
  const handler: RequestHandler = {
    onRequest(stream, head, end) {
      const joint = new Joint(stream, head, end);
      joints.push(joint);
      return joint;
    },
  };
  const server = new Http1Server({ host, handler, cache: requestHeadCache(), date: new HttpDate({ now: () => 0 }) });
  let out = "";
  const pump = (): void => {
    for (let before = -1; before !== out.length; ) {
      before = out.length;
      for (const joint of joints) joint.pump();
      for (let bytes = server.output(); bytes !== null; bytes = server.output()) out += Buffer.from(bytes).toString("latin1");
    }
  };
  for (const piece of pieces) {
    if (host.over !== "") break;
    server.receive(Buffer.from(piece, "latin1"));
    pump();
  }
  const readings = joints.map(({ text }) => readRequests(text));
  return {
    statuses: [...out.matchAll(/HTTP\/1\.[01] \d{3} [^\r]*/g)].map(([line]) => line),
    over: host.over,
    requests: readings.flatMap(({ messages }) =>
      messages.map(({ start, body, complete, trailers }) => ({ start, body: complete ? body : "", complete, trailers })),
    ),
    problem: readings.find(({ problem }) => problem !== null)?.problem ?? null,
  };
}

/** What is wrong with the outcome of a case; null when nothing is. */
function judge(one: RequestCase, outcome: Outcome): string | null {
  const { verdict } = one;
  const { statuses, requests, over, problem } = outcome;
  if (problem !== null) return `the application got ${problem}`;
  const whole = requests.filter(({ complete }) => complete);
  if (verdict.kind === "accepted") {
    const expected = verdict.closes ? 1 : 2;
    const { seen } = verdict;
    const first = whole[0];
    if (whole.length !== expected || requests.length !== expected) return `${requests.length} requests, not ${expected}`;
    if (!first?.start.startsWith(`${seen.method} ${seen.target} HTTP/`)) return `the application got ${first?.start}`;
    if (first.body !== (seen.body ?? "")) return `the application got the content ${first.body}`;
    return statuses.length === expected ? null : `${statuses.length} responses`;
  }
  if (statuses.length !== 1 || !statuses[0]?.startsWith(`HTTP/1.1 ${verdict.status} `))
    return `answered ${statuses.join(", ") || "nothing"}`;
  if (over !== "finished") return `the connection is ${over || "open"}`;
  if (whole.length > 0) return `the application got ${whole[0]?.start}`;
  return verdict.kind === "refused" && requests.length > 0 ? `the application got ${requests[0]?.start}` : null;
}

export function runEngines(target: Target, cases: readonly RequestCase[]): CaseResult[] {
  return cases.map((one) => {
    const detail = everyCut(one);
    return {
      target: target.name,
      case: `${one.group}: ${one.name}, however it is cut (${one.source})`,
      outcome: detail === null ? "passed" : "failed",
      detail: detail ?? "",
    };
  });
}

function everyCut(one: RequestCase): string | null {
  const text = one.bytes + (one.verdict.kind === "accepted" ? FOLLOWING : SMUGGLED);
  const whole = run([text]);
  const fault = judge(one, whole);
  if (fault !== null) return fault;
  const expected = JSON.stringify(whole);
  const check = (pieces: readonly string[], how: string): string | null => {
    const outcome = run(pieces);
    const wrong = judge(one, outcome);
    if (wrong !== null) return `${how}: ${wrong}`;
    // Of content that is refused later, the application sees more or less of its beginning.
    if (one.verdict.kind === "broken") return null;
    return JSON.stringify(outcome) === expected ? null : `${how}: ${JSON.stringify(outcome).slice(0, 300)}, not ${expected.slice(0, 300)}`;
  };
  if (text.length <= 2000) {
    const bytes = check([...text], "byte by byte");
    if (bytes !== null) return bytes;
  }
  const step = Math.max(1, Math.ceil(text.length / MAX_CUTS));
  for (let at = 1; at < text.length; at += step) {
    const wrong = check([text.slice(0, at), text.slice(at)], `cut at ${at}`);
    if (wrong !== null) return wrong;
  }
  return null;
}
