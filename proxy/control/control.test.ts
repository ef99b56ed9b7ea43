// The proxy's clients of the control plane against a control plane of other people's making.
import { afterEach, beforeAll, describe, expect, test } from "bun:test";
import { Code } from "@connectrpc/connect";
import { GrpcError } from "#grpc";
import { Log } from "#log";
import { Registry } from "#metrics";
import type { ServerPolicy } from "#policy";
import { matchRoute } from "#profiles";
import { parseConfig } from "../config/index.ts";
import type { EndpointUpdate, Profile } from "../contracts.ts";
import { createEngines } from "../http/engines.ts";
import { ResponseFamilies } from "../metrics/scopes.ts";
import { createRuntime } from "../runtime.ts";
import { createCa, type TestCa } from "../testing/certificates.ts";
import { FakeController } from "../testing/controller.ts";
import { FakeIdentity } from "../testing/fakes.ts";
import { TlsStore } from "../tls/index.ts";
import { type Control, createControl } from "./index.ts";
import type { Dns } from "./resolve.ts";

const PATH = "web.ns.svc.cluster.local:80";
const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** Hands on what comes, in order, to whoever asks. */
class Arrivals<T> {
  readonly #items: T[] = [];
  readonly #takers: ((item: T) => void)[] = [];
  readonly put = (item: T): void => {
    const taker = this.#takers.shift();
    if (taker) taker(item);
    else this.#items.push(item);
  };

  next(): Promise<T> {
    const item = this.#items.shift();
    return item !== undefined ? Promise.resolve(item) : new Promise((resolve) => this.#takers.push(resolve));
  }

  get waiting(): number {
    return this.#items.length;
  }
}

async function controllerIn(options: Parameters<typeof FakeController.start>[0] = {}): Promise<FakeController> {
  const controller = await FakeController.start(options);
  cleanups.push(() => controller.stop());
  return controller;
}

type World = { readonly control: Control; readonly registry: Registry; readonly lines: string[] };

function world({ env, dns, tls = null }: { env: Record<string, string>; dns?: Dns; tls?: TlsStore | null }): World {
  const parsed = parseConfig({
    LINKERD2_PROXY_INBOUND_CONNECT_EXP_BACKOFF_MIN: "1ms",
    LINKERD2_PROXY_INBOUND_CONNECT_EXP_BACKOFF_MAX: "5ms",
    LINKERD2_PROXY_OUTBOUND_CONNECT_EXP_BACKOFF_MIN: "1ms",
    LINKERD2_PROXY_OUTBOUND_CONNECT_EXP_BACKOFF_MAX: "5ms",
    LINKERD2_PROXY_DESTINATION_CONTEXT: "ns:ns",
    ...(env["LINKERD2_PROXY_IDENTITY_DIR"] === undefined ? { LINKERD2_PROXY_IDENTITY_DISABLED: "true" } : {}),
    ...env,
  });
  if ("errors" in parsed) throw new Error(parsed.errors.join("\n"));
  const lines: string[] = [];
  const families = new ResponseFamilies("control_", "control plane", 1000);
  const registry = new Registry();
  families.group(registry);
  const control = createControl({
    config: parsed.config,
    runtime: createRuntime((error) => lines.push(String(error))),
    engines: createEngines({ streamWindow: 65535, connectionWindow: 1048576, now: () => performance.now(), wallMs: () => Date.now() }),
    tls,
    families,
    log: new Log({ filter: "info", format: "plain", write: (line) => lines.push(line), uptimeMs: () => 0 }),
    ...(dns === undefined ? {} : { dns }),
  });
  cleanups.push(() => control.stop());
  return { control, registry, lines };
}

/** What the controller has said before has been heard: another call on the same connection was answered. */
async function settled(controller: FakeController, control: Control): Promise<void> {
  const updates = new Arrivals<EndpointUpdate>();
  const stop = control.discovery.endpoints("barrier.ns.svc.cluster.local:80", updates.put);
  (await controller.gets.take()).send(noEndpoints(true));
  await updates.next();
  stop();
}

const destinationAt = (controller: FakeController) => ({ LINKERD2_PROXY_DESTINATION_SVC_ADDR: `localhost.:${controller.port}` });
const ipv4 = (text: string) => text.split(".").reduce((value, octet) => value * 256 + Number(octet), 0);
const tcp = (ip: string, port: number) => ({ ip: { ip: { case: "ipv4" as const, value: ipv4(ip) } }, port });
const add = (...ips: string[]) => ({
  update: { case: "add" as const, value: { addrs: ips.map((ip) => ({ addr: tcp(ip, 80) })), metricLabels: {} } },
});
const remove = (...ips: string[]) => ({ update: { case: "remove" as const, value: { addrs: ips.map((ip) => tcp(ip, 80)) } } });
const noEndpoints = (exists: boolean) => ({ update: { case: "noEndpoints" as const, value: { exists } } });

/** `replace 10.0.0.1 10.0.0.2`, `remove 10.0.0.1`, `failed`. */
function shown(update: EndpointUpdate): string {
  switch (update.kind) {
    case "add":
      return ["add", ...update.endpoints.map(({ addr }) => addr.ip)].join(" ");
    case "replace":
      return [update.exists ? "replace" : "none", ...update.endpoints.map(({ addr }) => addr.ip)].join(" ");
    case "remove":
      return ["remove", ...update.addrs.map(({ ip }) => ip)].join(" ");
    case "failed":
      return `failed ${update.message}`;
    default:
      return update satisfies never;
  }
}

describe("endpoints", () => {
  async function watching() {
    const controller = await controllerIn();
    const { control, ...rest } = world({ env: destinationAt(controller) });
    const updates = new Arrivals<EndpointUpdate>();
    const unsubscribe = control.discovery.endpoints(PATH, updates.put);
    return { controller, updates, unsubscribe, next: async () => shown(await updates.next()), ...rest };
  }

  test("path and context go out; the first add replaces, later ones add", async () => {
    const { controller, next } = await watching();
    const call = await controller.gets.take();
    expect([call.request.path, call.request.contextToken, call.request.scheme]).toEqual([PATH, "ns:ns", ""]);
    call.send(add("10.0.0.1", "10.0.0.2"));
    expect(await next()).toBe("replace 10.0.0.1 10.0.0.2");
    call.send(add("10.0.0.3"));
    expect(await next()).toBe("add 10.0.0.3");
    call.send(remove("10.0.0.1"));
    expect(await next()).toBe("remove 10.0.0.1");
    call.send(noEndpoints(true));
    expect(await next()).toBe("replace");
    call.send(noEndpoints(false));
    expect(await next()).toBe("none");
    call.send(add("10.0.0.4"));
    expect(await next()).toBe("add 10.0.0.4");
  });

  test("ten thousand at once come whole, in windows of their own", async () => {
    const { controller, updates } = await watching();
    const ips = Array.from({ length: 10_000 }, (_, i) => `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`);
    (await controller.gets.take()).send(add(...ips));
    const update = await updates.next();
    expect(update.kind === "replace" && update.endpoints.map(({ addr }) => addr.ip)).toEqual(ips);
    expect(controller.streamWindows).toEqual([2 * 1024 * 1024]);
  });

  test("a remove as the first word, and an add with nothing valid, mean nothing", async () => {
    const { controller, next } = await watching();
    const call = await controller.gets.take();
    call.send(remove("10.0.0.1"));
    call.send({ update: { case: "add", value: { addrs: [{ addr: { port: 80 } }, {}], metricLabels: {} } } });
    call.send(add("10.0.0.2"));
    expect(await next()).toBe("replace 10.0.0.2");
  });

  test.each(["end", "fail", "cut"] as const)("after %s it is asked again, and the first add replaces", async (how) => {
    const { controller, next, updates } = await watching();
    const first = await controller.gets.take();
    first.send(add("10.0.0.1"));
    await next();
    if (how === "end") first.end();
    else if (how === "fail") first.fail(Code.Unavailable);
    else controller.cut();
    const second = await controller.gets.take();
    expect(updates.waiting).toBe(0);
    second.send(add("10.0.0.2"));
    expect(await next()).toBe("replace 10.0.0.2");
  });

  test.each([Code.InvalidArgument, Code.FailedPrecondition])("code %d is final", async (code) => {
    const { controller, next } = await watching();
    (await controller.gets.take()).fail(code, "no such name");
    expect(await next()).toBe("failed no such name");
    expect(controller.gets.count).toBe(1);
  });

  test("nothing is told after unsubscribing, and the server knows", async () => {
    const { controller, updates, unsubscribe } = await watching();
    const call = await controller.gets.take();
    call.send(add("10.0.0.1"));
    await updates.next();
    unsubscribe();
    unsubscribe();
    await call.cancelled;
    expect(updates.waiting).toBe(0);
  });

  test("a large set comes whole", async () => {
    const { controller, updates } = await watching();
    const ips = Array.from({ length: 5000 }, (_, i) => `10.1.${i >> 8}.${i & 255}`);
    (await controller.gets.take()).send(add(...ips));
    const update = (await updates.next()) as EndpointUpdate & { kind: "replace" };
    expect(update.endpoints.map(({ addr }) => addr.ip)).toEqual(ips);
  });
});

describe("profiles", () => {
  async function watching(path = "10.0.0.1:80") {
    const controller = await controllerIn();
    const { control, ...rest } = world({ env: destinationAt(controller) });
    const profiles = new Arrivals<Profile | null>();
    const unsubscribe = control.discovery.profile(path, profiles.put);
    return { controller, control, profiles, unsubscribe, ...rest };
  }

  test("each message in order, routes compiled", async () => {
    const { controller, profiles } = await watching();
    const call = await controller.profiles.take();
    expect(call.request.path).toBe("10.0.0.1:80");
    const condition = { match: { case: "path" as const, value: { regex: "/a/\\d+" } } };
    call.send({ fullyQualifiedName: "web.ns.svc.cluster.local", routes: [{ condition, metricsLabels: { route: "a" } }] });
    call.send({ fullyQualifiedName: "two.ns.svc.cluster.local", opaqueProtocol: true });
    const first = (await profiles.next()) as Profile;
    expect(first).toMatchObject({ fqn: "web.ns.svc.cluster.local", opaque: false, retryBudget: null });
    expect(matchRoute(first.routes, "GET", "/a/12")?.labels).toEqual([["route", "a"]]);
    expect(matchRoute(first.routes, "GET", "/a/12/b")).toBeNull();
    expect(await profiles.next()).toMatchObject({ fqn: "two.ns.svc.cluster.local", opaque: true, routes: [] });
  });

  test.each([Code.InvalidArgument, Code.FailedPrecondition])("code %d first: there is none", async (code) => {
    const { controller, profiles } = await watching();
    (await controller.profiles.take()).fail(code);
    expect(await profiles.next()).toBeNull();
    expect(controller.profiles.count).toBe(1);
  });

  test("other errors are retried until there is one; a refusal then keeps it", async () => {
    const { controller, control, profiles } = await watching();
    (await controller.profiles.take()).fail(Code.Unavailable);
    (await controller.profiles.take()).fail(Code.NotFound);
    (await controller.profiles.take()).end();
    const call = await controller.profiles.take();
    call.send({ fullyQualifiedName: "web.ns.svc.cluster.local" });
    expect(await profiles.next()).toMatchObject({ fqn: "web.ns.svc.cluster.local" });
    call.fail(Code.InvalidArgument);
    await settled(controller, control);
    expect([profiles.waiting, controller.profiles.count]).toEqual([0, 4]);
  });
});

describe("networks and suffixes", () => {
  test.each([
    ["10.200.0.1", true],
    ["11.0.0.1", false],
    ["fd00::5", true],
    ["fe80::1", false],
  ])("%s: %p", async (ip, inside) => {
    const controller = await controllerIn();
    const { control } = world({
      env: { ...destinationAt(controller), LINKERD2_PROXY_DESTINATION_PROFILE_NETWORKS: "10.0.0.0/8, fd00::/8" },
    });
    expect(control.discovery.inProfileNetworks(ip)).toBe(inside);
  });

  test("the default suffix, on label boundaries", async () => {
    const controller = await controllerIn();
    const { discovery } = world({ env: destinationAt(controller) }).control;
    expect(
      ["web.ns.svc.cluster.local", "xsvc.cluster.local", "svc.cluster.local.", "example.com"].map((name) =>
        discovery.matchesProfileSuffix(name),
      ),
    ).toEqual([true, false, true, false]);
  });
});

const everywhere = [{ net: { ip: { ip: { case: "ipv4" as const, value: 0 } }, prefixLen: 0 }, except: [] }];
const server = (name: string, ...authorizations: string[]) => ({
  protocol: { kind: { case: "detect" as const, value: { timeout: { seconds: 10n } } } },
  labels: { name },
  authorizations: authorizations.map((authz) => ({
    networks: everywhere,
    labels: { name: authz },
    authentication: { permit: { case: "unauthenticated" as const, value: {} } },
  })),
});

describe("policies", () => {
  async function watching(extra: Record<string, string> = {}) {
    const controller = await controllerIn();
    const env = {
      ...destinationAt(controller),
      LINKERD2_PROXY_POLICY_SVC_ADDR: `localhost.:${controller.port}`,
      LINKERD2_PROXY_POLICY_WORKLOAD: "ns:web-0",
      LINKERD2_PROXY_INBOUND_PORTS: "8080",
      LINKERD2_PROXY_INBOUND_DEFAULT_POLICY: "all-unauthenticated",
      ...extra,
    };
    const { control, lines } = world({ env });
    const calls = [await controller.ports.take(), await controller.ports.take()];
    const call = calls.find(({ request }) => request.port === 8080);
    const handle = control.policies.lookup(8080);
    if (handle === "deny" || call === undefined) throw new Error("port 8080 is not watched");
    const changes = new Arrivals<ServerPolicy>();
    handle.onChange(changes.put);
    return { controller, control, call, handle, changes, lines, watched: calls.map(({ request }) => [request.workload, request.port]) };
  }

  test("the ports of the pod and the admin port are watched; the default stands until there is word", async () => {
    const { watched, handle, call, changes, control } = await watching();
    expect(watched.sort()).toEqual([
      ["ns:web-0", 4191],
      ["ns:web-0", 8080],
    ]);
    expect(handle.current()).toMatchObject({ name: "default:all-unauthenticated", protocol: { kind: "detect", timeoutMs: 10_000 } });
    call.send(server("web", "anyone"));
    const policy = await changes.next();
    expect(handle.current()).toBe(policy);
    expect([policy.name, policy.authorizations.map(({ name }) => name)]).toEqual(["web", ["anyone", "default:localhost"]]);
    // A port that nobody watches has the default.
    expect((control.policies.lookup(9999) as typeof handle).current().name).toBe("default:all-unauthenticated");
  });

  test("the same said again is no change", async () => {
    const { call, handle, changes } = await watching();
    call.send(server("web", "anyone"));
    const policy = await changes.next();
    call.send(server("web", "anyone"));
    call.send(server("web"));
    expect((await changes.next()).authorizations).toHaveLength(1);
    expect(handle.current()).not.toBe(policy);
    expect(changes.waiting).toBe(0);
  });

  test("a message that is not understood keeps the last one, and the watch goes on", async () => {
    const { call, handle, changes, lines } = await watching();
    call.send(server("web"));
    const policy = await changes.next();
    call.send({ ...server("web"), labels: {} });
    call.send({ ...server("web"), protocol: {} });
    call.send({ ...server("web", "x"), authorizations: [{ ...server("web", "x").authorizations[0], networks: [] }] });
    call.send(server("web", "again"));
    expect((await changes.next()).authorizations[0]?.name).toBe("again");
    expect(handle.current()).not.toBe(policy);
    expect(lines.filter((line) => line.includes("WARN")).join("")).toMatch(
      /labels\.name is missing.*protocol\.kind is missing.*networks is empty/s,
    );
  });

  test("the controller goes away: the last policy stays; it comes back: its word counts", async () => {
    const { controller, call, handle, changes } = await watching();
    call.send(server("web"));
    const policy = await changes.next();
    controller.cut();
    const calls = [await controller.ports.take(), await controller.ports.take()];
    expect(handle.current()).toBe(policy);
    calls.find(({ request }) => request.port === 8080)?.send(server("web", "back"));
    expect((await changes.next()).authorizations[0]?.name).toBe("back");
  });

  test("NotFound is asked again, InvalidArgument never", async () => {
    const { controller, control, call, handle } = await watching();
    call.fail(Code.NotFound);
    const again = await controller.ports.take();
    expect(again.request.port).toBe(8080);
    again.fail(Code.InvalidArgument);
    await settled(controller, control);
    expect(handle.current().name).toBe("default:all-unauthenticated");
    expect(controller.ports.count).toBe(3);
  });

  test("default deny: unknown ports are closed, known ones are opaque and closed to all", async () => {
    const { control, handle } = await watching({ LINKERD2_PROXY_INBOUND_DEFAULT_POLICY: "deny" });
    expect(control.policies.lookup(9999)).toBe("deny");
    expect(handle.current()).toMatchObject({ name: "default:deny", protocol: { kind: "opaque" }, authorizations: [] });
  });

  test("without a controller the environment decides", async () => {
    const controller = await controllerIn();
    const { policies } = world({
      env: {
        ...destinationAt(controller),
        LINKERD2_PROXY_INBOUND_PORTS_REQUIRE_IDENTITY: "8080",
        LINKERD2_PROXY_INBOUND_PORTS_DISABLE_PROTOCOL_DETECTION: "3306",
      },
    }).control;
    const of = (port: number) => (policies.lookup(port) as Exclude<ReturnType<typeof policies.lookup>, "deny">).current();
    expect([of(8080).name, of(3306).protocol.kind, of(80).name]).toEqual([
      "default:all-authenticated",
      "opaque",
      "default:all-unauthenticated",
    ]);
    expect(of(80)).toBe(of(80));
  });
});

describe("connections", () => {
  const NAME = "linkerd-destination.linkerd.serviceaccount.identity.linkerd.cluster.local";
  const OWN = "web.ns.serviceaccount.identity.linkerd.cluster.local";
  let ca: TestCa;
  beforeAll(async () => {
    ca = await createCa();
  });

  /** Pods by SRV, as cluster DNS has it for a headless name. */
  const pods = (...controllers: FakeController[]): Dns => ({
    srv: async () => controllers.map(({ port }) => ({ name: "127-0-0-1.dst.linkerd.svc.cluster.local", port })),
    a: () => Promise.reject(new Error("not asked")),
  });
  const named = (port = 8086) => ({
    LINKERD2_PROXY_DESTINATION_SVC_ADDR: `linkerd-dst-headless.linkerd.svc.cluster.local.:${port}`,
    LINKERD2_PROXY_DESTINATION_SVC_NAME: NAME,
    LINKERD2_PROXY_IDENTITY_DIR: "/nowhere",
    LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS: ca.pem,
    LINKERD2_PROXY_IDENTITY_LOCAL_NAME: OWN,
    LINKERD2_PROXY_IDENTITY_TOKEN_FILE: "/nowhere/token",
    LINKERD2_PROXY_IDENTITY_SVC_ADDR: "linkerd-identity-headless.linkerd.svc.cluster.local.:8080",
    LINKERD2_PROXY_IDENTITY_SVC_NAME: NAME,
  });
  const store = async (identity?: FakeIdentity): Promise<TlsStore> => new TlsStore(identity ?? new FakeIdentity(OWN, await ca.issue(OWN)));

  test("mutual TLS to a pod found by SRV, counted under the service's name", async () => {
    const controller = await controllerIn({ tls: await ca.issue(NAME) });
    const { control, registry } = world({ env: named(), dns: pods(controller), tls: await store() });
    const updates = new Arrivals<EndpointUpdate>();
    control.discovery.endpoints(PATH, updates.put);
    const call = await controller.gets.take();
    expect(controller.clients).toEqual([OWN]);
    call.send(add("10.0.0.1"));
    await updates.next();
    call.fail(Code.Unavailable);
    await controller.gets.take();
    const labels = `addr="linkerd-dst-headless.linkerd.svc.cluster.local:8086",tls="true",server_id="${NAME}"`;
    const page = registry.print(0);
    expect(page).toContain(`control_request_total{${labels}} 2\n`);
    expect(page).toContain(`control_response_total{${labels},status_code="200",classification="failure",grpc_status="14"} 1\n`);
    expect(page).toContain(`control_response_latency_ms_count{${labels},status_code="200"} 1\n`);
  });

  test("a certificate of another name is not spoken to", async () => {
    const impostor = await controllerIn({ tls: await ca.issue("other.ns.serviceaccount.identity.linkerd.cluster.local") });
    const { control, lines } = world({ env: named(), dns: pods(impostor), tls: await store() });
    control.discovery.endpoints(PATH, () => {});
    while (!lines.some((line) => line.includes("not reachable"))) await new Promise<void>((resolve) => setImmediate(resolve));
    expect(lines.join("")).toContain("TLS handshake with 127.0.0.1");
    expect(impostor.gets.count).toBe(0);
  });

  test("before the first certificate the client is anonymous; calls after it are made with it", async () => {
    const controller = await controllerIn({ tls: await ca.issue(NAME) });
    const credentials = await ca.issue(OWN);
    const identity = new FakeIdentity(OWN, credentials);
    let certified = false;
    const current = identity.current.bind(identity);
    (identity as { current(): unknown }).current = () => (certified ? current() : null);
    const { control } = world({ env: named(), dns: pods(controller), tls: await store(identity) });
    control.discovery.endpoints(PATH, () => {});
    const first = await controller.gets.take();
    expect(controller.clients).toEqual([null]);
    certified = true;
    control.discovery.endpoints("two.ns.svc.cluster.local:80", () => {});
    await controller.gets.take();
    expect(controller.clients).toEqual([null, OWN]);
    expect(first.signal.aborted).toBe(false);
  });

  test("several pods share the calls; one that dies is done without", async () => {
    const tls = await ca.issue(NAME);
    const [one, two] = [await controllerIn({ tls }), await controllerIn({ tls })];
    const { control } = world({ env: named(), dns: pods(one, two), tls: await store() });
    const open = (i: number) => control.discovery.endpoints(`s${i}.ns.svc.cluster.local:80`, () => {});
    open(0);
    while (one.connections + two.connections < 2) await new Promise<void>((resolve) => setImmediate(resolve));
    for (let i = 1; i < 40; i++) open(i);
    while (one.gets.count + two.gets.count < 40) await new Promise<void>((resolve) => setImmediate(resolve));
    expect(Math.min(one.gets.count, two.gets.count)).toBeGreaterThan(3);
    const lost = one.gets.count;
    const before = two.gets.count;
    await one.stop();
    while (two.gets.count < before + lost) await new Promise<void>((resolve) => setImmediate(resolve));
    expect(two.gets.count).toBe(before + lost);
  });

  test("a name that cannot be resolved yet is asked again", async () => {
    const controller = await controllerIn({ tls: await ca.issue(NAME) });
    let asked = 0;
    const dns: Dns = {
      srv: () => Promise.reject(new Error("NXDOMAIN")),
      a: async () => (++asked < 3 ? Promise.reject(new Error("NXDOMAIN")) : [{ address: "127.0.0.1", ttlMs: 5000 }]),
    };
    const { control, lines } = world({ env: named(controller.port), dns, tls: await store() });
    control.discovery.endpoints(PATH, () => {});
    await controller.gets.take();
    expect(asked).toBe(3);
    expect(lines.filter((line) => line.includes("cannot resolve linkerd-dst-headless"))).toHaveLength(1);
  });

  test("Certify: what goes out, what comes back, on a connection of its own", async () => {
    const controller = await controllerIn({ tls: await ca.issue(NAME) });
    const { control } = world({ env: named(), dns: pods(controller), tls: await store() });
    const answer = control.certify({ identity: OWN, token: Uint8Array.of(1, 2), certificateSigningRequest: Uint8Array.of(3) });
    const call = await controller.certifies.take();
    expect([call.request.identity, [...call.request.token], [...call.request.certificateSigningRequest]]).toEqual([OWN, [1, 2], [3]]);
    call.send({
      leafCertificate: Uint8Array.of(4),
      intermediateCertificates: [Uint8Array.of(5), Uint8Array.of(6)],
      validUntil: { seconds: 7n, nanos: 8 },
    });
    expect(await answer).toEqual({
      leafCertificate: Uint8Array.of(4),
      intermediateCertificates: [Uint8Array.of(5), Uint8Array.of(6)],
      validUntil: { seconds: 7n, nanos: 8 },
    });
    while (controller.connections > 0) await new Promise<void>((resolve) => setImmediate(resolve));
    const refused = control.certify({ identity: OWN, token: Uint8Array.of(1), certificateSigningRequest: Uint8Array.of(3) });
    (await controller.certifies.take()).fail(Code.FailedPrecondition, "not you");
    const error = await refused.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(GrpcError);
    expect(error).toMatchObject({ code: Code.FailedPrecondition, message: "FAILED_PRECONDITION: not you" });
  });

  test("without identity nothing is certified", async () => {
    const controller = await controllerIn();
    const { control } = world({ env: destinationAt(controller) });
    expect(control.certify({ identity: "", token: Uint8Array.of(), certificateSigningRequest: Uint8Array.of() })).rejects.toThrow(
      "identity is disabled",
    );
  });
});
