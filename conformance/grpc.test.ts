// gRPC through two proxies, client and server being grpc-js: client → A → mTLS → B → server. The whole suite is
// `npm run conformance -- grpc`.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { type Server, ServerCredentials } from "@grpc/grpc-js";
import { type Mesh, mesh } from "../proxy/testing/mesh.ts";
import { allowAll } from "../proxy/testing/policies.ts";
import { cases } from "./grpc/grpc-js/cases.ts";
import { createServer } from "./grpc/grpc-js/services.ts";
import { Stub } from "./grpc/grpc-js/stub.ts";

let scene: Mesh;
let server: Server;
let stub: Stub;
let address = "";

beforeAll(async () => {
  server = createServer();
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  scene = await mesh();
  scene.b.inboundDst = { ip: "127.0.0.1", port };
  scene.b.policy(port, allowAll());
  address = `127.0.0.1:${scene.port}`;
  stub = new Stub(address);
});

afterAll(() => {
  stub.close();
  scene.stop();
  server.forceShutdown();
});

for (const name of ["large_unary", "ping_pong", "special_status_message", "cancellation_reaches_server"])
  test(name, async () => {
    const run = cases[name];
    if (run === undefined) throw new Error("no such case");
    await run(stub, address);
  });

test("the proxies have seen what the calls came to", () => {
  for (const [proxy, direction] of [
    [scene.a, "outbound"],
    [scene.b, "inbound"],
  ] as const) {
    expect(proxy.ledger.sum(direction, "response", "success", "grpc=0")).toBeGreaterThan(0);
    expect(proxy.ledger.sum(direction, "response", "failure", "grpc=2")).toBe(1);
  }
});
