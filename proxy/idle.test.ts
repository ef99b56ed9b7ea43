import { expect, test } from "bun:test";
import { IDLE_TURNS, IdleCollector, WORTH_TURNS } from "./idle.ts";

function scene(): { collector: IdleCollector; work: (turns: number) => void; collections: () => number } {
  let turns = 0;
  let collections = 0;
  const collector = new IdleCollector({ turns: () => turns, collect: () => void collections++ });
  return { collector, work: (n) => void (turns += n), collections: () => collections };
}

test("once after the start, then only after work", () => {
  const { collector, work, collections } = scene();
  collector.look();
  expect(collections()).toBe(1);
  for (let i = 0; i < 10; i++) collector.look();
  expect(collections()).toBe(1);
  work(WORTH_TURNS);
  collector.look();
  // It was busy just now.
  expect(collections()).toBe(1);
  collector.look();
  expect(collections()).toBe(2);
});

test("never while it is busy, at the bound and past it", () => {
  const { collector, work, collections } = scene();
  for (let i = 0; i < 100; i++) {
    work(IDLE_TURNS + 1);
    collector.look();
  }
  expect(collections()).toBe(0);
  work(IDLE_TURNS);
  collector.look();
  expect(collections()).toBe(1);
});

test("probes and scrapes add up", () => {
  const { collector, work, collections } = scene();
  collector.look();
  for (let turns = 0; turns < WORTH_TURNS - 10; turns += 10) {
    work(10);
    collector.look();
  }
  expect(collections()).toBe(1);
  work(10);
  collector.look();
  expect(collections()).toBe(2);
});
