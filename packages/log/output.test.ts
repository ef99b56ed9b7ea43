import { expect, test } from "bun:test";
import { LineOutput, MAX_WAITING_LENGTH } from "./index.ts";

/** A stream whose reader takes a line when the test says so. */
class Stream {
  readonly taken: string[] = [];
  readonly waiting: { text: string; done: () => void }[] = [];
  fail: () => void = () => {};

  write(text: string, done: () => void): void {
    this.waiting.push({ text, done });
  }
  on(_event: "error", listener: () => void): void {
    this.fail = listener;
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

test("a failure loses what waited, and the next line is tried", () => {
  const stream = new Stream();
  const output = new LineOutput(stream);
  const lost: number[] = [];
  output.onLost = (lines) => void lost.push(lines);
  output.write("x".repeat(MAX_WAITING_LENGTH));
  stream.fail();
  output.write("next");
  expect(stream.waiting.at(-1)?.text).toBe("next");
  stream.take();
  stream.take();
  expect(lost).toEqual([1]);
});
