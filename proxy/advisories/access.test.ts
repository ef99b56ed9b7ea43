// Advisories about who may do what, on the built proxies (spec hardening §3, rows 22 to 24, 28, 29, 33): identities, certificates,
// the admin port, ports and ways around them.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { encodeTransportHeader, TRANSPORT_ALPN } from "#transport-header";
import type { Credentials } from "../contracts.ts";
import { canRunPods, identityOf, ProcessMesh, SERVICE_IP, SERVICE_NAME, until } from "../testing/processes.ts";
import { dialFrom, type PodServer, type PodSocket, requestFrom, serveIn } from "../testing/sockets.ts";
import { type Claim, Forger } from "./certificates.ts";

const it = test.if(canRunPods);
const OPEN = 8080;
/** For the victim alone, and for nobody without identity. */
const GUARDED = 8081;
/** The same, opaque. */
const GUARDED_BYTES = 6379;
/** Its endpoint is in the pod outside the mesh, where the test is the server. */
const ELSEWHERE = 8082;
const VICTIM = identityOf("a");
const ALPN = Buffer.concat([Buffer.of(TRANSPORT_ALPN.length), Buffer.from(TRANSPORT_ALPN)]);

let mesh: ProcessMesh;
let forger: Forger;
let claims: Claim[] = [];
const servers: PodServer[] = [];
/** Requests and connections that reached the application. */
let reached: string[] = [];

const ipv4 = (ip: string): number => ip.split(".").reduce((n, octet) => n * 256 + Number(octet), 0);

beforeAll(async () => {
  if (!canRunPods) return;
  mesh = await ProcessMesh.start({
    tag: `${process.pid}t`,
    ports: { [OPEN]: {}, [GUARDED]: {}, [GUARDED_BYTES]: { opaque: true }, [ELSEWHERE]: {} },
    env: () => ({ OUTBOUND_DISPATCH_TIMEOUT: "300ms" }),
  });
  mesh.pods.b.run("sysctl", "-qw", "net.ipv4.ip_forward=1");
  mesh.pods.b.run("iptables", "-w", "5", "-t", "nat", "-I", "PREROUTING", "-d", mesh.outsider.ip, "-j", "RETURN");
  const everywhere = [{ net: { ip: { ipv4: 0 }, prefixLen: 0 } }];
  const only = [
    { networks: everywhere, authentication: { meshTLS: { identities: { identities: [{ name: VICTIM }] } } }, labels: { name: "victim" } },
  ];
  mesh.write((file) => {
    const guarded = (port: number) => ({ ...(file.servers[port] as object), authorizations: only });
    const elsewhere = {
      add: {
        addrs: [{ addr: { ip: { ipv4: ipv4(mesh.outsider.ip) }, port: ELSEWHERE }, tlsIdentity: { dnsLikeIdentity: { name: VICTIM } } }],
      },
    };
    return {
      ...file,
      servers: { ...file.servers, [GUARDED]: guarded(GUARDED), [GUARDED_BYTES]: guarded(GUARDED_BYTES) },
      updates: { ...file.updates, [`${SERVICE_NAME}:${ELSEWHERE}`]: elsewhere },
    };
  });
  forger = await Forger.create(mesh.ca, VICTIM);
  claims = await forger.claims();
  for (const port of [OPEN, GUARDED, GUARDED_BYTES])
    servers.push(
      serveIn(mesh.pods.b, port, (connection) => {
        reached.push(`${port}`);
        connection.onData = () => void connection.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
      }),
    );
  await until("the policy is in force", async () => (await plain(GUARDED)) === "403");
  reached = [];
}, 30_000);

afterAll(() => {
  for (const server of servers) server.stop();
  mesh?.close();
});

const REQUEST = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

/** Status of a request, or `closed`. */
async function ask(connection: PodSocket, before?: Uint8Array): Promise<string> {
  await connection.write(Buffer.concat([before ?? Buffer.alloc(0), Buffer.from(REQUEST)]));
  await connection.until(/^HTTP\/1\.1 \d{3}/).catch(() => {});
  const status = /^HTTP\/1\.1 (\d{3})/.exec(connection.text())?.[1] ?? "closed";
  connection.reset();
  return status;
}

/** In clear text. A connection that is cut before its dialer hears that it was accepted is `closed`, too. */
const plain = (port: number): Promise<string> =>
  dialFrom(mesh.outsider, { host: mesh.pods.b.ip, port }).then(ask, (error: NodeJS.ErrnoException) => {
    if (error.code === "ECONNRESET") return "closed";
    throw error;
  });

/** With a certificate, or none, by mesh TLS; `no handshake` when there is none. */
async function meshed(port: number, credentials: Credentials | null, header?: number): Promise<string> {
  const connection = await dialFrom(mesh.outsider, {
    host: mesh.pods.b.ip,
    port: header === undefined ? port : 4143,
    tls: {
      serverName: identityOf("b"),
      credentials,
      ca: mesh.ca.pem,
      ...(header === undefined ? {} : { alpn: ALPN as unknown as string }),
    },
  }).catch(() => null);
  if (connection === null) return "no handshake";
  return ask(
    connection,
    header === undefined
      ? undefined
      : encodeTransportHeader({ port: header, name: null, protocol: port === GUARDED_BYTES ? null : "http1" }),
  );
}

describe("certificates", () => {
  it("the victim is let in, so that what follows means something", async () => {
    expect(await meshed(GUARDED, await forger.victim())).toBe("200");
    expect(reached).toEqual([`${GUARDED}`]);
  });

  const clients = [
    "CVE-2025-66220 (Envoy) NUL in a DNS name",
    "CVE-2025-66220 (Envoy) NUL before the name",
    "CVE-2026-47778 (Envoy) otherName in place of a DNS name",
    "CVE-2026-47778 (Envoy) URI in place of a DNS name",
    "CVE-2026-47778 (Envoy) two URIs",
    "CVE-2026-47778 (Envoy) e-mail address in place of a DNS name",
    "common name only",
    "common name beside another DNS name",
    "a wildcard",
    "a wildcard within a label",
    "a letter of another alphabet",
    "a longer name that ends so",
    "a longer name that begins so",
    "a name with a dot more",
    "CVE-2022-21657 (Envoy) another extended key usage",
    "an end that is past",
    "a beginning to come",
    "another root",
    "RUSTSEC-2026-0098 (webpki) name constraints that permit other names",
    "RUSTSEC-2026-0099 (webpki) name constraints that exclude the name",
    "an issuer that is no authority",
    "a path longer than allowed",
  ];
  it("the table has every claim", () => {
    expect(claims.map(({ name }) => name)).toEqual(clients);
  });

  for (const [i, name] of clients.entries()) {
    it(`${name}: of a client, is not the victim`, async () => {
      reached = [];
      expect(["no handshake", "closed", "403"]).toContain(await meshed(GUARDED, (claims[i] as Claim).credentials));
      expect(reached).toEqual([]);
    });

    it(`${name}: of a server, is not the victim`, async () => {
      const { status, requests } = await throughServer((claims[i] as Claim).credentials);
      expect(["502", "503", "504"]).toContain(status);
      expect(requests).toBe(0);
    });
  }

  /** A server outside the mesh shows these; what the near proxy makes of it. */
  async function throughServer(credentials: Credentials): Promise<{ status: string; requests: number }> {
    let requests = 0;
    const server = mesh.outsider.within(() =>
      Bun.listen({
        hostname: "0.0.0.0",
        port: ELSEWHERE,
        tls: { key: credentials.keyPem, cert: credentials.certChainPem },
        socket: {
          data(socket) {
            requests++;
            socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
          },
        },
      }),
    );
    try {
      const { status } = await requestFrom(mesh.pods.a, { host: SERVICE_IP, port: ELSEWHERE });
      return { status: String(status), requests };
    } finally {
      server.stop(true);
    }
  }

  it("the victim's own server is believed", async () => {
    await until("it is", async () => (await throughServer(await forger.victim())).status === "200");
  });

  it("RUSTSEC-2023-0052, RUSTSEC-2023-0053 (webpki) a hundred cross-signed intermediates: refused, at no cost worth telling", async () => {
    const credentials = await forger.crossSigned(100);
    const before = mesh.b.cpuMs;
    for (let i = 0; i < 5; i++) expect(["no handshake", "closed", "403"]).toContain(await meshed(GUARDED, credentials));
    // Five handshakes; a search of all paths would take minutes.
    expect(mesh.b.cpuMs - before).toBeLessThan(1000);
    expect(mesh.b.internalErrors).toEqual([]);
  });
});

describe("identities are data", () => {
  it("CVE-2026-39350 (Istio) a dot in an allowed identity stands for itself, a star for nothing", async () => {
    for (const name of [
      VICTIM.replace(".", "x"),
      VICTIM.replace("a.ns", "aans"),
      `${VICTIM}x`,
      "a.ns.serviceaccount.identity.linkerdxcluster.local",
    ]) {
      reached = [];
      expect(await meshed(GUARDED, await mesh.ca.issue(name))).toBe("403");
      expect(reached).toEqual([]);
    }
  });
});

describe("the admin port", () => {
  const reading = ["/metrics", "/ready", "/live"] as const;
  const paths = [
    ...reading.map((path) => ["GET", path, 200, 200] as const),
    ["GET", "/proxy-log-level", 403, 200],
    ["PUT", "/proxy-log-level", 403, 400],
    ["POST", "/shutdown", 403, 0],
    ["GET", "/shutdown", 405, 405],
    ["GET", "/tasks", 404, 404],
    ["GET", "/debug/pprof/", 404, 404],
    ["GET", "/env.json", 404, 404],
    ["GET", "/../metrics", 404, 404],
  ] as const;
  for (const [method, path, outside, inside] of paths)
    it(`CVE-2026-31838 (Istio) ${method} ${path}: ${outside} from outside, ${inside || "obeyed"} from inside`, async () => {
      const at = { port: 4191, path, method };
      expect((await requestFrom(mesh.outsider, { host: mesh.pods.b.ip, ...at })).status).toBe(outside);
      if (inside !== 0)
        expect((await requestFrom(mesh.pods.b, { host: "127.0.0.1", ...at, ...(method === "PUT" ? { body: "=" } : {}) })).status).toBe(
          inside,
        );
      expect(mesh.b.alive).toBe(true);
    });

  it("CVE-2024-40632 (Linkerd) /shutdown: not by GET, not from elsewhere, not by a page or a name that leads here", async () => {
    const here = { host: "127.0.0.1", port: 4191, path: "/shutdown" };
    const tried = [
      await requestFrom(mesh.pods.b, { ...here, method: "GET" }),
      await requestFrom(mesh.outsider, { ...here, host: mesh.pods.b.ip, method: "POST" }),
      await requestFrom(mesh.outsider, {
        ...here,
        host: mesh.pods.b.ip,
        method: "POST",
        headers: { host: "localhost", "x-forwarded-for": "127.0.0.1", forwarded: "for=127.0.0.1" },
      }),
      // From the application's own network, by way of the pod's address: that is not this machine's loopback.
      await requestFrom(mesh.pods.b, { ...here, host: mesh.pods.b.ip, method: "POST" }),
      await requestFrom(mesh.pods.b, { ...here, method: "POST", headers: { origin: "http://evil.example" } }),
      await requestFrom(mesh.pods.b, { ...here, method: "POST", headers: { host: "rebound.evil.example:4191" } }),
    ];
    expect(tried.map(({ status }) => status)).toEqual([405, 403, 403, 403, 403, 403]);
    expect(mesh.b.alive).toBe(true);
    expect(mesh.b.log).not.toContain("shutting down");
  });
});

describe("ports, and ways around their policy", () => {
  const stranger = () => mesh.ca.issue(identityOf("stranger"));
  /** Every way to a guarded port, for somebody who may not, and what it leads to. */
  const ways: readonly (readonly [string, () => Promise<string>, readonly string[]])[] = [
    ["the pod's address, without identity", () => plain(GUARDED), ["403"]],
    ["the pod's address, as somebody else", async () => meshed(GUARDED, await stranger()), ["403"]],
    ["the pod's address, TLS without a certificate", () => meshed(GUARDED, null), ["403"]],
    ["4143 with a transport header, as somebody else", async () => meshed(GUARDED, await stranger(), GUARDED), ["403", "closed"]],
    ["4143 with a transport header, without a certificate", () => meshed(GUARDED, null, GUARDED), ["closed", "no handshake"]],
    ["4143 in clear text", () => plain(4143), ["closed"]],
    ["an opaque port, without identity", () => plain(GUARDED_BYTES), ["closed"]],
    ["an opaque port, as somebody else by 4143", async () => meshed(GUARDED_BYTES, await stranger(), GUARDED_BYTES), ["closed"]],
    [
      "4143 with a header that names 4143",
      async () => meshed(OPEN, await stranger(), 4143),
      ["closed", "no handshake", "403", "502", "500"],
    ],
    [
      "4143 with a header that names the admin port's shutdown",
      async () => meshed(OPEN, await stranger(), 4140),
      ["closed", "403", "502", "504"],
    ],
  ];
  for (const [name, way, words] of ways)
    it(`direct access and opaque ports (no advisory number): ${name}`, async () => {
      reached = [];
      expect(words).toContain(await way());
      expect(reached).toEqual([]);
    });

  it("direct access and opaque ports (no advisory number): whoever may, may by every way", async () => {
    const victim = await forger.victim();
    expect(await meshed(GUARDED, victim)).toBe("200");
    expect(await meshed(GUARDED, victim, GUARDED)).toBe("200");
    expect(await meshed(GUARDED_BYTES, victim, GUARDED_BYTES)).toBe("200");
    expect((await requestFrom(mesh.pods.a, { host: SERVICE_IP, port: GUARDED })).status).toBe(200);
    expect((await requestFrom(mesh.pods.a, { host: SERVICE_IP, port: GUARDED_BYTES })).status).toBe(200);
    // The application's own calls by loopback meet no proxy.
    expect((await requestFrom(mesh.pods.b, { host: "127.0.0.1", port: GUARDED })).status).toBe(200);
  });
});

it("nothing was unhandled", () => {
  for (const proxy of [mesh.a, mesh.b]) {
    expect(proxy.alive).toBe(true);
    expect(proxy.internalErrors).toEqual([]);
  }
});
