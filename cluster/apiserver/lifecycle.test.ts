import { expect, test } from "bun:test";
import { Store } from "../store/index.ts";
import type { ApiObject } from "./kinds/resource.ts";
import { Lifecycle } from "./lifecycle.ts";

test("events are forgotten an hour after they last happened", () => {
  const store = new Store<ApiObject>({});
  const now = Date.parse("2026-01-01T02:00:00Z");
  const add = (name: string, rest: object) =>
    store.create(
      { bucket: "events", namespace: "n", name },
      { metadata: { name, namespace: "n", creationTimestamp: "2026-01-01T00:00:00Z" }, ...rest },
    );
  add("old", {});
  add("at-the-bound", { lastTimestamp: "2026-01-01T01:00:00Z" });
  add("again", { eventTime: "2026-01-01T00:00:00.000000Z", series: { lastObservedTime: "2026-01-01T01:30:00Z" } });
  add("past", { lastTimestamp: "2026-01-01T00:59:59Z" });
  const lifecycle = new Lifecycle({ store, now: () => now, deleteAll: async () => {}, log: () => {} });
  lifecycle.expireEvents();
  expect(store.list("events").map(({ metadata }) => metadata.name as string)).toEqual(["again", "at-the-bound"]);
  store.close();
});
