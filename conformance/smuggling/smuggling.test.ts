// The suite's own parts, and as much of it as takes a few seconds; `npm run conformance -- smuggling` runs all of it.
import { expect, test } from "bun:test";
import type { CaseResult, Target } from "../suite.ts";
import type { RequestCase } from "./case.ts";
import { CONTROLS } from "./controls.ts";
import { type Door, inboundDetected, twoProxies } from "./doors.ts";
import { DOWNGRADES } from "./downgrades.ts";
import { engines, runEngines } from "./engines.ts";
import { inboundHttp2, runNative } from "./native.ts";
import { PATHS } from "./paths.ts";
import { REQUESTS } from "./requests.ts";
import { RESPONSES } from "./responses.ts";
import { runDowngrades } from "./run-downgrades.ts";
import { runPaths } from "./run-paths.ts";
import { runRequests } from "./run-requests.ts";
import { runResponses } from "./run-responses.ts";
import { SAMPLES } from "./samples.ts";
import { readRequests, readResponses } from "./strict-reader.ts";

const TIMEOUT_MS = 60_000;

async function through<T extends Target>(start: () => Promise<T>, run: (door: T) => Promise<CaseResult[]>): Promise<void> {
  const door = await start();
  try {
    const results = await run(door);
    expect(results.filter(({ outcome }) => outcome !== "passed").map(({ case: name, detail }) => `${name}: ${detail}`)).toEqual([]);
    expect(results.length).toBeGreaterThan(0);
  } finally {
    await door.stop();
  }
}

test("there is as much of everything as was promised, each once", () => {
  expect(SAMPLES).toHaveLength(18);
  expect(REQUESTS.length).toBeGreaterThanOrEqual(200);
  expect(CONTROLS.length).toBeGreaterThanOrEqual(40);
  expect(PATHS.length).toBeGreaterThanOrEqual(60);
  expect(DOWNGRADES.length).toBeGreaterThanOrEqual(150);
  expect(RESPONSES.length).toBeGreaterThanOrEqual(100);
  const twice = (names: readonly string[]): string[] => names.filter((name, i) => names.indexOf(name) !== i);
  expect(twice([...SAMPLES, ...REQUESTS, ...CONTROLS].map(({ group, name }) => `${group}: ${name}`))).toEqual([]);
  expect(twice(CONTROLS.map(({ bytes }) => bytes))).toEqual([]);
  expect(twice(DOWNGRADES.map(({ group, name }) => `${group}: ${name}`))).toEqual([]);
  expect(twice(RESPONSES.map(({ group, name }) => `${group}: ${name}`))).toEqual([]);
});

test("all text is latin1", () => {
  for (const { bytes } of [...SAMPLES, ...REQUESTS, ...CONTROLS]) expect(Buffer.from(bytes, "latin1").toString("latin1")).toBe(bytes);
});

test.each([
  ["two lengths", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\nx"],
  ["length and coding", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n"],
  ["another coding", "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\n"],
  ["two Host", "GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n"],
  ["no Host", "GET / HTTP/1.1\r\n\r\n"],
  ["bare LF", "GET / HTTP/1.1\nhost: a\r\n\r\n"],
  ["CR in a value", "GET / HTTP/1.1\r\nhost: a\r\nx: a\rb\r\n\r\n"],
  ["fold", "GET / HTTP/1.1\r\nhost: a\r\nx: a\r\n b\r\n\r\n"],
  ["upper case", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"],
  ["fragment", "GET /# HTTP/1.1\r\nhost: a\r\n\r\n"],
  ["space in the target", "GET /a b HTTP/1.1\r\nhost: a\r\n\r\n"],
  ["chunk size with zeros", "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n01\r\nx\r\n0\r\n\r\n"],
  ["chunk extension", "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1;a\r\nx\r\n0\r\n\r\n"],
  ["chunk without end", "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\nxx\r\n0\r\n\r\n"],
  ["garbage behind", "GET / HTTP/1.1\r\nhost: a\r\n\r\nxx\r\n\r\n"],
])("the strict reader sees a problem: %s", (_name, text) => {
  expect(readRequests(text).problem).not.toBeNull();
});

test("the strict reader reads what is clear", () => {
  const text =
    "POST /a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx: 1\r\n\r\nPUT /b HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nab";
  const { messages, problem, consumed } = readRequests(text);
  expect(problem).toBeNull();
  expect(messages.map(({ start, body, complete }) => [start, body, complete])).toEqual([
    ["POST /a HTTP/1.1", "hi", true],
    ["PUT /b HTTP/1.1", "ab", false],
  ]);
  expect(messages[0]?.trailers).toEqual([["x", "1"]]);
  expect(text.slice(consumed)).toStartWith("PUT ");
  const responses = readResponses(
    "HTTP/1.1 103 x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nHTTP/1.1 204 x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx",
    ["HEAD", "GET", "GET"],
  );
  expect(responses.messages.map(({ body, complete }) => [body, complete])).toEqual([
    ["", true],
    ["", true],
    ["", true],
    ["x", true],
  ]);
});

test("an application that a request leaks to is noticed", async () => {
  const valid: RequestCase = {
    group: "",
    name: "valid",
    source: "",
    bytes: "GET /g HTTP/1.1\r\nHost: a\r\n\r\n",
    verdict: { kind: "refused", status: 400 },
  };
  const door = await inboundDetected();
  try {
    const [wrong] = await runRequests(door, [{ ...valid, bytes: "GET /g HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" }]);
    expect(wrong?.outcome).toBe("failed");
    const seen = { method: "GET", target: "/other" };
    const [other] = await runRequests(door, [{ ...valid, verdict: { kind: "accepted", seen, closes: false } }]);
    expect(other?.detail).toBe("the application got GET /g, not GET /other");
  } finally {
    await door.stop();
  }
});

test(
  "two proxies: every request and every response",
  () =>
    through(twoProxies, async (door: Door) => [
      ...(await runRequests(door, [...SAMPLES, ...REQUESTS, ...CONTROLS])),
      ...(await runResponses(door, RESPONSES)),
    ]),
  TIMEOUT_MS,
);

test(
  "inbound: every downgrade and every spelling of a path",
  () => through(inboundDetected, async (door: Door) => [...(await runDowngrades(door, DOWNGRADES)), ...(await runPaths(door))]),
  TIMEOUT_MS,
);

test("HTTP/2 to HTTP/2", () => through(inboundHttp2, runNative), TIMEOUT_MS);

test(
  "a sample cut at every byte",
  () =>
    through(engines, async (target) =>
      runEngines(target, [...SAMPLES, ...[...REQUESTS, ...CONTROLS].filter(({ bytes }, i) => i % 16 === 0 && bytes.length < 1000)]),
    ),
  TIMEOUT_MS,
);
