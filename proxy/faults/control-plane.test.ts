// The control plane is away, frozen, or breaks off at once; the identity service is away when a certificate is due (spec hardening §4
// "Control plane gone", §5). Known traffic does not notice, policy stays, proxies ask again without a storm. For minutes instead
// of seconds: `npm run faults -- outage`.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { serveHttp1 } from "../testing/apps.ts";
import { CONTROL_PORT, canRunPods, identityOf, Load, ProcessMesh, SERVICE_IP, startLoadApp, until } from "../testing/processes.ts";
import { dialFrom, type PodServer, requestFrom, serveIn } from "../testing/sockets.ts";

const it = test.if(canRunPods);
const PORT = 8080;
const GRPC = 8081;
/** Guarded by a policy that lets nobody in. */
const FORBIDDEN = 8082;
const OTHER = 8083;

const WHO = ["a", "b"] as const;

describe("away", () => {
  let mesh: ProcessMesh;
  const servers: PodServer[] = [];

  const forbid = (): void =>
    mesh.write((file) => ({
      ...file,
      servers: { ...file.servers, [FORBIDDEN]: { ...(file.servers[FORBIDDEN] as object), authorizations: [] } },
    }));
  const status = (port: number, timeoutMs = 10_000) =>
    requestFrom(mesh.pods.a, { host: SERVICE_IP, port, timeoutMs }).then(({ status }) => status);

  beforeAll(async () => {
    if (!canRunPods) return;
    mesh = await ProcessMesh.start({
      tag: `${process.pid}c`,
      ports: { [PORT]: {}, [GRPC]: {}, [FORBIDDEN]: {}, [OTHER]: {} },
      env: () => ({ OUTBOUND_DISPATCH_TIMEOUT: "1s" }),
    });
    for (const who of WHO) mesh.countConnections(who, CONTROL_PORT);
    await startLoadApp(mesh.pods.b, { delayMs: 2, http1Port: PORT, grpcPort: GRPC });
    servers.push(serveHttp1(mesh.pods.b, FORBIDDEN), serveHttp1(mesh.pods.b, OTHER));
    forbid();
    await until("the policy is in force", async () => (await status(FORBIDDEN)) === 403);
  }, 30_000);
  afterAll(() => {
    for (const server of servers) server.stop();
    mesh?.close();
  });
  afterEach(() => {
    if (!canRunPods) return;
    for (const proxy of [mesh.a, mesh.b]) {
      expect(proxy.alive).toBe(true);
      expect(proxy.internalErrors).toEqual([]);
    }
  });

  it("killed: known traffic goes on, policy stays, attempts to come back are few; then changes are heard again", async () => {
    const http = new Load(mesh.pods.a, { protocol: "http1", host: SERVICE_IP, port: PORT, rate: 40, connections: 4 });
    const grpc = new Load(mesh.pods.a, { protocol: "grpc", host: SERVICE_IP, port: GRPC, rate: 40, connections: 1 });
    await until("traffic flows", async () => (await http.report()).ok > 10 && (await grpc.report()).ok > 10);
    for (const who of WHO) await mesh.killControlPlane(who);
    const before = WHO.map((who) => mesh.connections(who));
    const begun = performance.now();
    // Longer than the longest back-off (500 ms), several times.
    await until("they have tried for a while", () => performance.now() - begun > 2000);
    expect(await status(FORBIDDEN)).toBe(403);
    expect(await status(PORT)).toBe(200);
    const seconds = (performance.now() - begun) / 1000;
    WHO.forEach((who, i) => {
      const attempts = mesh.connections(who) - (before[i] as number);
      expect(attempts).toBeGreaterThan(1);
      // Destination and policy client: 100 ms, 200 ms, 400 ms, then every 500 ms.
      expect(attempts).toBeLessThan(2 * (4 + seconds * 2.5));
    });

    mesh.write();
    for (const who of WHO) await mesh.startControlPlane(who);
    await until("the policy of the new control plane is in force", async () => (await status(FORBIDDEN)) === 200);
    for (const load of [http, grpc]) {
      const { failed, ok, sent } = await load.stop();
      expect(failed).toEqual({});
      expect(ok).toBe(sent);
    }
  }, 30_000);

  it("frozen: known traffic goes on; what is new is told so in time, and found when it thaws", async () => {
    expect(await status(PORT)).toBe(200);
    for (const who of WHO) mesh.controlPlane(who).kill("SIGSTOP");
    expect(await status(PORT)).toBe(200);
    // No profile: the connection is closed after the dispatch timeout (spec proxy §17, case 36).
    await expect(status(OTHER)).rejects.toThrow("ended");
    for (const who of WHO) mesh.controlPlane(who).kill("SIGCONT");
    await until("the new service is found", async () => (await status(OTHER).catch(() => 0)) === 200);
  }, 30_000);

  it("breaking off at once: no storm of connections", async () => {
    for (const who of WHO) await mesh.killControlPlane(who);
    const broken = WHO.map((who) => serveIn(mesh.pods[who], CONTROL_PORT, (connection) => connection.close()));
    await until("they have come", () => broken.every(({ accepted }) => accepted > 2));
    const before = broken.map(({ accepted }, i) => ({ accepted, cpuMs: (i === 0 ? mesh.a : mesh.b).cpuMs }));
    await Bun.sleep(1500);
    for (const [i, { accepted, cpuMs }] of before.entries()) {
      expect((broken[i] as PodServer).accepted - accepted).toBeLessThan(60);
      expect((i === 0 ? mesh.a : mesh.b).cpuMs - cpuMs).toBeLessThan(600);
    }
    expect(await status(PORT)).toBe(200);
    for (const server of broken) server.stop();
    for (const who of WHO) await mesh.startControlPlane(who);
    forbid();
    await until("the policy is heard", async () => (await status(FORBIDDEN)) === 403);
  }, 30_000);
});

describe("the identity service", () => {
  let mesh: ProcessMesh;
  let app: PodServer;
  const LIFETIME_MS = 3000;

  beforeEach(async () => {
    if (!canRunPods) return;
    mesh = await ProcessMesh.start({
      tag: `${process.pid}i`,
      ports: { [PORT]: {} },
      lifetimeMs: LIFETIME_MS,
      env: () => ({ IDENTITY_MIN_REFRESH: "200ms", OUTBOUND_DISPATCH_TIMEOUT: "300ms" }),
    });
    app = serveHttp1(mesh.pods.b, PORT);
  }, 30_000);
  afterEach(() => {
    app?.stop();
    mesh?.close();
  });

  const refreshes = async (who: "a" | "b"): Promise<number> => (await mesh[who].metrics()).sum("identity_cert_refresh_count");
  const ask = () => requestFrom(mesh.pods.a, { host: SERVICE_IP, port: PORT }).then(({ status }) => status);

  it("away when certificates are due: connections that are up go on past their end; back, new ones are made", async () => {
    expect(await ask()).toBe(200);
    for (const who of WHO) await until("a renewal", async () => (await refreshes(who)) > 1);
    for (const who of WHO) await mesh.killControlPlane(who);
    const expiry = async (who: "a" | "b") => (await mesh[who].metrics()).sum("identity_cert_expiration_timestamp_seconds") * 1000;
    const last = Math.max(await expiry("a"), await expiry("b"));
    await until("both have ended", async () => {
      expect(await ask()).toBe(200);
      return Date.now() > last + 300;
    });
    // Asked again and again, and no faster than that.
    expect(mesh.a.log.split("failed to obtain a certificate").length - 1).toBeLessThan((LIFETIME_MS * 3) / 200);
    const count = await Promise.all(WHO.map(refreshes));
    for (const who of WHO) await mesh.startControlPlane(who);
    for (const [i, who] of WHO.entries()) await until("a new certificate", async () => (await refreshes(who)) > (count[i] as number));
    // The same again on connections that begin now.
    const fresh = await dialFrom(mesh.outsider, {
      host: mesh.pods.b.ip,
      port: PORT,
      tls: { serverName: identityOf("b"), credentials: null, ca: mesh.ca.pem },
    });
    await fresh.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    await fresh.until("200 OK");
    fresh.reset();
    for (const proxy of [mesh.a, mesh.b]) {
      expect(proxy.alive).toBe(true);
      expect(proxy.internalErrors).toEqual([]);
    }
  }, 30_000);
});
