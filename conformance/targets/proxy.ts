// The proxy's data plane in this process, with a control side of fakes; behind it an application that is the bare engine.
import { createCa } from "../../proxy/testing/certificates.ts";
import { endpoint, FakeIdentity, profile } from "../../proxy/testing/fakes.ts";
import { allowAll } from "../../proxy/testing/policies.ts";
import { TestProxy } from "../../proxy/testing/proxies.ts";
import type { Target } from "../suite.ts";
import { engine } from "./engine.ts";
import { relayTls } from "./relay.ts";

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
  const relay = await relayTls({
    port: 0,
    to: proxy.inboundAddr,
    servername: "server.ns",
    ca: ca.pem,
    key: client.keyPem,
    cert: client.certChainPem,
  });
  return {
    name: "proxy-inbound-tls",
    what: "mesh TLS to the proxy's inbound port",
    port: relay.port,
    async stop() {
      await relay.stop();
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
