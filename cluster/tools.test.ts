import { expect, test } from "bun:test";
import { deflateRawSync } from "node:zlib";
import { zipEntry } from "./tools.ts";

/** A zip archive of one file. */
function archive(name: string, data: Buffer, method: number): Buffer {
  const stored = method === 8 ? deflateRawSync(data) : data;
  const local = Buffer.alloc(30);
  local.writeUInt32LE(0x04034b50);
  local.writeUInt16LE(name.length, 26);
  const entry = Buffer.alloc(46);
  entry.writeUInt32LE(0x02014b50);
  entry.writeUInt16LE(method, 10);
  entry.writeUInt32LE(stored.length, 20);
  entry.writeUInt16LE(name.length, 28);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50);
  end.writeUInt16LE(1, 10);
  end.writeUInt32LE(local.length + name.length + stored.length, 16);
  return Buffer.concat([local, Buffer.from(name), stored, entry, Buffer.from(name), end]);
}

test("files of a zip archive, stored and deflated", () => {
  const data = Buffer.from("hello ".repeat(100));
  expect(zipEntry(archive("a/b", data, 0), "a/b")).toEqual(data);
  expect(zipEntry(archive("a/b", data, 8), "a/b")).toEqual(data);
  expect(() => zipEntry(archive("a/b", data, 8), "c")).toThrow("no c in the archive");
  expect(() => zipEntry(archive("a/b", data, 12), "a/b")).toThrow("a/b: unsupported compression method 12");
  expect(() => zipEntry(Buffer.from("x".repeat(100)), "c")).toThrow("not a zip archive");
});
