import { expect, test } from "bun:test";
import type { Io } from "../io.ts";
import { jsonReport, TextReport } from "./report.ts";
import { type Category, RETRY_INTERVAL_MS, runChecks, Skip, verdict } from "./runner.ts";

type World = { calls: string[]; failures: Record<string, number> };

/** A check that fails as often as the world says. */
function check(description: string, flags: object = {}): Category<World>["checks"][number] {
  return {
    description,
    anchor: description,
    ...flags,
    async run({ calls, failures }) {
      calls.push(description);
      if ((failures[description] ?? 0) > 0) {
        failures[description] = (failures[description] as number) - 1;
        throw new Error(`${description} failed`);
      }
    },
  };
}

function run(categories: Category<World>[], failures: Record<string, number> = {}, waitMs = 0) {
  const context: World = { calls: [], failures };
  let nowMs = 0;
  return runChecks({
    categories,
    context,
    hintBase: "https://hints/#",
    deadlineMs: waitMs,
    now: () => nowMs,
    sleep: async (ms) => {
      nowMs += ms;
    },
  }).then((outcomes) => ({ outcomes, calls: context.calls }));
}

function output(): { io: Io; text: () => string } {
  let text = "";
  const io: Io = { env: {}, isTty: false, stdin: async () => "", stderr: () => {}, stdout: (more) => void (text += more) };
  return { io, text: () => text };
}

test("a fatal failure ends the run; a warning does not change the verdict", async () => {
  const a: Category<World> = { id: "a", checks: [check("one", { warning: true }), check("two", { fatal: true }), check("three")] };
  const warned = await run([a], { one: 1 });
  expect(warned.outcomes.map(({ result }) => result)).toEqual(["warning", "success", "success"]);
  expect(verdict(warned.outcomes)).toBe(true);
  const fatal = await run([a, { id: "b", checks: [check("four")] }], { two: 1 });
  expect(fatal.calls).toEqual(["one", "two"]);
  expect(verdict(fatal.outcomes)).toBe(false);
});

test("a check with retry is tried every five seconds until the deadline", async () => {
  const category: Category<World> = { id: "a", checks: [check("slow", { retry: true })] };
  expect((await run([category], { slow: 2 }, RETRY_INTERVAL_MS * 2)).outcomes[0]?.result).toBe("success");
  const late = await run([category], { slow: 9 }, RETRY_INTERVAL_MS * 2);
  expect(late.calls).toHaveLength(3);
  expect(late.outcomes[0]).toMatchObject({ result: "error", error: "slow failed", hint: "https://hints/#slow" });
  expect((await run([category], { slow: 1 }, 0)).calls).toHaveLength(1);
});

test("a check that does not apply leaves no trace, and a category of such prints nothing", async () => {
  const skipped: Category<World> = {
    id: "none",
    checks: [
      {
        description: "skipped",
        anchor: "s",
        run: async () => {
          throw new Skip();
        },
      },
    ],
  };
  const { outcomes } = await run([skipped]);
  expect(outcomes).toEqual([]);
  expect(jsonReport(outcomes)).toBe('{\n  "success": true,\n  "categories": null\n}\n');
});

test("short output is one line when all is well, and only the problems else", async () => {
  const category: Category<World> = { id: "linkerd-identity", checks: [check("good"), check("expiring", { warning: true })] };
  for (const [failures, expected] of [
    [{}, "Status check results are √\n"],
    [
      { expiring: 1 },
      "Linkerd core checks\n===================\n\nlinkerd-identity\n----------------\n‼ expiring\n    expiring failed\n    see https://hints/#expiring for hints\n\nStatus check results are √\n",
    ],
  ] as const) {
    const { io, text } = output();
    const report = new TextReport(io, { isShort: true });
    report.start("Linkerd core checks");
    const { outcomes } = await run([category], { ...failures });
    for (const outcome of outcomes) report.add(outcome);
    report.end();
    report.finish(verdict(outcomes));
    expect(text()).toBe(expected);
  }
});

test("JSON names hint and error only where something is wrong", async () => {
  const { outcomes } = await run([{ id: "a", checks: [check("one"), check("two")] }], { two: 1 });
  expect(JSON.parse(jsonReport(outcomes))).toEqual({
    success: false,
    categories: [
      {
        categoryName: "a",
        checks: [
          { description: "one", result: "success" },
          { description: "two", hint: "https://hints/#two", error: "two failed", result: "error" },
        ],
      },
    ],
  });
});
