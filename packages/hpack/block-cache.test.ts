import { describe, expect, test } from "bun:test";
import { BlockCache, MAX_CACHED_BLOCK, MAX_CACHED_BLOCKS } from "./index.ts";
import { hex } from "./testing.ts";

const find = <T>(cache: BlockCache<T>, block: Uint8Array, generation: number): T | null => cache.find(block, 0, block.length, generation);

/** One sight of a block: what is kept, else `value` is offered. */
function see<T>(cache: BlockCache<T>, block: Uint8Array, generation: number, value: T): T | null {
  const kept = find(cache, block, generation);
  if (kept === null) cache.offer(block, 0, block.length, generation, value);
  return kept;
}

describe("block cache", () => {
  test("a block is kept from its second sight", () => {
    const cache = new BlockCache<string>();
    const block = hex("828684");
    expect(see(cache, block, 0, "one")).toBe(null);
    expect(see(cache, block, 0, "two")).toBe(null);
    expect(see(cache, block, 0, "three")).toBe("two");
    expect(cache.find(hex("00828684ff"), 1, 4, 0)).toBe("two");
  });

  test("another state of the table is another block", () => {
    const cache = new BlockCache<string>();
    const block = hex("be");
    for (let i = 0; i < 3; i++) see(cache, block, 7, "seven");
    expect(find(cache, block, 8)).toBe(null);
    for (let i = 0; i < 2; i++) see(cache, block, 8, "eight");
    expect(find(cache, block, 8)).toBe("eight");
    expect(find(cache, block, 7)).toBe(null);
  });

  test("a block without reference to the table is the same at every state", () => {
    const cache = new BlockCache<string>();
    const block = hex("82");
    for (let i = 0; i < 2; i++) {
      find(cache, block, i);
      cache.offer(block, 0, block.length, -1, "get");
    }
    expect(find(cache, block, 99)).toBe("get");
  });

  test("what is kept does not change with the input", () => {
    const cache = new BlockCache<string>();
    const input = hex("828684");
    for (let i = 0; i < 2; i++) see(cache, input, 0, "x");
    input[0] = 0x83;
    expect(find(cache, input, 0)).toBe(null);
    expect(find(cache, hex("828684"), 0)).toBe("x");
  });

  test("blocks at the length limit and past it", () => {
    const cache = new BlockCache<string>();
    const block = new Uint8Array(MAX_CACHED_BLOCK + 1).fill(0x82);
    for (let i = 0; i < 3; i++) see(cache, block, 0, "long");
    expect(find(cache, block, 0)).toBe(null);
    const shorter = block.subarray(1);
    for (let i = 0; i < 2; i++) see(cache, shorter, 0, "fits");
    expect(find(cache, shorter, 0)).toBe("fits");
  });

  test("what is used stays, however many others come", () => {
    const cache = new BlockCache<number>();
    const block = (n: number): Uint8Array => Uint8Array.of(0x04, 0x02, n >>> 8, n & 255);
    for (let i = 0; i < 2; i++) see(cache, block(60_000), 0, -1);
    for (let n = 0; n < 10 * MAX_CACHED_BLOCKS; n++) {
      for (let i = 0; i < 2; i++) see(cache, block(n), 0, n);
      expect(find(cache, block(60_000), 0)).toBe(-1);
    }
    expect(find(cache, block(0), 0)).toBe(null);
  });
});
