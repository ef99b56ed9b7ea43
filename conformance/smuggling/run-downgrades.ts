// Runs downgrade cases: raw frames to the inbound side, HTTP/1 to the application.
import type { CaseResult } from "../suite.ts";
import type { Door } from "./doors.ts";
import type { DowngradeCase } from "./downgrades.ts";
import { block, data, FrameClient, headers, literal, prefixed } from "./frames.ts";
import { within } from "./recorder.ts";
import { Bystander, nothing, nothingWhole, settled } from "./run-requests.ts";

const WARM: readonly (readonly [string, string])[] = [
  [":method", "GET"],
  [":scheme", "http"],
  [":authority", "a"],
  [":path", "/warm"],
  ["l5d-orig-proto", "HTTP/1.1"],
];

export async function runDowngrades(door: Door, cases: readonly DowngradeCase[]): Promise<CaseResult[]> {
  const bystander = new Bystander(door);
  const results: CaseResult[] = [];
  const push = (name: string, detail: string | null): void => {
    results.push({ target: door.name, case: name, outcome: detail === null ? "passed" : "failed", detail: detail ?? "" });
    if (detail !== null) door.recorder.take();
  };
  try {
    for (const one of cases) {
      const detail = await runCase(door, bystander, one).catch((error: Error) => error.message);
      push(`${one.group}: ${one.name} (${one.source})`, detail);
    }
    push(
      "downgrade values: a field of the dynamic table, again (RFC 9113 §8.2.1)",
      await indexedTwice(door, bystander).catch((error: Error) => error.message),
    );
  } finally {
    bystander.close();
  }
  return results;
}

/** The frames of a case on a stream. */
export function framesOf(one: DowngradeCase, stream: number, origProto: string | null): Buffer {
  const fields = origProto === null ? one.fields : [...one.fields, ["l5d-orig-proto", origProto] as const];
  const ends = one.data.length === 0 && one.trailers === null;
  const frames = [headers(stream, block(fields), ends, one.pieceBytes)];
  one.data.forEach((text, i) => {
    frames.push(data(stream, text, i === one.data.length - 1 && one.trailers === null));
  });
  if (one.trailers !== null) frames.push(headers(stream, block(one.trailers), true));
  return Buffer.concat(frames);
}

async function open(door: Door): Promise<FrameClient> {
  const client = new FrameClient(await within(door.dial(), "the connection"));
  client.write(headers(1, block(WARM), true));
  await within(
    client.find((line) => line.startsWith("HEADERS 1 :status=200")),
    "the first request",
  );
  door.recorder.take();
  return client;
}

const answerOn = (stream: number) => (line: string) =>
  line.startsWith(`RST_STREAM ${stream} `) || line.startsWith("GOAWAY ") || line.startsWith(`HEADERS ${stream} `);

async function runCase(door: Door, bystander: Bystander, one: DowngradeCase): Promise<string | null> {
  const { recorder } = door;
  const client = await open(door);
  try {
    client.write(framesOf(one, 3, one.origProto));
    const line = await within(client.find(answerOn(3)), "the answer");
    if (line === null) return "the connection ended without GOAWAY";
    const { verdict } = one;
    if (verdict.kind !== "accepted") {
      if (line.startsWith("HEADERS ")) return `answered ${line}`;
      await bystander.pass();
      await within(settled(recorder), "the end of what the application has begun to receive");
      const record = recorder.take();
      return verdict.kind === "refused" ? nothing(record) : nothingWhole(record);
    }
    if (!line.startsWith("HEADERS 3 :status=200")) return `answered ${line}`;
    const record = recorder.take();
    if (record.problem !== null) return `the application got ${record.problem}`;
    const [request, ...more] = record.requests;
    if (request === undefined || more.length > 0) return `the application got ${record.requests.length} requests`;
    const { seen } = verdict;
    const expected = `${seen.method} ${seen.target} ${verdict.version ?? "HTTP/1.1"}`;
    if (request.start !== expected) return `the application got ${request.start}, not ${expected}`;
    if (request.body !== (seen.body ?? "")) return `the application got the content ${JSON.stringify(request.body)}`;
    for (const [name, value] of seen.fields ?? []) {
      const got = request.fields.filter(([own]) => own === name).map(([, own]) => own);
      if (value === null ? got.length > 0 : got.length !== 1 || got[0] !== value) return `${name} is ${JSON.stringify(got)}`;
    }
    if (JSON.stringify(request.trailers) !== JSON.stringify(verdict.trailers ?? [])) return `trailers ${JSON.stringify(request.trailers)}`;
    return null;
  } finally {
    client.raw.socket.destroy();
  }
}

/** A field that was refused stands in the dynamic table all the same: a reference to it must be refused as well. */
async function indexedTwice(door: Door, bystander: Bystander): Promise<string | null> {
  const client = await open(door);
  try {
    const first = Buffer.concat([block(WARM), literal("x", "1\r\nTransfer-Encoding: chunked", 0x40)]);
    const second = Buffer.concat([block(WARM), prefixed(0x80, 7, 62)]);
    for (const [stream, bytes] of [
      [3, first],
      [5, second],
      [7, second],
    ] as const) {
      client.write(headers(stream, bytes, true));
      const line = await within(client.find(answerOn(stream)), "the answer");
      if (line === null || !line.startsWith(`RST_STREAM ${stream} PROTOCOL_ERROR`)) return `answered ${line}`;
    }
    await bystander.pass();
    return nothing(door.recorder.take());
  } finally {
    client.raw.socket.destroy();
  }
}
