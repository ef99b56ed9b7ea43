// Replays under Bun, the product's runtime, all that fuzzing under Node has kept: seeds, corpora and every earlier finding.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { formatCases, formatInput, parseCases, parseInput } from "./cases.ts";
import { keptCases } from "./kept.ts";
import { targets } from "./targets/index.ts";

describe("what is kept", () => {
  for (const target of targets)
    test(target.name, async () => {
      for (const { source, input } of keptCases(target)) {
        try {
          await target.run(input.slice());
        } catch (error) {
          throw new Error(`${source}: ${formatInput(input)}`, { cause: error });
        }
      }
    });
});

test("targets have names and files of their own", () => {
  const names = targets.map((target) => target.name);
  expect(new Set(names).size).toBe(names.length);
  expect(names).toEqual([...names].sort());
  for (const target of targets) {
    expect(target.name).toMatch(/^[a-z0-9]+(-[a-z0-9]+)*$/);
    expect(target.seeds.length).toBeGreaterThan(0);
    for (const seed of target.seeds) expect(seed.length).toBeLessThanOrEqual(target.maxBytes);
  }
});

describe("inputs as text", () => {
  test("any bytes come back, on one line that is no remark and survives an editor", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        const line = formatInput(bytes);
        expect(line).toMatch(/^[!-"$-~]([ -~]*[!-~])?$/);
        expect(parseInput(line)).toEqual(bytes);
      }),
    );
  });

  test("a file is remarks and inputs", () => {
    const inputs = [new Uint8Array(0), Uint8Array.of(35, 97), Uint8Array.of(32, 13, 10, 92, 32)];
    const text = formatCases("one\ntwo", inputs);
    expect(text).toBe("# one\n# two\n\\e\n\\x23a\n\\x20\\r\\n\\\\\\x20\n");
    expect(parseCases(text)).toEqual(inputs);
  });

  test("what is no escape is refused", () => {
    for (const line of ["\\", "\\q", "\\x1", "\\xZZ", "a\\eb"]) expect(() => parseInput(line)).toThrow("bad escape");
  });
});
