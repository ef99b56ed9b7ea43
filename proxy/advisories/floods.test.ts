// Floods of HTTP/2 frames on the built proxies, named after their advisories (spec hardening §3, rows 1 to 8): each is stopped
// within its bound, neighbours are served, nothing is left. How much memory they take, and what neighbours feel of them, is
// measured by `npm run faults -- floods`.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { serveHttp1, serveHttp2 } from "../testing/apps.ts";
import { canRunPods, identityOf, ProcessMesh, type ProxyProcess, SERVICE_IP, until } from "../testing/processes.ts";
import { dialFrom, type PodSocket, requestFrom } from "../testing/sockets.ts";
import { ATTACKS, type Attack, opening } from "./attacks.ts";
import { carryOut } from "./flood.ts";

const it = test.if(canRunPods);
const HTTP2_PORT = 8080;
const HTTP1_PORT = 8081;
/** A flood is stopped before it has sent this much, bytes; it would send up to 160 MB. What a peer sends that does not read is
 * thrown away after the verdict. */
const STOPPED_BYTES = 4 << 20;

let mesh: ProcessMesh;
const apps: { stop(): void }[] = [];

beforeAll(async () => {
  if (!canRunPods) return;
  mesh = await ProcessMesh.start({ tag: `${process.pid}v`, ports: { [HTTP2_PORT]: {}, [HTTP1_PORT]: {} } });
  apps.push(serveHttp2(mesh.pods.b, HTTP2_PORT), serveHttp1(mesh.pods.b, HTTP1_PORT));
}, 30_000);

afterAll(() => {
  for (const app of apps) app.stop();
  mesh?.close();
});

type Target = { readonly proxy: () => ProxyProcess; readonly dial: () => Promise<PodSocket>; readonly neighbour: () => Promise<number> };

const throughBoth = () => requestFrom(mesh.pods.a, { host: SERVICE_IP, port: HTTP1_PORT }).then(({ status }) => status);
const targets: Readonly<Record<string, Target>> = {
  "inbound, a client without identity": {
    proxy: () => mesh.b,
    dial: () => dialFrom(mesh.outsider, { host: mesh.pods.b.ip, port: HTTP2_PORT }),
    neighbour: throughBoth,
  },
  "inbound, a meshed client": {
    proxy: () => mesh.b,
    dial: async () =>
      dialFrom(mesh.outsider, {
        host: mesh.pods.b.ip,
        port: HTTP2_PORT,
        tls: { serverName: identityOf("b"), credentials: await mesh.ca.issue(identityOf("hostile")), ca: mesh.ca.pem },
      }),
    neighbour: throughBoth,
  },
  "outbound, an application": {
    proxy: () => mesh.a,
    dial: () => dialFrom(mesh.pods.a, { host: SERVICE_IP, port: HTTP2_PORT }),
    neighbour: throughBoth,
  },
};

async function attack(target: Target, attack: Attack): Promise<void> {
  const proxy = target.proxy();
  const outcome = await carryOut(attack, await target.dial());
  expect(proxy.alive).toBe(true);
  if (attack.ends === "calm") expect(outcome.goaway).toBe("ENHANCE_YOUR_CALM");
  else if (attack.ends === "error") expect(outcome.goaway).toMatch(/_ERROR$/);
  else {
    expect(outcome).toMatchObject({ complete: true, closed: false });
    // The application may be less patient than the proxy, which then ends the connection when all is answered.
    expect(outcome.goaway ?? "NO_ERROR").toBe("NO_ERROR");
  }
  if (attack.reads !== false) expect(outcome.sentBytes).toBeLessThan(STOPPED_BYTES);
  expect(await target.neighbour()).toBe(200);
}

for (const [name, target] of Object.entries(targets)) {
  describe(name, () => {
    let open = 0;
    let closed = 0;

    beforeAll(async () => {
      if (!canRunPods) return;
      expect(await target.neighbour()).toBe(200);
      open = await target.proxy().openConnections();
      closed = (await target.proxy().metrics()).sum("tcp_close_total", { peer: "src" });
    });

    // Those that do not read take seconds, and take the same path on every side.
    const chosen = ATTACKS.filter(({ reads = true }) => reads || name.startsWith("inbound, a client without"));
    for (const each of chosen) it(each.name, () => attack(target, each), 20_000);

    it("CVE-2024-27983 a connection dropped in the middle of a header block", async () => {
      const connections = await Promise.all(Array.from({ length: 20 }, () => target.dial()));
      const half = ATTACKS.find(({ name }) => name.startsWith("CVE-2024-27919")) as Attack;
      const [piece = new Uint8Array(0)] = half.pieces();
      for (const [i, connection] of connections.entries()) {
        await connection.write(Buffer.concat([opening(), piece.subarray(0, 100 + i)]));
        if (i % 2 === 0) connection.reset();
        else connection.close();
      }
      expect(await target.neighbour()).toBe(200);
    });

    it("nothing is left: connections, descriptors, errors", async () => {
      const proxy = target.proxy();
      await until("connections are as before", async () => (await proxy.openConnections()) <= open + 1);
      const metrics = await proxy.metrics();
      // Some of the neighbours share one, and one that is reset at once may never have been accepted.
      expect(metrics.sum("tcp_close_total", { peer: "src" }) - closed).toBeGreaterThanOrEqual(chosen.length);
      expect(proxy.internalErrors).toEqual([]);
      expect(proxy.alive).toBe(true);
    });
  });
}
