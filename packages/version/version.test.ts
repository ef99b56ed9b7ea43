import { expect, test } from "bun:test";
import { controlPlaneDefaults } from "#chart";
import { VERSION } from "./index.ts";

test("the version has channel and number, and the chart installs images of it", () => {
  expect(VERSION).toMatch(/^stable-\d+\.\d+\.\d+$/);
  expect(controlPlaneDefaults()["linkerdVersion"]).toBe(VERSION);
});
