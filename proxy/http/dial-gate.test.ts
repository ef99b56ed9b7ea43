// Dials of one balancer: so many at once, in order, and none for who has left.
import { expect, test } from "bun:test";
import type { ConnectError, Connection } from "../transport/index.ts";
import { DialGate, MAX_DIALS_AT_ONCE } from "./dial-gate.ts";
import type { Dial } from "./http2-link.ts";

type Begun = { readonly protocol: string; readonly connected: () => void; readonly failed: () => void; abandoned: boolean };

function world() {
  const begun: Begun[] = [];
  const dial: Dial = (protocol, onConnect, onError) => {
    const one: Begun = {
      protocol,
      connected: () => onConnect({} as Connection),
      failed: () => onError({ kind: "io", errno: "ECONNREFUSED", message: "refused" } satisfies ConnectError),
      abandoned: false,
    };
    begun.push(one);
    return () => {
      one.abandoned = true;
    };
  };
  const through = new DialGate().through(dial);
  const ends: string[] = [];
  const ask = (name: string, protocol: "http1" | "http2" = "http2") =>
    through(
      protocol,
      () => ends.push(`${name} connected`),
      ({ errno }) => ends.push(`${name} ${errno}`),
    );
  return { begun, ends, ask };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("at the bound and past it: the next begins when one is over, however it ends", async () => {
  const { begun, ends, ask } = world();
  const leave = Array.from({ length: MAX_DIALS_AT_ONCE + 3 }, (_, i) => ask(String(i)));
  await turn();
  expect(begun).toHaveLength(MAX_DIALS_AT_ONCE);
  begun[0]?.connected();
  await turn();
  expect(begun).toHaveLength(MAX_DIALS_AT_ONCE + 1);
  begun[1]?.failed();
  await turn();
  expect(begun).toHaveLength(MAX_DIALS_AT_ONCE + 2);
  leave[2]?.();
  leave[2]?.();
  await turn();
  expect(begun).toHaveLength(MAX_DIALS_AT_ONCE + 3);
  expect(begun[2]?.abandoned).toBe(true);
  expect(ends).toEqual(["0 connected", "1 ECONNREFUSED"]);
});

test("a set that is replaced: those that leave in the same turn never begin", async () => {
  const { begun, ask } = world();
  const old = Array.from({ length: 1000 }, (_, i) => ask(`old ${i}`));
  await turn();
  const before = begun.length;
  for (const leave of old) {
    ask("new");
    leave();
  }
  await turn();
  expect(begun).toHaveLength(before + MAX_DIALS_AT_ONCE);
  expect(begun.slice(0, before).every(({ abandoned }) => abandoned)).toBe(true);
  expect(begun.slice(before).some(({ abandoned }) => abandoned)).toBe(false);
});

test("HTTP/1 is dialed for a request that waits: at once", () => {
  const { begun, ask } = world();
  for (let i = 0; i < MAX_DIALS_AT_ONCE + 1; i++) ask(String(i), "http1");
  expect(begun).toHaveLength(MAX_DIALS_AT_ONCE + 1);
});
