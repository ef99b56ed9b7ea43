import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { BackgroundThreads, ownThreads, type Threads } from "./background.ts";

function scene(names: Record<string, string>, set: (id: string) => void = () => {}): { threads: Threads; asked: string[]; nice: string[] } {
  const asked: string[] = [];
  const nice: string[] = [];
  const threads: Threads = {
    ids: () => Object.keys(names),
    name(id) {
      asked.push(id);
      const name = names[id];
      if (name === "") throw new Error("ENOENT");
      return name as string;
    },
    setNice(id, value) {
      set(id);
      nice.push(`${id} ${value}`);
    },
  };
  return { threads, asked, nice };
}

test("compiler threads are lowered once, others never", () => {
  const names: Record<string, string> = { 1: "fairlead", 2: "JITWorker", 3: "HeapHelper" };
  const { threads, asked, nice } = scene(names);
  const background = new BackgroundThreads(threads);
  background.look();
  background.look();
  expect(nice).toEqual(["2 19"]);
  expect(asked).toEqual(["1", "2", "3"]);
  names[4] = "JITWorker";
  background.look();
  expect(nice).toEqual(["2 19", "4 19"]);
});

test("an id that is used again is looked at again", () => {
  const names: Record<string, string> = { 2: "JITWorker" };
  const { threads, nice } = scene(names);
  const background = new BackgroundThreads(threads);
  background.look();
  delete names["2"];
  background.look();
  names["2"] = "JITWorker";
  background.look();
  expect(nice).toEqual(["2 19", "2 19"]);
});

test("a thread that ends meanwhile, and a kernel that refuses, change nothing", () => {
  const { threads, nice } = scene({ 1: "", 2: "JITWorker", 3: "JITWorker" }, (id) => {
    if (id === "2") throw new Error("EACCES");
  });
  new BackgroundThreads(threads).look();
  expect(nice).toEqual(["3 19"]);
  const nothing = { ...threads, ids: (): string[] => JSON.parse("not there") };
  expect(() => new BackgroundThreads(nothing).look()).not.toThrow();
});

test("the threads of this very process", () => {
  const ids = ownThreads.ids();
  expect(ids).toContain(String(process.pid));
  expect(ownThreads.name(String(process.pid))).toBe(readFileSync("/proc/self/comm", "latin1").trim());
});
