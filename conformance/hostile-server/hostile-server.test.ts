// As much of the suite as takes a few seconds; `npm run conformance -- hostile-server` runs all of it.
import { expect, test } from "bun:test";
import type { CaseResult } from "../suite.ts";
import { HTTP2_CASES } from "./cases.ts";
import { type Door, engine, outboundHttp1, outboundHttp2 } from "./doors.ts";
import { HTTP1_CASES, runHttp1 } from "./http1.ts";
import { runHttp2 } from "./run-http2.ts";
import { runScenes } from "./scenes.ts";
import { hostileServer } from "./suite.ts";

const TIMEOUT_MS = 60_000;
const SAMPLE = HTTP2_CASES.filter((_, i) => i % 3 === 0);

async function through(start: () => Promise<Door>, run: (door: Door) => Promise<CaseResult[]>): Promise<void> {
  const door = await start();
  try {
    const results = await run(door);
    expect(results.filter(({ outcome }) => outcome !== "passed").map(({ case: name, detail }) => `${name}: ${detail}`)).toEqual([]);
    expect(results.length).toBeGreaterThan(0);
  } finally {
    await door.stop();
  }
}

test("there are at least 120 cases, each once", () => {
  const names = [...HTTP2_CASES, ...HTTP1_CASES].map(({ group, name }) => `${group}: ${name}`);
  expect(names.length).toBeGreaterThanOrEqual(120);
  expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([]);
  for (const { target } of hostileServer.exceptions) expect(Object.keys(hostileServer.targets)).toContain(target);
});

test("a wrong expectation is noticed", async () => {
  const door = await engine();
  try {
    const one = HTTP2_CASES.find(({ name }) => name === "PING before SETTINGS");
    if (one === undefined) throw new Error("no case");
    const results = await runHttp2(door, [
      { ...one, outcome: { kind: "whole", status: 200, body: "ok" } },
      { ...one, told: { goaway: "FRAME_SIZE_ERROR" } },
      { ...one, told: "nothing" },
    ]);
    expect(results.map(({ detail }) => detail)).toEqual([
      "the client got 502, not 200 ok",
      'the server was told GOAWAY 0 PROTOCOL_ERROR, not {"goaway":"FRAME_SIZE_ERROR"}',
      "the server was told GOAWAY 0 PROTOCOL_ERROR",
    ]);
  } finally {
    await door.stop();
  }
});

test("the engine", () => through(engine, (door) => runHttp2(door, HTTP2_CASES)), TIMEOUT_MS);
test(
  "HTTP/2 through the outbound side, every third case, and scenes",
  () => through(outboundHttp2, async (door) => [...(await runHttp2(door, SAMPLE)), ...(await runScenes(door))]),
  TIMEOUT_MS,
);
test("HTTP/1 through the outbound side", () => through(outboundHttp1, runHttp1), TIMEOUT_MS);
