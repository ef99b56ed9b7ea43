// The ways into the proxy that the cases take. Behind each stands the recorder; its control side is the fakes of proxy/testing.

import { RE2JS } from "re2js";
import { compilePath, type Route } from "#profiles";
import { createCa } from "../../proxy/testing/certificates.ts";
import { endpoint, FakeIdentity, profile } from "../../proxy/testing/fakes.ts";
import { NAME, SERVICE } from "../../proxy/testing/mesh.ts";
import { allowAll } from "../../proxy/testing/policies.ts";
import { TestProxy } from "../../proxy/testing/proxies.ts";
import { dialTls } from "../../proxy/testing/tls.ts";
import { dialRaw, type Raw } from "../../proxy/testing/wire.ts";
import type { Target } from "../suite.ts";
import { Recorder } from "./recorder.ts";

export type Door = Target & {
  readonly recorder: Recorder;
  /** A client's connection. */
  dial(): Promise<Raw>;
  /** The protocol is detected: a well-formed request goes first, as the bytes of a case alone may be taken for no HTTP. */
  readonly detects: boolean;
  /** The side whose profile routes requests by their path, and the proxy it is in. */
  readonly routing: { readonly side: "inbound" | "outbound"; readonly proxy: TestProxy };
  /** The service that a request is for is told by its Host. */
  readonly hostRoutes: boolean;
  /** It is the inbound side that the client talks to: HTTP/2 with `l5d-orig-proto` becomes HTTP/1 there. */
  readonly downgrades: boolean;
};

/** What the paths of the profile's routes are; the rest of the world is `other`. */
export const ROUTES: readonly (readonly [name: string, pattern: string])[] = [
  ["admin", "/admin"],
  ["below-admin", "/admin/.*"],
  ["public", "/public(/.*)?"],
  ["other", ".*"],
];

const routes = (): Route[] =>
  ROUTES.map(([name, pattern]) => ({
    match: { kind: "path", regex: compilePath(RE2JS, pattern) },
    labels: [["route", name]],
    classes: null,
    timeoutMs: null,
    retryable: false,
  }));

const withRoutes = () => profile({ fqn: NAME, routes: routes() });

/** Clear text, HTTP/1 declared by the Server: nothing is detected. */
export async function inbound(): Promise<Door> {
  const recorder = await Recorder.start();
  const proxy = new TestProxy({ identity: null });
  proxy.inboundDst = { ip: "127.0.0.1", port: recorder.port };
  proxy.policy(recorder.port, allowAll("web", { kind: "http1" }));
  proxy.discovery.setProfile(`${NAME}:80`, withRoutes());
  const { port } = proxy.inboundListener;
  return {
    name: "inbound",
    what: "clear text to the inbound port, HTTP/1 declared; HTTP/1 to the application",
    port,
    recorder,
    detects: false,
    downgrades: false,
    hostRoutes: true,
    routing: { side: "inbound", proxy },
    dial: () => dialRaw(port),
    stop() {
      proxy.stop();
      recorder.stop();
    },
  };
}

/** Clear text, detected. */
export async function inboundDetected(): Promise<Door> {
  const recorder = await Recorder.start();
  const proxy = new TestProxy({ identity: null });
  proxy.inboundDst = { ip: "127.0.0.1", port: recorder.port };
  proxy.policy(recorder.port, allowAll());
  proxy.discovery.setProfile(`${NAME}:80`, withRoutes());
  const { port } = proxy.inboundListener;
  return {
    name: "inbound-detected",
    what: "clear text to the inbound port, protocol detected",
    port,
    recorder,
    detects: true,
    downgrades: true,
    hostRoutes: true,
    routing: { side: "inbound", proxy },
    dial: () => dialRaw(port),
    stop() {
      proxy.stop();
      recorder.stop();
    },
  };
}

/** Mesh TLS, as from a client that is a meshed peer. */
export async function inboundTls(): Promise<Door> {
  const recorder = await Recorder.start();
  const ca = await createCa();
  const proxy = new TestProxy({ identity: new FakeIdentity("server.ns", await ca.issue("server.ns")) });
  proxy.inboundDst = { ip: "127.0.0.1", port: recorder.port };
  proxy.policy(recorder.port, allowAll());
  proxy.discovery.setProfile(`${NAME}:80`, withRoutes());
  const credentials = await ca.issue("client.ns");
  const { port } = proxy.inboundListener;
  return {
    name: "inbound-tls",
    what: "mesh TLS to the inbound port",
    port,
    recorder,
    detects: true,
    downgrades: true,
    hostRoutes: true,
    routing: { side: "inbound", proxy },
    dial: () => dialTls({ port, serverName: "server.ns", credentials, ca: ca.pem }),
    stop() {
      proxy.stop();
      recorder.stop();
    },
  };
}

/** An application's own connection, to an endpoint that is not meshed. */
export async function outbound(): Promise<Door> {
  const recorder = await Recorder.start();
  const proxy = new TestProxy({ identity: null });
  proxy.outboundDst = SERVICE;
  proxy.discovery.setProfile(`${SERVICE.ip}:${SERVICE.port}`, withRoutes());
  proxy.discovery.setEndpoints(`${NAME}:80`, [endpoint({ addr: { ip: "127.0.0.1", port: recorder.port } })]);
  const { port } = proxy.outboundListener;
  return {
    name: "outbound",
    what: "an application's connection through the outbound port, HTTP/1 to the endpoint",
    port,
    recorder,
    detects: true,
    downgrades: false,
    hostRoutes: false,
    routing: { side: "outbound", proxy },
    dial: () => dialRaw(port),
    stop() {
      proxy.stop();
      recorder.stop();
    },
  };
}

/** HTTP/1 into one proxy, HTTP/2 with mesh TLS to the other, HTTP/1 to the application. */
export async function twoProxies(): Promise<Door> {
  const recorder = await Recorder.start();
  const ca = await createCa();
  const a = new TestProxy({ identity: new FakeIdentity("client.ns", await ca.issue("client.ns")) });
  const b = new TestProxy({ identity: new FakeIdentity("server.ns", await ca.issue("server.ns")) });
  b.inboundDst = { ip: "127.0.0.1", port: recorder.port };
  b.policy(recorder.port, allowAll());
  b.discovery.setProfile(`${NAME}:80`, withRoutes());
  a.outboundDst = SERVICE;
  a.discovery.setProfile(`${SERVICE.ip}:${SERVICE.port}`, profile({ fqn: NAME }));
  a.discovery.setEndpoints(`${NAME}:80`, [endpoint({ addr: b.inboundAddr, identity: "server.ns", h2: true })]);
  const { port } = a.outboundListener;
  return {
    name: "two-proxies",
    what: "two proxies: HTTP/1, HTTP/2 over mesh TLS between them, HTTP/1 to the application",
    port,
    recorder,
    detects: true,
    downgrades: false,
    hostRoutes: false,
    routing: { side: "inbound", proxy: b },
    dial: () => dialRaw(port),
    stop() {
      a.stop();
      b.stop();
      recorder.stop();
    },
  };
}
