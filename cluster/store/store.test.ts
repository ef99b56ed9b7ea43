import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ChangeEvent, ConflictError, cloneJson, ExistsError, equalJson, NotFoundError, Store, TooOldError } from "./index.ts";

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
});
const folder = () => {
  const dir = mkdtempSync(join(tmpdir(), "store-"));
  cleanups.push(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
};
const key = (name: string, namespace = "ns") => ({ bucket: "pods", namespace, name });
const pod = (name: string, namespace = "ns") => ({ metadata: { name, namespace }, spec: { a: 1 } });

test("versions grow and survive a restart without close", () => {
  const dir = folder();
  const store = new Store({ dir });
  const one = store.create(key("a"), pod("a"));
  const two = store.update(key("a"), { ...one, metadata: { ...one.metadata } });
  store.create(key("gone"), pod("gone"));
  store.delete(key("gone"));
  expect(Number(two.metadata.resourceVersion)).toBe(Number(one.metadata.resourceVersion) + 1);
  const again = new Store({ dir });
  cleanups.push(
    () => store.close(),
    () => again.close(),
  );
  expect(again.get(key("a"))).toEqual(two);
  expect(again.get(key("gone"))).toBeUndefined();
  expect(again.version).toBe(store.version);
  expect(again.count("pods")).toBe(1);
});

test("create, update, delete say what stands in the way", () => {
  const store = new Store({});
  const one = store.create(key("a"), pod("a"));
  expect(() => store.create(key("a"), pod("a"))).toThrow(ExistsError);
  store.update(key("a"), one, one.metadata.resourceVersion);
  expect(() => store.update(key("a"), one, one.metadata.resourceVersion)).toThrow(ConflictError);
  expect(() => store.delete(key("a"), { expected: one.metadata.resourceVersion })).toThrow(ConflictError);
  expect(() => store.update(key("b"), one)).toThrow(NotFoundError);
});

test("lists are sorted by namespace, then name", () => {
  const store = new Store({});
  for (const [namespace, name] of [
    ["b", "1"],
    ["a", "2"],
    ["a", "1"],
  ] as const)
    store.create(key(name, namespace), pod(name, namespace));
  const names = (namespace?: string) => store.list("pods", namespace).map(({ metadata }) => `${metadata.namespace}/${metadata.name}`);
  expect(names()).toEqual(["a/1", "a/2", "b/1"]);
  store.delete(key("1", "a"));
  expect(names("a")).toEqual(["a/2"]);
  expect(store.list("none")).toEqual([]);
});

test("a watch replays the history after its version, then follows", () => {
  const store = new Store({ history: 3 });
  const seen: string[] = [];
  const note = ({ type, object, version }: ChangeEvent) => void seen.push(`${type} ${object.metadata.name} ${version - start}`);
  const start = store.version;
  store.create(key("a"), pod("a"));
  store.create(key("b"), pod("b"));
  const stop = store.watch("pods", note, start + 1);
  store.delete(key("a"));
  stop();
  store.create(key("c"), pod("c"));
  expect(seen).toEqual(["ADDED b 2", "DELETED a 3"]);
  // four changes, three kept: the first change is lost, so one may start after it but not before it
  store.watch("pods", note, start + 1)();
  expect(() => store.watch("pods", note, start)).toThrow(TooOldError);
});

test("JSON copies and comparisons", () => {
  const value = { a: [1, { b: null }], c: "x", d: undefined };
  const copy = cloneJson(value);
  expect(copy).toEqual({ a: [1, { b: null }], c: "x" } as typeof value);
  expect(copy.a).not.toBe(value.a);
  expect(equalJson(value, copy)).toBe(true);
  expect(equalJson({ a: [1, 2] }, { a: [2, 1] })).toBe(false);
  expect(equalJson({ a: 1 }, { a: 1, b: 2 })).toBe(false);
  expect(equalJson([], {})).toBe(false);
});
