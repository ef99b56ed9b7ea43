// Spec proxy §17, 51 to 53: before there is a certificate, its renewal, and certificates that are none.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { createCa } from "../testing/certificates.ts";
import { until } from "../testing/processes.ts";
import { type ControlPlane, certifiedBy } from "./testing/control-plane.ts";
import { request, response } from "./testing/http1.ts";
import { add, allow, server } from "./testing/messages.ts";
import { canRunPods, type Node, Scene, SERVICE, type TlsRaw } from "./testing/scene.ts";

const it = test.if(canRunPods);
/** The shortest wait between attempts; 10 s where nothing else is said. */
const MIN_REFRESH_MS = 300;

let scene: Scene;

beforeAll(async () => {
  if (!canRunPods) return;
  scene = await Scene.start("identity");
}, 60_000);

afterAll(() => {
  scene?.stop();
});

const serial = (client: TlsRaw): string | undefined => client.tls.getPeerX509Certificate()?.serialNumber;

async function pod(account: string, port: number, env: Record<string, string> = {}): Promise<Node> {
  const node = await scene.pod({ account, ports: [port], env: { IDENTITY_MIN_REFRESH: `${MIN_REFRESH_MS}ms`, ...env } });
  node.control.servers.set(port, server("web", { detectMs: 10_000 }, [allow("all", "anyone")]));
  await node.serveApp(port, () => response(200, "served"));
  return node;
}

/** Milliseconds between one call of Certify and the one before. */
const gap = ({ certifications }: ControlPlane, n: number): number => (certifications[n]?.at ?? 0) - (certifications[n - 1]?.at ?? 0);

it("17.51 without a certificate the proxy lives, is not ready, and lets connections wait", async () => {
  const node = await pod("late", 8051, { IDENTITY_SVC_ADDR: "localhost.:8080" });
  await scene.serve(scene.outside, { ip: "10.9.0.1", port: 8151 }, (connection) => {
    void connection.until("\r\n\r\n").then(() => connection.write(response(200, "outside")));
  });
  node.service(8151, add([{ ip: "10.9.0.1", port: 8151 }]));
  node.start();
  await until("it lives", () =>
    node.process.admin("/live").then(
      ({ body }) => body === "live\n",
      () => false,
    ),
  );
  expect(await node.process.admin("/live")).toMatchObject({ status: 200, body: "live\n" });
  expect(await node.process.admin("/ready")).toMatchObject({ status: 503, body: "not ready\n" });

  const inbound = await node.client(8051);
  const outbound = await node.serviceClient(8151);
  for (const client of [inbound, outbound]) client.send(request("GET /"));
  await node.said("control-plane service is not reachable addr=localhost:8080");
  expect(await node.process.admin("/ready")).toMatchObject({ status: 503, body: "not ready\n" });
  expect([inbound.rest, outbound.rest]).toEqual(["", ""]);
  expect(node.control.profiles.count(`${SERVICE}:8151`)).toBe(0);
  expect(await node.metrics()).not.toContain("identity_cert_expiration_timestamp_seconds");

  const identity = scene.controlPlane(node.pod, 8080);
  await identity.start();
  expect((await inbound.answer()).body).toBe("served");
  expect((await outbound.answer()).body).toBe("outside");
  expect(await node.process.admin("/ready")).toMatchObject({ status: 200, body: "ready\n" });
  expect(new TextDecoder().decode(identity.certifications[0]?.request.token)).toBe("token");
  expect(identity.certifications[0]?.request.identity).toBe(node.identity);
}, 30_000);

it("17.52 a certificate is renewed at 70 % of its life with the same request, and not more often than it may be", async () => {
  const node = await pod("renewed", 8052);
  const { control } = node;
  const lifetimeMs = 2000;
  let validUntil = 0n;
  control.certify = async (request) => {
    // The third and later ones are over at once.
    const certified = await certifiedBy(scene.ca, request, control.certifications.length < 3 ? lifetimeMs : 50);
    validUntil = certified.validUntil?.seconds ?? 0n;
    return certified;
  };
  node.start();
  await node.ready();
  const open = await node.dialMesh(8052, { as: "client" });
  const first = serial(open);
  await node.shows("identity_cert_refresh_count 1", `identity_cert_expiration_timestamp_seconds ${validUntil}`);

  await node.shows("identity_cert_refresh_count 2");
  await node.shows(`identity_cert_expiration_timestamp_seconds ${validUntil}`);
  expect(gap(control, 1)).toBeGreaterThan(lifetimeMs * 0.65);
  expect(node.control.certifications[1]?.request.certificateSigningRequest).toEqual(
    control.certifications[0]?.request.certificateSigningRequest as Uint8Array<ArrayBuffer>,
  );
  // What was open stays as it was; what is new has the new one.
  open.write(request("GET /"));
  await open.until("served");
  const second = await node.dialMesh(8052, { as: "client" });
  expect(serial(second)).not.toBe(first);
  for (const client of [open, second]) client.socket.destroy();

  await control.certified(5);
  for (const n of [3, 4]) expect(gap(control, n)).toBeGreaterThan(MIN_REFRESH_MS * 0.95);
}, 30_000);

it("17.53 a chain of another root is refused, told, tried again, and what was there stays", async () => {
  const node = await pod("firm", 8053);
  const { control } = node;
  const other = await createCa("another root");
  control.certify = (request) =>
    control.certifications.length === 1 ? certifiedBy(scene.ca, request, 50) : certifiedBy(other, request, 3_600_000);
  node.start();
  await node.ready();
  const before = await node.dialMesh(8053, { as: "client" });
  await control.certified(4);
  await node.said(/ERROR .*linkerd::identity: failed to obtain a certificate/);
  const after = await node.dialMesh(8053, { as: "client" });
  expect(serial(after)).toBe(serial(before) as string);
  after.write(request("GET /"));
  await after.until("served");
  await node.shows("identity_cert_refresh_count 1");
  for (const n of [2, 3]) expect(gap(control, n)).toBeGreaterThan(MIN_REFRESH_MS * 0.95);

  // An answer that does not say how long it holds is none either; a good one is.
  control.certify = async (request) => {
    const certified = await certifiedBy(scene.ca, request);
    const { validUntil: _, ...unlimited } = certified as { validUntil?: unknown } & typeof certified;
    return control.certifications.length < 7 ? unlimited : certified;
  };
  await node.shows("identity_cert_refresh_count 2");
  expect(node.log).toContain("the answer has no valid_until");
  expect(serial(await node.dialMesh(8053, { as: "client" }))).not.toBe(serial(before));
}, 30_000);
