// The proxy's data plane in this process, with a control side of fakes; behind it an application that is the bare engine.
import { createServer, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { createCa } from "../../proxy/testing/certificates.ts";
import { endpoint, FakeIdentity, profile } from "../../proxy/testing/fakes.ts";
import { allowAll } from "../../proxy/testing/policies.ts";
import { TestProxy } from "../../proxy/testing/proxies.ts";
import type { Target } from "../suite.ts";
import { engine } from "./engine.ts";

/** Clear text to the inbound side, as from outside the mesh. */
export async function inboundPlain(): Promise<Target> {
  const app = await engine();
  const proxy = new TestProxy({ identity: null });
  proxy.inboundDst = { ip: "127.0.0.1", port: app.port };
  proxy.policy(app.port, allowAll());
  return {
    name: "proxy-inbound",
    what: "clear text to the proxy's inbound port",
    port: proxy.inboundListener.port,
    async stop() {
      proxy.stop();
      await app.stop();
    },
  };
}

/** Mesh TLS to the inbound side: a relay in front of it adds the TLS that h2spec cannot speak (server name, client certificate). */
export async function inboundMeshTls(): Promise<Target> {
  const app = await engine();
  const ca = await createCa();
  const proxy = new TestProxy({ identity: new FakeIdentity("server.ns", await ca.issue("server.ns")) });
  proxy.inboundDst = { ip: "127.0.0.1", port: app.port };
  proxy.policy(app.port, allowAll());
  const client = await ca.issue("client.ns");
  const sockets = new Set<Socket>();
  const relay = createServer({ allowHalfOpen: true }, (plain) => {
    const secure = connectTls({
      host: "127.0.0.1",
      port: proxy.inboundListener.port,
      servername: "server.ns",
      ca: ca.pem,
      key: client.keyPem,
      cert: client.certChainPem,
    });
    for (const socket of [plain, secure]) {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        sockets.delete(socket);
        plain.destroy();
        secure.destroy();
      });
    }
    plain.pipe(secure).pipe(plain);
  });
  await new Promise<void>((resolve) => relay.listen(0, "127.0.0.1", resolve));
  const address = relay.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return {
    name: "proxy-inbound-tls",
    what: "mesh TLS to the proxy's inbound port",
    port: address.port,
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => relay.close(resolve));
      proxy.stop();
      await app.stop();
    },
  };
}

/** The outbound side, as an application's own connection to a service. */
export async function outbound(): Promise<Target> {
  const app = await engine();
  const proxy = new TestProxy({ identity: null });
  const service = { ip: "10.0.0.1", port: 80 };
  proxy.outboundDst = service;
  proxy.discovery.setProfile(`${service.ip}:${service.port}`, profile({ fqn: "web.ns.svc.cluster.local" }));
  proxy.discovery.setEndpoints("web.ns.svc.cluster.local:80", [endpoint({ addr: { ip: "127.0.0.1", port: app.port } })]);
  return {
    name: "proxy-outbound",
    what: "an application's connection to a service through the proxy's outbound port",
    port: proxy.outboundListener.port,
    async stop() {
      proxy.stop();
      await app.stop();
    },
  };
}
