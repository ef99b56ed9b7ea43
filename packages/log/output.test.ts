import { expect, test } from "bun:test";
import { LineOutput, MAX_WAITING_LENGTH } from "./index.ts";

/** A stream whose reader takes a line when the test says so. */
class Stream {
  readonly taken: string[] = [];
  readonly waiting: { text: string; done: (error?: Error) => void }[] = [];
  #failed: () => void = () => {};

  write(text: string, done: (error?: Error) => void): void {
    this.waiting.push({ text, done });
  }
  on(_event: "error", listener: () => void): void {
    this.#failed = listener;
  }
  fail(): void {
    this.waiting.shift()?.done(new Error("no space left on device"));
    this.#failed();
  }
  take(): void {
    const next = this.waiting.shift();
    if (!next) return;
    this.taken.push(next.text);
    next.done();
  }
}

test("lines wait for their reader up to the bound; those beyond are lost and counted when there is room", () => {
  const stream = new Stream();
  const output = new LineOutput(stream);
  const lost: number[] = [];
  output.onLost = (lines) => void lost.push(lines);
  const half = "x".repeat(MAX_WAITING_LENGTH / 2);
  output.write(half);
  output.write(half);
  expect(stream.waiting.length).toBe(2);
  output.write("y");
  output.write("z");
  expect(stream.waiting.length).toBe(2);
  expect(lost).toEqual([]);
  stream.take();
  expect(lost).toEqual([2]);
  output.write("again");
  stream.take();
  stream.take();
  expect(stream.taken).toEqual([half, half, "again"]);
  expect(lost).toEqual([2]);
});

test("lines that could not be written are counted, and told of with the next that could", () => {
  const stream = new Stream();
  const output = new LineOutput(stream);
  const lost: number[] = [];
  output.onLost = (lines) => void lost.push(lines);
  for (const line of ["a", "b", "c"]) output.write(line);
  stream.fail();
  stream.fail();
  expect(lost).toEqual([]);
  stream.take();
  expect([stream.taken, lost]).toEqual([["c"], [2]]);
  output.write("x".repeat(MAX_WAITING_LENGTH));
  expect(stream.waiting.length).toBe(1);
});
