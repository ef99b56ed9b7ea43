// Spec proxy §17, 56: who may tap, and what is seen.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { TapClient } from "../testing/tap.ts";
import { response } from "./testing/http1.ts";
import { allow, server } from "./testing/messages.ts";
import { canRunPods, id, type Node, Scene } from "./testing/scene.ts";

const it = test.if(canRunPods);
const PORT = 8056;
const TAP_PORT = 4190;
const EVERYTHING = { match: { case: "all", value: {} } } as const;

let scene: Scene;
let node: Node;
const clients: TapClient[] = [];

beforeAll(async () => {
  if (!canRunPods) return;
  scene = await Scene.start("tap");
  node = await scene.pod({ ports: [PORT], env: { TAP_SVC_NAME: id("tap") } });
  node.control.servers.set(PORT, server("web", { detectMs: 10_000 }, [allow("friends", { identities: [id("friend")] })]));
  await node.serveApp(PORT, ({ target }) => response(200, target));
  node.start();
  await node.ready();
  await node.control.settled();
}, 60_000);

afterAll(() => {
  for (const client of clients) client.close();
  scene?.stop();
});

/** A client of the tap port by mesh TLS as an account, or in plain text. */
async function tapClient(as: string | null | "plain"): Promise<TapClient> {
  const port = await scene.door(() => (as === "plain" ? node.dial(TAP_PORT) : node.dialMesh(TAP_PORT, { as })));
  const client = new TapClient(`127.0.0.1:${port}`);
  clients.push(client);
  return client;
}

it("17.56 taps are for one identity, of a number of requests, and see what passed", async () => {
  for (const [as, reason] of [
    ["friend", "Unauthorized client"],
    [null, "Unauthorized client"],
    ["plain", "no_tls_from_remote"],
  ] as const) {
    const refused = (await tapClient(as)).observe({ limit: 1, match: EVERYTHING });
    const { code, details } = await refused.end;
    expect([as, code, details]).toEqual([as, 16, reason]);
    expect(refused.events).toEqual([]);
  }
  const client = await tapClient("tap");
  const none = await client.observe({ limit: 0, match: EVERYTHING }).end;
  expect([none.code, none.details]).toEqual([3, "limit must be positive"]);

  const observed = client.observe({ limit: 1, match: EVERYTHING });
  await observed.taken;
  // Denied: not seen.
  expect((await (await node.meshClient(PORT, "stranger")).ask("GET /denied")).status).toBe(403);
  expect((await (await node.meshClient(PORT, "friend")).ask("GET /seen?query")).status).toBe(200);
  expect((await observed.end).code).toBe(0);
  const events = observed.events.map(({ event }) => (event.case === "http" ? event.value.event : null));
  expect(events.map((event) => event?.case)).toEqual(["requestInit", "responseInit", "responseEnd"]);
  const [first, second, third] = events.map((event) => event?.value);
  expect(first).toMatchObject({ path: "/seen", authority: "app" });
  expect(second).toMatchObject({ httpStatus: 200 });
  expect(third).toMatchObject({ responseBytes: BigInt("/seen?query".length) });
  for (const event of [second, third]) expect(event?.id).toEqual(first?.id as NonNullable<typeof first>["id"]);
  expect(observed.events[0]?.sourceMeta?.labels).toEqual({ tls: "true", client_id: id("friend") });
  expect(observed.events[0]?.destinationMeta?.labels).toEqual({ tls: "loopback", srv_name: "web", saz_name: "friends" });
});
