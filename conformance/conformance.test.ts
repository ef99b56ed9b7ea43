// The runner's own parts: reading what suites report, and known deviations.
import { expect, test } from "bun:test";
import { parseOutput } from "./h2spec/client-suite.ts";
import { parseReport } from "./h2spec/suite.ts";
import { summary, withExceptions } from "./report.ts";
import type { CaseResult, Suite } from "./suite.ts";

test("h2spec: cases of the JUnit report", () => {
  const xml = `<testsuite name="x" package="http2/5.1"><testcase package="http2/5.1" classname="idle: Sends a &#34;DATA&#34; frame" time="0.1"></testcase>
    <testcase package="http2/5.1" classname="two" time="0.1"><skipped></skipped></testcase>
    <testcase package="http2/6" classname="three" time="0.1"><failure>Expected: a &lt;b&gt;</failure></testcase></testsuite>`;
  expect(parseReport("t", xml)).toEqual([
    { target: "t", case: 'http2/5.1: idle: Sends a "DATA" frame', outcome: "passed", detail: "" },
    { target: "t", case: "http2/5.1: two", outcome: "skipped", detail: "  " },
    { target: "t", case: "http2/6: three", outcome: "failed", detail: " Expected: a <b> " },
  ]);
});

test("h2specd: cases of its output", () => {
  const output = [
    "  4.1. Frame Format",
    "\u001b[90m1: running\u001b[0m\r\u001b[32m✔\u001b[0m 1: Sends a frame",
    "  5.1. Stream States",
    "× 1: idle: Sends a DATA frame",
    "   -> The endpoint MUST",
    "✔ 2: last",
    "Failures:",
    "× 1: idle: Sends a DATA frame",
    "2 tests, 1 passed",
  ].join("\n");
  expect(parseOutput("t", output)).toEqual([
    { target: "t", case: "client/4.1: Sends a frame", outcome: "passed", detail: "" },
    { target: "t", case: "client/5.1: idle: Sends a DATA frame", outcome: "failed", detail: " -> The endpoint MUST" },
    { target: "t", case: "client/5.1: last", outcome: "passed", detail: "" },
  ]);
});

test("a known deviation is skipped with its reason; one that passes after all is a failure", () => {
  const result = (name: string, outcome: CaseResult["outcome"]): CaseResult => ({ target: "t", case: name, outcome, detail: "" });
  const suite = { exceptions: ["a", "b"].map((name) => ({ target: "t", case: name, reason: "because" })) } as unknown as Suite;
  const results = withExceptions(suite, [result("a", "failed"), result("b", "passed"), result("c", "passed"), result("d", "failed")]);
  expect(results.map(({ outcome }) => outcome)).toEqual(["skipped", "failed", "passed", "failed"]);
  expect(results[0]?.detail).toBe("because");
  expect(summary(results)).toBe("1 passed, 2 failed, 1 skipped");
  expect(summary(results.slice(2, 3))).toBe("1 passed, 0 failed");
});
