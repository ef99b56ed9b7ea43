// One call's bookkeeping, and what its events say.
import { describe, expect, test } from "bun:test";
import { decode } from "#grpc";
import { RequestHead } from "#http";
import { type TapRequest, tapEvent } from "#tap";
import type { ObservedEndpoint } from "../http/observe.ts";
import { noObservers } from "../http/observe.ts";
import { MAX_QUEUED_BYTES, MAX_QUEUED_EVENTS } from "./index.ts";
import { Subscription, type SubscriptionInit } from "./subscription.ts";
import { contextOf, TapWatcher } from "./watcher.ts";

const request: TapRequest = {
  source: { ip: "fd00::1", port: 40000 },
  destination: { ip: "10.0.0.2", port: 8080 },
  destinationLabels: [],
  routeLabels: [],
  method: "PURGE",
  scheme: "https",
  authority: "web.ns",
  path: "/",
};

function subscribe(init: Partial<SubscriptionInit> = {}) {
  const told: string[] = [];
  const subscription = new Subscription({
    base: 7,
    limit: 2,
    match: () => true,
    headers: false,
    onEvents: () => void told.push("events"),
    onFull: () => void told.push("full"),
    onDone: () => void told.push("done"),
    ...init,
  });
  return { subscription, told };
}

test("counts requests, not events; is done when the last response is over", () => {
  const { subscription, told } = subscribe();
  expect([subscription.take(request), subscription.take(request), subscription.take(request)]).toEqual([0, 1, -1]);
  expect(told).toEqual(["full"]);
  subscription.release();
  expect(subscription.done).toBe(false);
  subscription.release();
  expect(subscription.done).toBe(true);
  expect(told).toEqual(["full", "done"]);
});

test("a request that does not match is not counted", () => {
  const { subscription } = subscribe({ match: ({ method }) => method === "GET" });
  expect(subscription.take(request)).toBe(-1);
  expect(subscription.take({ ...request, method: "GET" })).toBe(0);
});

test("as many events as the bound wait, one more is dropped", () => {
  const { subscription } = subscribe();
  const event = Uint8Array.of(1);
  for (let i = 0; i < MAX_QUEUED_EVENTS; i++) expect(subscription.offer(event)).toBe(true);
  expect([subscription.offer(event), subscription.dropped, subscription.queued]).toEqual([false, 1, MAX_QUEUED_EVENTS]);
  expect(subscription.next()).toBe(event);
  expect(subscription.offer(event)).toBe(true);
});

test("as many bytes as the bound wait, one more is dropped", () => {
  const { subscription } = subscribe();
  expect(subscription.offer(new Uint8Array(MAX_QUEUED_BYTES - 1))).toBe(true);
  expect([subscription.offer(new Uint8Array(2)), subscription.offer(new Uint8Array(1))]).toEqual([false, true]);
  subscription.next();
  expect(subscription.offer(new Uint8Array(MAX_QUEUED_BYTES - 1))).toBe(true);
});

test("after a cancel nothing is wanted, queued or told", () => {
  const { subscription, told } = subscribe();
  subscription.take(request);
  subscription.offer(Uint8Array.of(1));
  subscription.cancel();
  expect([subscription.take(request), subscription.offer(Uint8Array.of(1)), subscription.next()]).toEqual([-1, false, null]);
  subscription.release();
  expect(told).toEqual(["events"]);
  expect(subscription.done).toBe(true);
});

describe("events", () => {
  const observed = (init: Partial<ObservedEndpoint> = {}): ObservedEndpoint => ({
    observers: noObservers(),
    direction: "inbound",
    addr: { ip: "10.0.0.2", port: 8080 },
    labels: [],
    authorityOverride: null,
    tls: { kind: "none", reason: "loopback" },
    clientTls: { kind: "disabled" },
    ...init,
  });

  function first(of: TapRequest, endpoint: ObservedEndpoint) {
    const { subscription } = subscribe();
    const watcher = new TapWatcher({ subscription, stream: 3, context: contextOf(of, endpoint), now: () => 0 });
    const head = new RequestHead({
      version: "HTTP/1.1",
      method: of.method,
      form: "origin",
      scheme: null,
      authority: null,
      path: of.path,
      fields: [],
    });
    expect(watcher.begin(of, head)).toBe(true);
    return decode(tapEvent, subscription.next() as Uint8Array);
  }

  test("addresses, methods and schemes without a number of their own", () => {
    const event = first(request, observed());
    expect(event.source).toEqual({ ip: { ip: { case: "ipv6", value: { first: 0xfd00_0000_0000_0000n, last: 1n } } }, port: 40000 });
    expect(event.destination).toEqual({ ip: { ip: { case: "ipv4", value: 0x0a000002 } }, port: 8080 });
    expect(event.event).toMatchObject({
      value: {
        event: {
          value: {
            id: { base: 7, stream: 3n },
            method: { type: { case: "unregistered", value: "PURGE" } },
            scheme: { type: { case: "registered", value: 1 } },
          },
        },
      },
    });
  });

  test.each([
    [{ kind: "disabled" }, { tls: "disabled" }],
    [{ kind: "none", reason: "no_tls_from_remote" }, { tls: "no_tls_from_remote" }],
    [{ kind: "established", clientId: null }, { tls: "true" }],
    [
      { kind: "established", clientId: "web.ns" },
      { tls: "true", client_id: "web.ns" },
    ],
    [
      { kind: "opaque", sni: "example.com" },
      { tls: "passthru", sni: "example.com" },
    ],
  ] as [ObservedEndpoint["clientTls"], Record<string, string>][])("client TLS %p", (clientTls, labels) => {
    expect(first(request, observed({ clientTls })).sourceMeta?.labels).toEqual(labels);
  });

  test("control characters of a peer reach no terminal", () => {
    const event = first(
      { ...request, authority: "a\x1b[2J", path: "/\x9b31m", scheme: "x\x07" },
      observed({ clientTls: { kind: "opaque", sni: "b\nc" } }),
    );
    expect(event.sourceMeta?.labels["sni"]).toBe("b\\x0ac");
    expect(event.event).toMatchObject({
      value: { event: { value: { authority: "a\\x1b[2J", path: "/\\x9b31m", scheme: { type: { value: "x\\x07" } } } } },
    });
  });
});
