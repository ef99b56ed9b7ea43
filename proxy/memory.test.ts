import { expect, test } from "bun:test";
import { BUSY_INTERVAL_MS, IDLE_TURNS, MemoryKeeper, WORTH_BYTES, WORTH_TURNS } from "./memory.ts";

class Scene {
  turns = 0;
  bytes = 50e6;
  ms = 0;
  collections = 0;
  readonly keeper = new MemoryKeeper({
    turns: () => this.turns,
    rss: () => this.bytes,
    now: () => this.ms,
    collect: () => {
      this.collections++;
    },
  });

  /** One look after so many turns. */
  look(turns = 0): number {
    this.turns += turns;
    this.keeper.look();
    return this.collections;
  }
}

test("idle: once after the start, then only after work", () => {
  const scene = new Scene();
  expect(scene.look()).toBe(1);
  for (let i = 0; i < 10; i++) expect(scene.look()).toBe(1);
  // It was busy just now.
  expect(scene.look(WORTH_TURNS)).toBe(1);
  expect(scene.look()).toBe(2);
});

test("idle: probes and scrapes add up", () => {
  const scene = new Scene();
  scene.look();
  for (let turns = 0; turns < WORTH_TURNS - 10; turns += 10) expect(scene.look(10)).toBe(1);
  expect(scene.look(10)).toBe(2);
});

test("busy: never without growth; at the bound of idleness it is not busy", () => {
  const scene = new Scene();
  for (let i = 0; i < 100; i++) {
    scene.ms += BUSY_INTERVAL_MS;
    expect(scene.look(IDLE_TURNS + 1)).toBe(0);
  }
  expect(scene.look(IDLE_TURNS)).toBe(1);
});

test("busy: growth to the bound, and not before the interval", () => {
  const scene = new Scene();
  scene.bytes += WORTH_BYTES - 1;
  scene.ms = BUSY_INTERVAL_MS;
  expect(scene.look(1000)).toBe(0);
  scene.bytes++;
  scene.ms = BUSY_INTERVAL_MS - 1;
  expect(scene.look(1000)).toBe(0);
  scene.ms++;
  expect(scene.look(1000)).toBe(1);
  // From here on what it holds now is the measure.
  scene.ms += BUSY_INTERVAL_MS;
  expect(scene.look(1000)).toBe(1);
  scene.bytes += WORTH_BYTES;
  expect(scene.look(1000)).toBe(2);
});
