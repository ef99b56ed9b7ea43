import { expect, test } from "bun:test";
import { descriptorLimits, maxOpenFiles } from "./descriptors.ts";

test.each([
  [64, 48, 56],
  [128, 96, 112],
  [1024, 768, 896],
  [1_048_576, 1_047_552, 1_048_064],
  [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY],
])("of %p descriptors: accept below %p, dial below %p", (maxFiles, accept, dial) => {
  expect(descriptorLimits(maxFiles)).toEqual({ accept, dial });
});

test("the limit of this process", () => {
  expect(maxOpenFiles()).toBeGreaterThan(16);
});
