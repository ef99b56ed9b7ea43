// DNS that fails (spec hardening §5, "DNS SERVFAIL"; §3 row 34): the name of the control plane does not exist, cannot be told, is
// answered with nonsense, or not at all. The proxy asks on, gently, serves what it knows, and finds its control plane when it can.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, readdirSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { serveHttp1 } from "../testing/apps.ts";
import { type Behaviour, DnsServer } from "../testing/dns.ts";
import { isLong } from "../testing/long.ts";
import { CONTROL_PORT, canRunPods, ProcessMesh, SERVICE_IP, SERVICE_NAME, until } from "../testing/processes.ts";
import { type PodServer, requestFrom } from "../testing/sockets.ts";

const it = test.if(canRunPods);
const PORT = 8080;
const NAME = "control.mesh.test";

let mesh: ProcessMesh;
let dns: DnsServer;
let app: PodServer;
let files = "";

beforeAll(async () => {
  if (!canRunPods) return;
  mesh = await ProcessMesh.start({
    tag: `${process.pid}n`,
    ports: { [PORT]: {} },
    proxies: false,
    env: (who) => {
      const away = Object.fromEntries(
        ["SVC_ADDR", "DIR", "TRUST_ANCHORS", "LOCAL_NAME", "TOKEN_FILE"].map((key) => [`IDENTITY_${key}`, null]),
      );
      return who === "b"
        ? {}
        : {
            ...away,
            IDENTITY_DISABLED: "disabled",
            OUTBOUND_DISPATCH_TIMEOUT: "300ms",
            DESTINATION_SVC_ADDR: `${NAME}.:${CONTROL_PORT}`,
            POLICY_SVC_ADDR: null,
            POLICY_WORKLOAD: null,
            INBOUND_PORTS: null,
          };
    },
  });
  // `ip netns exec` mounts what is here over /etc.
  files = `/etc/netns/${mesh.pods.a.namespace}`;
  mkdirSync(files, { recursive: true });
  writeFileSync(`${files}/resolv.conf`, "nameserver 127.0.0.1\n");
  dns = await DnsServer.start(mesh.pods.a);
  app = serveHttp1(mesh.pods.b, PORT);
  mesh.startProxy("a");
  mesh.startProxy("b");
  await Promise.all([mesh.a.ready(), mesh.b.ready()]);
}, 30_000);

afterAll(() => {
  app?.stop();
  dns?.stop();
  if (files !== "") {
    rmSync(files, { recursive: true, force: true });
    // The folder of all namespaces, unless it holds something of others.
    if (readdirSync("/etc/netns").length === 0) rmdirSync("/etc/netns");
  }
  mesh?.close();
});

const status = () =>
  requestFrom(mesh.pods.a, { host: SERVICE_IP, port: PORT, timeoutMs: 10_000 }).then(
    ({ status }) => status,
    () => 0,
  );

const failures: readonly Behaviour[] = isLong
  ? ["NXDOMAIN", "SERVFAIL", "REFUSED", "empty", "noise", "truncated", "loop", "silence"]
  : ["SERVFAIL", "noise", "silence"];

it.each([...failures])(
  "%s: the name is asked for again, not too often; then it is told, and the service is found",
  async (failure) => {
    dns.behaviour = failure;
    // What is known is forgotten: a new process.
    await mesh.a.stop();
    mesh.startProxy("a");
    await mesh.a.ready();
    const before = dns.questions;
    expect(await status()).toBe(0);
    const asked = dns.questions - before;
    expect(asked).toBeGreaterThan(0);
    // A and SRV, every 500 ms at the most often, and what the resolver itself tries again.
    expect(asked).toBeLessThan(100);
    dns.behaviour = { a: ["127.0.0.1"], ttl: 1 };
    await until(
      "the service is found",
      async () => (await status()) === 200,
      25_000,
      () => mesh.a.log,
    );
    expect(mesh.a.alive).toBe(true);
    expect(mesh.a.internalErrors).toEqual([]);
  },
  60_000,
);

it("a name that can no longer be told: what is known is served, also by the control plane that is known", async () => {
  dns.behaviour = { a: ["127.0.0.1"], ttl: 1 };
  expect(await status()).toBe(200);
  dns.behaviour = "SERVFAIL";
  const before = dns.questions;
  await until("it is asked again", () => dns.questions > before + 2);
  for (let i = 0; i < 10; i++) expect(await status()).toBe(200);
  // A change is still heard.
  const routes = [{ condition: { path: { regex: ".*" } }, metricsLabels: { route: "new" } }];
  mesh.write((file) => ({ ...file, profiles: { [`${SERVICE_IP}:${PORT}`]: { fullyQualifiedName: SERVICE_NAME, routes } } }));
  await until("the route is known", async () => {
    expect(await status()).toBe(200);
    return (await mesh.a.metrics()).sum("route_request_total", { rt_route: "new" }) > 0;
  });
  expect(mesh.a.internalErrors).toEqual([]);
}, 30_000);
