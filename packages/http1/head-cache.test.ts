// The table of known heads: what enters, what is the same, what bounds it.
import { describe, expect, test } from "bun:test";
import { HeadCache } from "./head-cache.ts";
import { bytes } from "./testing.ts";

function see(cache: HeadCache<string>, head: string, value = head): string {
  const data = bytes(head);
  const found = cache.find(data, 0, data.length);
  if (found !== null) return found.value;
  return cache.offer(data, 0, data.length, value) === null ? "not kept" : "kept";
}

describe("head cache", () => {
  test("a head enters on its second sight", () => {
    const cache = new HeadCache<string>();
    expect(see(cache, "a")).toBe("not kept");
    expect(cache.entries).toBe(0);
    expect(see(cache, "a")).toBe("kept");
    expect(see(cache, "a")).toBe("a");
    expect(see(cache, "b")).toBe("not kept");
  });

  test("part of a larger buffer", () => {
    const cache = new HeadCache<string>();
    see(cache, "abcd");
    see(cache, "abcd");
    const data = bytes("xxabcdyy");
    expect(cache.find(data, 2, 6)?.value).toBe("abcd");
    expect(cache.find(data, 2, 7)).toBeNull();
    expect(cache.find(data, 1, 5)).toBeNull();
  });

  test("entries, bytes and heads are bounded", () => {
    const cache = new HeadCache<string>({ maxEntries: 8, maxBytes: 1000, maxHeadBytes: 100 });
    for (let i = 0; i < 100; i++) {
      see(cache, `head ${i}`);
      see(cache, `head ${i}`);
      expect(cache.entries).toBeLessThanOrEqual(8);
    }
    for (let i = 0; i < 100; i++) {
      see(cache, "x".repeat(90) + i);
      see(cache, "x".repeat(90) + i);
      expect(cache.bytes).toBeLessThanOrEqual(1000);
    }
    see(cache, "y".repeat(101));
    expect(see(cache, "y".repeat(101))).toBe("not kept");
    see(cache, "y".repeat(100));
    expect(see(cache, "y".repeat(100))).toBe("kept");
  });

  test("what is used stays", () => {
    const cache = new HeadCache<string>({ maxEntries: 8 });
    see(cache, "often");
    see(cache, "often");
    for (let i = 0; i < 100; i++) {
      see(cache, `once ${i}`);
      see(cache, `once ${i}`);
      expect(see(cache, "often")).toBe("often");
    }
    expect(see(cache, "once 1")).not.toBe("once 1");
  });
});
