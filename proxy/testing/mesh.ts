// The usual scene: an application's proxy A, a meshed peer B in front of a server, one service name between them.

import { createCa, type TestCa } from "./certificates.ts";
import { endpoint, FakeIdentity, profile } from "./fakes.ts";
import { allowAll } from "./policies.ts";
import { TestProxy, type TestProxyOptions } from "./proxies.ts";
import { type RawServer, serveRaw } from "./wire.ts";

export const SERVICE = { ip: "10.0.0.1", port: 80 };
export const NAME = "web.ns.svc.cluster.local";

export type Mesh = {
  readonly ca: TestCa;
  readonly a: TestProxy;
  readonly b: TestProxy;
  /** The application behind B, speaking bytes. */
  readonly app: RawServer;
  /** Port of A where the client's application connects. */
  readonly port: number;
  stop(): void;
};

export async function mesh(
  options: { a?: Partial<TestProxyOptions>; b?: Partial<TestProxyOptions>; h2?: boolean; ca?: TestCa } = {},
): Promise<Mesh> {
  const ca = options.ca ?? (await createCa());
  const a = new TestProxy({ identity: new FakeIdentity("client.ns", await ca.issue("client.ns")), ...options.a });
  const b = new TestProxy({ identity: new FakeIdentity("server.ns", await ca.issue("server.ns")), ...options.b });
  const app = await serveRaw();
  b.inboundDst = { ip: "127.0.0.1", port: app.port };
  b.policy(app.port, allowAll());
  a.outboundDst = SERVICE;
  a.discovery.setProfile(`${SERVICE.ip}:${SERVICE.port}`, profile({ fqn: NAME }));
  a.discovery.setEndpoints(`${NAME}:80`, [
    endpoint({ addr: b.inboundAddr, identity: "server.ns", h2: options.h2 ?? true, labels: [["service", "web"]] }),
  ]);
  return {
    ca,
    a,
    b,
    app,
    port: a.outboundListener.port,
    stop() {
      a.stop();
      b.stop();
      app.stop();
    },
  };
}
