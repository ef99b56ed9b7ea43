// The proxy as a process, as a pod runs it: two network namespaces with redirect rules, configured by the environment only,
// under a control plane of files. curl → A → mTLS → B → application.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { chownSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createCa, type TestCa } from "./testing/certificates.ts";
import type { ControlPlaneFile } from "./testing/control-plane.ts";
import { createPods, type Pod, type Pods, PROXY_UID } from "./testing/namespaces.ts";

const able = process.getuid?.() === 0 && (existsSync("/usr/sbin/iptables") || existsSync("/sbin/iptables"));
const it = test.if(able);

const ROOT = join(import.meta.dir, "..");
const SERVICE = "10.96.0.10";
const NAME = "web.ns.svc.cluster.local";
const ID = (who: string) => `${who}.ns.serviceaccount.identity.linkerd.cluster.local`;
const CONTROL_PORT = 8086;

let ca: TestCa;
let dir: string;
let pods: Pods;
const logs = new Map<string, string>();

const ipv4 = (ip: string) => ip.split(".").reduce((n, octet) => n * 256 + Number(octet), 0);
const everywhere = [{ net: { ip: { ipv4: 0 }, prefixLen: 0 } }];

function files(authorizations: unknown[]): ControlPlaneFile {
  const web = { addr: { ip: { ipv4: ipv4(pods.b.ip) }, port: 8080 } };
  const detect = (name: string, authz: unknown[]) => ({
    protocol: { detect: { timeout: "10s" } },
    authorizations: authz,
    labels: { name },
  });
  return {
    ca: ca.saved,
    profiles: {
      [`${SERVICE}:80`]: { fullyQualifiedName: NAME },
      [`${SERVICE}:6379`]: { fullyQualifiedName: NAME, opaqueProtocol: true },
    },
    updates: {
      [`${NAME}:80`]: {
        add: {
          addrs: [{ ...web, tlsIdentity: { dnsLikeIdentity: { name: ID("b") } }, protocolHint: { h2: {} } }],
          metricLabels: { service: "web", namespace: "ns" },
        },
      },
      [`${NAME}:6379`]: {
        add: {
          addrs: [
            {
              ...web,
              addr: { ...web.addr, port: 6379 },
              tlsIdentity: { dnsLikeIdentity: { name: ID("b") } },
              protocolHint: { opaqueTransport: { inboundPort: 4143 } },
            },
          ],
        },
      },
    },
    servers: {
      8080: detect("web", authorizations),
      4191: detect("admin", [{ networks: everywhere, authentication: { unauthenticated: {} }, labels: { name: "probes" } }]),
      6379: { protocol: { opaque: {} }, authorizations, labels: { name: "redis" } },
    },
  } as unknown as ControlPlaneFile;
}
const anyMeshed = {
  networks: everywhere,
  authentication: { meshTLS: { identities: { suffixes: [{ parts: [] }] } } },
  labels: { name: "meshed" },
};

function write(authorizations: unknown[]): void {
  for (const who of ["a", "b"]) writeFileSync(join(dir, `${who}.json`), JSON.stringify(files(authorizations)));
}

function until(what: string, look: () => boolean | Promise<boolean>): Promise<void> {
  return (async () => {
    for (let i = 0; i < 400; i++) {
      if (await look()) return;
      await Bun.sleep(25);
    }
    throw new Error(`${what} did not happen; logs: ${[...logs].map(([who, text]) => `\n--- ${who}\n${text}`).join("")}`);
  })();
}

function environment(who: string): Record<string, string> {
  const control = `localhost.:${CONTROL_PORT}`;
  const vars: Record<string, string> = {
    LOG: "warn,linkerd=info",
    OUTBOUND_LISTEN_ADDR: "127.0.0.1:4140",
    INBOUND_LISTEN_ADDR: "0.0.0.0:4143",
    ADMIN_LISTEN_ADDR: "0.0.0.0:4191",
    DESTINATION_SVC_ADDR: control,
    DESTINATION_PROFILE_NETWORKS: "10.0.0.0/8",
    POLICY_SVC_ADDR: control,
    POLICY_WORKLOAD: `ns:${who}`,
    INBOUND_PORTS: "8080,6379",
    INBOUND_DEFAULT_POLICY: "all-unauthenticated",
    IDENTITY_SVC_ADDR: control,
    IDENTITY_DIR: join(dir, who),
    IDENTITY_TRUST_ANCHORS: ca.pem,
    IDENTITY_LOCAL_NAME: ID(who),
    IDENTITY_TOKEN_FILE: join(dir, "token"),
  };
  return Object.fromEntries(Object.entries(vars).map(([key, value]) => [`LINKERD2_PROXY_${key}`, value]));
}

function startProxy(pod: Pod, who: string) {
  return pod.start([process.execPath, join(ROOT, "main.ts"), "proxy"], {
    env: environment(who),
    uid: PROXY_UID,
    stdout: (text) => logs.set(who, (logs.get(who) ?? "") + text),
  });
}

const APP = `
Bun.serve({ hostname: "0.0.0.0", port: 8080, fetch: (request) => Response.json({ path: new URL(request.url).pathname, headers: Object.fromEntries(request.headers) }) });
Bun.listen({ hostname: "0.0.0.0", port: 6379, socket: { open: (socket) => void socket.write("+hello\\r\\n"), data: (socket, chunk) => void socket.write(chunk) } });
console.log("listening");`;

beforeAll(async () => {
  if (!able) return;
  ca = await createCa();
  dir = mkdtempSync(join(tmpdir(), "fairlead-proxy-"));
  pods = createPods(String(process.pid));
  for (const who of ["a", "b"]) {
    mkdirSync(join(dir, who));
    chownSync(join(dir, who), PROXY_UID, PROXY_UID);
  }
  Bun.spawnSync(["chmod", "755", dir]);
  writeFileSync(join(dir, "token"), "token");
  writeFileSync(join(dir, "app.ts"), APP);
  write([anyMeshed]);
  let up = 0;
  const count = (text: string): void => {
    up += text.split("listening").length - 1;
  };
  for (const [who, pod] of [
    ["a", pods.a],
    ["b", pods.b],
  ] as const)
    pod.start([process.execPath, join(ROOT, "proxy/testing/control-plane.ts"), join(dir, `${who}.json`), String(CONTROL_PORT)], {
      stdout: count,
    });
  pods.b.start([process.execPath, join(dir, "app.ts")], { stdout: count });
  await until("application and control planes", () => up === 3);
}, 30_000);

afterAll(() => {
  if (!able) return;
  pods?.remove();
  rmSync(dir, { recursive: true, force: true });
});

const curl = async (pod: Pod, ...args: string[]): Promise<string> => (await pod.output("curl", "-s", "-m", "5", ...args)).stdout;

it("curl through two proxies, policy changes, opaque bytes, metrics, drain", async () => {
  const a = startProxy(pods.a, "a");
  const b = startProxy(pods.b, "b");
  for (const pod of [pods.a, pods.b]) await until("ready", async () => (await curl(pod, "http://127.0.0.1:4191/ready")) === "ready\n");
  expect(existsSync(join(dir, "a", "key.p8"))).toBe(true);

  const seen = JSON.parse(await curl(pods.a, `http://${SERVICE}/hello`)) as { path: string; headers: Record<string, string> };
  expect(seen.path).toBe("/hello");
  expect(seen.headers["l5d-client-id"]).toBe(ID("a"));
  expect(seen.headers["host"]).toBe(SERVICE);

  const metrics = await curl(pods.b, "http://127.0.0.1:4191/metrics");
  expect(metrics).toContain(
    `request_total{direction="inbound",authority="${NAME}",target_addr="${pods.b.ip}:8080",target_ip="${pods.b.ip}",target_port="8080",tls="true",client_id="${ID("a")}",srv_name="web",saz_name="meshed"} 1`,
  );
  const outbound = await curl(pods.a, "http://127.0.0.1:4191/metrics");
  expect(outbound).toContain(
    `response_total{direction="outbound",authority="${NAME}",target_addr="${pods.b.ip}:8080",target_ip="${pods.b.ip}",target_port="8080",tls="true",server_id="${ID("b")}",dst_namespace="ns",dst_service="web",status_code="200",classification="success"} 1`,
  );

  // Opaque, the server speaks first.
  const opaque = await pods.a.output("bash", "-c", `exec 3<>/dev/tcp/${SERVICE}/6379; read -r -u 3 line; echo "$line"`);
  expect(opaque.stdout).toBe("+hello\r\n");

  // Plain, past the service's proxy of A: refused without a word; as nobody it may not.
  const plain = await pods.a.output(
    "setpriv",
    "--reuid",
    String(PROXY_UID),
    "--clear-groups",
    "curl",
    "-s",
    "-m",
    "5",
    "-i",
    `http://${pods.b.ip}:8080/`,
  );
  expect(plain.stdout).toStartWith("HTTP/1.1 403 ");
  expect(plain.stdout).not.toContain("l5d-");

  write([]);
  await until("refusal", async () => (await curl(pods.a, "-i", `http://${SERVICE}/`)).startsWith("HTTP/1.1 403 "));
  expect(await curl(pods.a, "-i", `http://${SERVICE}/`)).toContain("l5d-proxy-error: unauthorized connection on server web\r\n");
  write([anyMeshed]);
  await until("permission", async () => (await curl(pods.a, `http://${SERVICE}/back`)).includes("/back"));

  for (const child of [a, b]) {
    const ended = new Promise<number | null>((resolve) => child.on("exit", (code) => resolve(code)));
    child.kill("SIGTERM");
    expect(await ended).toBe(0);
  }
}, 30_000);

it("tap refuses strangers, spans reach the collector, what looks on does not hold up the end", async () => {
  const spans: string[] = [];
  const collector = pods.b.start([process.execPath, join(ROOT, "proxy/tracing/testing/collector-main.ts"), "8601"], {
    stdout: (text) => void spans.push(...text.split("\n").filter((line) => line !== "")),
  });
  await until("collector", () => spans.includes("listening"));
  const a = startProxy(pods.a, "a");
  const b = pods.b.start([process.execPath, join(ROOT, "main.ts"), "proxy"], {
    env: {
      ...environment("b"),
      LINKERD2_PROXY_LOG_FORMAT: "JSON",
      LINKERD2_PROXY_TAP_SVC_NAME: ID("tap"),
      LINKERD2_PROXY_TRACE_COLLECTOR_SVC_ADDR: "localhost.:8601",
    },
    uid: PROXY_UID,
    stdout: (text) => logs.set("b", (logs.get("b") ?? "") + text),
  });
  for (const pod of [pods.a, pods.b]) await until("ready", async () => (await curl(pod, "http://127.0.0.1:4191/ready")) === "ready\n");
  const line = (logs.get("b") ?? "").split("\n").find((text) => text.includes("Tap interface")) ?? "";
  expect(JSON.parse(line)).toMatchObject({ level: "INFO", target: "linkerd::app", fields: { message: "Tap interface on 0.0.0.0:4190" } });
  expect(logs.get("a")).toContain("Tap DISABLED");

  writeFileSync(join(dir, "observe"), "\0\0\0\0\0");
  const tap = `http://${pods.b.ip}:4190/io.linkerd.proxy.tap.Tap/Observe`;
  const grpc = ["--http2-prior-knowledge", "-H", "content-type: application/grpc", "--data-binary", `@${join(dir, "observe")}`];
  const refused = await curl(pods.b, "-i", ...grpc, tap);
  expect(refused).toContain("grpc-status: 16");
  expect(refused).toContain("grpc-message: no_tls_from_remote");

  const trace = "0af7651916cd43dd8448eb211c80319c";
  const context = `00-${trace}-b7ad6b7169203331-01`;
  const seen = JSON.parse(await curl(pods.a, "-H", `traceparent: ${context}`, "-H", "tracestate: x=1", `http://${SERVICE}/traced`));
  expect(seen.headers).toMatchObject({
    traceparent: expect.stringMatching(new RegExp(`^00-${trace}-[0-9a-f]{16}-01$`)),
    tracestate: "x=1",
  });
  expect(seen.headers.traceparent).not.toBe(context);

  for (const child of [a, b]) {
    const ended = new Promise<number | null>((resolve) => child.on("exit", (code) => resolve(code)));
    child.kill("SIGTERM");
    expect(await ended).toBe(0);
  }
  // The batch was young; the end sends it.
  await until("spans", () => spans.length === 3);
  expect(spans.slice(1).map((text) => JSON.parse(text))).toEqual([
    { name: "/traced", kind: "CLIENT", traceId: trace, direction: "inbound" },
    { name: "/traced", kind: "SERVER", traceId: trace, direction: "inbound" },
  ]);
  collector.kill("SIGTERM");
}, 30_000);

it("without identity and policy controller: plain, by static policy", async () => {
  const children = (["a", "b"] as const).map((who) => {
    const kept = Object.entries(environment(who)).filter(([key]) => !/_(IDENTITY|POLICY)_/.test(key) && !key.endsWith("INBOUND_PORTS"));
    return pods[who].start([process.execPath, join(ROOT, "main.ts"), "proxy"], {
      env: {
        ...Object.fromEntries(kept),
        LINKERD2_PROXY_IDENTITY_DISABLED: "disabled",
        LINKERD2_PROXY_INBOUND_PORTS_REQUIRE_IDENTITY: "6379",
      },
      uid: PROXY_UID,
      stdout: (text) => logs.set(`plain ${who}`, (logs.get(`plain ${who}`) ?? "") + text),
    });
  });
  for (const pod of [pods.a, pods.b]) await until("ready", async () => (await curl(pod, "http://127.0.0.1:4191/ready")) === "ready\n");
  const seen = await curl(pods.a, "-H", "l5d-client-id: spoof", `http://${pods.b.ip}:8080/plain`);
  expect(seen).toContain("/plain");
  expect(seen).not.toContain("spoof");
  expect(await curl(pods.a, "-i", `http://${pods.b.ip}:6379/`)).toStartWith("HTTP/1.1 403 ");
  const metrics = await curl(pods.b, "http://127.0.0.1:4191/metrics");
  expect(metrics).toContain('tls="disabled",srv_name="default:all-unauthenticated",saz_name="default:all-unauthenticated"');
  for (const child of children) {
    const ended = new Promise((resolve) => child.on("exit", resolve));
    child.kill("SIGTERM");
    expect(await ended).toBe(0);
  }
}, 20_000);

it("a configuration that cannot be used: every mistake told, exit status 64", async () => {
  const { status, stdout, stderr } = await pods.a.output("env", "-i", process.execPath, join(ROOT, "main.ts"), "proxy");
  expect([status, stdout]).toEqual([64, ""]);
  for (const name of ["IDENTITY_DIR", "IDENTITY_TRUST_ANCHORS", "IDENTITY_LOCAL_NAME", "IDENTITY_TOKEN_FILE", "DESTINATION_SVC_ADDR"])
    expect(stderr).toContain(`LINKERD2_PROXY_${name}: not set`);
});
