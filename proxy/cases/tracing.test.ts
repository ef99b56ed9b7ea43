// Spec proxy §17, 60: trace contexts with a collector and without.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Collector } from "../tracing/testing/collector.ts";
import { request, response } from "./testing/http1.ts";
import { canRunPods, type Node, Scene } from "./testing/scene.ts";

const it = test.if(canRunPods);
const PORT = 8060;
const COLLECTOR_PORT = 55678;
const CONTEXT = { "x-b3-traceid": "0af7651916cd43dd8448eb211c80319c", "x-b3-spanid": "b7ad6b7169203331", "x-b3-sampled": "1" };

let scene: Scene;
let collector: Collector;

beforeAll(async () => {
  if (!canRunPods) return;
  scene = await Scene.start("tracing");
  collector = new Collector();
  await collector.listen();
}, 60_000);

afterAll(() => {
  collector?.stop();
  scene?.stop();
});

async function traced(env: Record<string, string>): Promise<{ node: Node; head: string; fields: ReadonlyMap<string, string> }> {
  const node = await scene.proxy({ env });
  const { promise, resolve } = Promise.withResolvers<{ head: string; fields: ReadonlyMap<string, string> }>();
  await node.serveApp(PORT, (request) => {
    resolve(request);
    return response(201, "traced");
  });
  const client = await node.client(PORT);
  expect((await client.ask("GET /path?query", CONTEXT)).status).toBe(201);
  client.raw.socket.destroy();
  return { node, ...(await promise) };
}

it("17.60 with a collector a span id of our own goes on and two spans go out; without one nothing is touched", async () => {
  const untouched = await traced({});
  expect(untouched.head).toBe(request("GET /path?query", CONTEXT));

  const pod = await scene.pod();
  await scene.passOn(pod.pod, { ip: "127.0.0.1", port: COLLECTOR_PORT }, collector.port);
  const { promise, resolve } = Promise.withResolvers<ReadonlyMap<string, string>>();
  await pod.serveApp(PORT, ({ fields }) => {
    resolve(fields);
    return response(201, "traced");
  });
  pod.start({ TRACE_COLLECTOR_SVC_ADDR: `localhost.:${COLLECTOR_PORT}` });
  await pod.ready();
  const client = await pod.client(PORT);
  expect((await client.ask("GET /path?query", CONTEXT)).status).toBe(201);
  client.raw.socket.destroy();
  const fields = await promise;
  expect(fields.get("x-b3-traceid")).toBe(CONTEXT["x-b3-traceid"]);
  expect(fields.get("x-b3-sampled")).toBe("1");
  expect(fields.get("x-b3-spanid")).toMatch(/^[0-9a-f]{16}$/);
  expect(fields.get("x-b3-spanid")).not.toBe(CONTEXT["x-b3-spanid"]);

  // A batch leaves after ten quiet seconds, or when the proxy ends.
  expect(await pod.process.stop()).toBe(0);
  await collector.until(() => collector.spans.length >= 2);
  const [server, sent] = [...collector.spans].sort((a, b) => (a.kind < b.kind ? 1 : -1));
  expect(collector.spans.map(({ kind }) => kind).sort()).toEqual(["CLIENT", "SERVER"]);
  for (const span of [server, sent]) {
    expect(span?.traceId.toString("hex")).toBe(CONTEXT["x-b3-traceid"]);
    expect(span?.name.value).toBe("/path");
    const attribute = (key: string) => span?.attributes.attributeMap[key]?.stringValue.value;
    expect(attribute("direction")).toBe("inbound");
    expect(attribute("http.path")).toBe("/path?query");
    expect(attribute("http.status_code")).toBe("201");
  }
  expect(server?.parentSpanId.toString("hex")).toBe(CONTEXT["x-b3-spanid"]);
  expect(sent?.parentSpanId).toEqual(server?.spanId as Buffer);
  expect(sent?.spanId.toString("hex")).toBe(fields.get("x-b3-spanid") as string);
});
