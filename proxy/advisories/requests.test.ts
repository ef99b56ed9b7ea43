// Advisories about what a request says, on the built proxies (spec hardening §3, rows 10 to 22, 30, 34, 35): framing, paths, names,
// headers of the mesh, labels and log lines made of them. The application tells what really reached it.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { concat, data, frame, Peer, rst, settings, windowUpdate } from "../../packages/http2/testing/wire.ts";
import { canRunPods, identityOf, ProcessMesh, SERVICE_IP, SERVICE_NAME, until } from "../testing/processes.ts";
import { dialFrom, type PodServer, type PodSocket, serveIn } from "../testing/sockets.ts";
import { opening } from "./attacks.ts";
import { pathSpellings } from "./paths.ts";

const it = test.if(canRunPods);
const PORT = 8080;
const UPGRADE = 8081;

let mesh: ProcessMesh;
const servers: PodServer[] = [];
/** Heads that reached the application since a test began, and every byte. */
let heads: string[] = [];
let bytes = "";
const upgrades: PodSocket[] = [];

beforeAll(async () => {
  if (!canRunPods) return;
  mesh = await ProcessMesh.start({ tag: `${process.pid}q`, ports: { [PORT]: {}, [UPGRADE]: {} } });
  const collect = (answer: (connection: PodSocket, head: string) => void) => (connection: PodSocket) => {
    let at = 0;
    connection.onData = (chunk) => {
      bytes += Buffer.from(chunk).toString("latin1");
      for (let end = connection.text().indexOf("\r\n\r\n", at); end >= 0; end = connection.text().indexOf("\r\n\r\n", at)) {
        const head = connection.text().slice(at, end);
        at = end + 4;
        heads.push(head);
        answer(connection, head);
      }
    };
  };
  servers.push(
    serveIn(
      mesh.pods.b,
      PORT,
      collect((connection) => void connection.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")),
    ),
    serveIn(
      mesh.pods.b,
      UPGRADE,
      collect((connection) => void upgrades.push(connection)),
    ),
  );
}, 30_000);

afterAll(() => {
  for (const server of servers) server.stop();
  mesh?.close();
});

function begin(): void {
  heads = [];
  bytes = "";
}

const outside = (port = PORT): Promise<PodSocket> => dialFrom(mesh.outsider, { host: mesh.pods.b.ip, port });

/** Sends bytes as a client without identity, and waits for the end or for the first answer. */
async function send(text: string, port = PORT): Promise<string> {
  begin();
  const connection = await outside(port);
  await connection.write(text);
  await connection.until((received) => received.includes("\r\n\r\n")).catch(() => {});
  const answer = connection.text();
  connection.reset();
  return answer;
}

/** What sent these bytes gets 400, its connection ends, and the application has seen no request that is whole. */
async function refused(text: string): Promise<void> {
  begin();
  const connection = await outside();
  await connection.write(text);
  await connection.closed;
  expect(connection.text()).toStartWith("HTTP/1.1 400 ");
  expect(heads.filter((head) => head.includes("admin"))).toEqual([]);
  expect(bytes).not.toContain("/admin");
}

const INNER = "GET /admin HTTP/1.1\r\nhost: a\r\n\r\n";
const post = (fields: string, body: string): string => `POST / HTTP/1.1\r\nhost: a\r\n${fields}\r\n\r\n${body}`;

describe("framing", () => {
  const framing: readonly (readonly [string, string])[] = [
    [
      "RUSTSEC-2021-0020 (hyper) several transfer-encodings",
      post("transfer-encoding: chunked\r\ntransfer-encoding: cow", `0\r\n\r\n${INNER}`),
    ],
    ["RUSTSEC-2021-0078 (hyper) a sign in content-length", post("content-length: +3", `abc${INNER}`)],
    [
      "RUSTSEC-2021-0079 (hyper) a chunk size beyond 64 bits",
      post("transfer-encoding: chunked", `f0000000000000003\r\nabc\r\n0\r\n\r\n${INNER}`),
    ],
    [
      "RUSTSEC-2020-0008 (hyper) content-length and transfer-encoding",
      post("content-length: 5\r\ntransfer-encoding: chunked", `0\r\n\r\n${INNER}`),
    ],
    ["CVE-2025-23167 (Node) a head ended by CR LF CR X", `GET / HTTP/1.1\r\nhost: a\r\n\rX${INNER}`],
    ["CVE-2024-27982 (Node) space before content-length", `POST / HTTP/1.1\r\nhost: a\r\n content-length: ${INNER.length}\r\n\r\n${INNER}`],
    ["CVE-2025-55315 (Kestrel) LF in a chunk extension", post("transfer-encoding: chunked", `2;\nxx\r\n0\r\n\r\n${INNER}`)],
    ["CVE-2025-55315 (Kestrel) CR in a chunk extension", post("transfer-encoding: chunked", `2;\rxx\r\n0\r\n\r\n${INNER}`)],
    [
      "CVE-2026-2835 (pingora) transfer-encoding in HTTP/1.0",
      `POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n${INNER}`,
    ],
  ];
  for (const [name, text] of framing) it(name, () => refused(text));

  it("CVE-2026-2835 (pingora) an HTTP/1.0 body without length is none", async () => {
    await send(`POST / HTTP/1.0\r\nhost: a\r\n\r\n${INNER}`);
    expect(heads.map((head) => head.split(" ").slice(0, 2).join(" "))).toEqual(["POST /"]);
    expect(bytes).not.toContain("/admin");
  });

  it("CVE-2026-2833 (pingora), CVE-2025-64763 (Envoy) bytes behind Upgrade wait for 101", async () => {
    begin();
    const connection = await outside(UPGRADE);
    await connection.write(`GET /ws HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n${INNER}`);
    await until("the request has come", () => upgrades.length === 1);
    const app = upgrades[0] as PodSocket;
    expect(bytes).not.toContain("/admin");
    await app.write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
    await until("the bytes of the tunnel", () => bytes.endsWith(INNER));
    connection.reset();
    upgrades.length = 0;
  });

  it("CVE-2026-2833 (pingora) bytes behind Upgrade that is declined are a request of their own, seen by the proxy", async () => {
    begin();
    const connection = await outside(UPGRADE);
    await connection.write(`GET /ws HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n${INNER}`);
    await until("the request has come", () => upgrades.length === 1);
    expect(bytes).not.toContain("/admin");
    await (upgrades[0] as PodSocket).write("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
    await connection.until("403");
    await until("what follows is told apart", () => heads.length === 2 || connection.ended);
    // With the marks of a request that the proxy has read and written.
    if (heads.length === 2) expect(heads[1]).toMatch(/^GET \/admin HTTP\/1\.1\r\n/);
    expect((await mesh.b.metrics()).sum("request_total", { target_port: String(UPGRADE) })).toBe(1 + heads.length);
    connection.reset();
    upgrades.length = 0;
  });
});

describe("HTTP/2 to HTTP/1 (CVE-2021-21295 class)", () => {
  const pseudo = [":method", "POST", ":scheme", "http", ":authority", "a.test", ":path", "/"];
  const replaced = (name: string, value: string): string[] => pseudo.map((text, i) => (pseudo[i - 1] === name ? value : text));
  /** Fields of a request that a meshed client says was HTTP/1. */
  const cases: readonly (readonly [string, string[]])[] = [
    ["CR LF in a value", [...pseudo, "x", "a\r\nhost: b"]],
    ["LF in a value", [...pseudo, "x", "a\nb: c"]],
    ["NUL in a value", [...pseudo, "x", "a\0b"]],
    ["CR LF in a name", [...pseudo, "x: y\r\nz", "1"]],
    ["a colon in a name", [...pseudo, "x:", "1"]],
    ["a space in :path", replaced(":path", "/ HTTP/1.1\r\nhost: b\r\n\r\nGET /admin")],
    ["a blank in :path", replaced(":path", "/a b")],
    ["CR LF in :authority", replaced(":authority", "a\r\nx: y")],
    ["CR LF in :method", replaced(":method", "GET / HTTP/1.1\r\n\r\nGET")],
    ["transfer-encoding", [...pseudo, "transfer-encoding", "chunked"]],
    ["connection", [...pseudo, "connection", "upgrade"]],
    ["two content-lengths", [...pseudo, "content-length", "0", "content-length", "5"]],
    ["an upper-case name", [...pseudo, "Transfer-Encoding", "chunked"]],
    ["Host against :authority", [...pseudo, "host", "other.test"]],
  ];
  for (const [name, fields] of cases)
    it(`CVE-2021-21295 ${name}: an error of the stream, nothing for the application`, async () => {
      begin();
      const connection = await dialFrom(mesh.outsider, {
        host: mesh.pods.b.ip,
        port: PORT,
        tls: { serverName: identityOf("b"), credentials: await mesh.ca.issue(identityOf("hostile")), ca: mesh.ca.pem },
      });
      const peer = new Peer(false);
      let lines = "";
      connection.onData = (chunk) => {
        lines += `${peer.read(chunk).join("\n")}\n`;
      };
      await connection.write(concat(opening(), peer.headers(1, [...fields, "l5d-orig-proto", "HTTP/1.1"], true)));
      await until(
        "an answer",
        () => /RST_STREAM 1|HEADERS 1 :status=400|GOAWAY/.test(lines) || connection.ended,
        5000,
        () => lines,
      );
      expect(heads).toEqual([]);
      // The connection is as good as before, unless it was ended.
      connection.reset();
    });

  it("CVE-2021-21295 content beyond its length ends the stream, and only what was promised goes on", async () => {
    begin();
    const connection = await dialFrom(mesh.outsider, {
      host: mesh.pods.b.ip,
      port: PORT,
      tls: { serverName: identityOf("b"), credentials: await mesh.ca.issue(identityOf("hostile")), ca: mesh.ca.pem },
    });
    const peer = new Peer(false);
    let lines = "";
    connection.onData = (chunk) => {
      lines += `${peer.read(chunk).join("\n")}\n`;
    };
    await connection.write(
      concat(opening(), peer.headers(1, [...pseudo, "content-length", "3", "l5d-orig-proto", "HTTP/1.1"]), data(1, `abc${INNER}`, true)),
    );
    await until(
      "an answer",
      () => /RST_STREAM 1|:status=400|GOAWAY/.test(lines) || connection.ended,
      5000,
      () => lines,
    );
    expect(bytes).not.toContain("/admin");
    connection.reset();
  });
});

it("CVE-2025-59465 any frames whatever: the process lives, nothing is unhandled", async () => {
  let seed = 20261125;
  const random = (n: number): number => {
    seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
    return seed % n;
  };
  for (let round = 0; round < 150; round++) {
    const connection = await outside();
    const peer = new Peer(false);
    const id = (): number => 1 + 2 * random(6);
    const kinds = [
      () => peer.get(id()),
      () => peer.post(id(), "content-length", String(random(4))),
      () => data(id(), "x".repeat(random(5)), random(2) === 0),
      () => rst(id(), random(14)),
      () => windowUpdate(random(2) === 0 ? 0 : id(), random(3) === 0 ? 0x7fffffff : random(9)),
      () => settings(random(8), random(3) === 0 ? 0xffffffff : random(100_000)),
      () =>
        frame(
          random(11),
          random(256),
          random(4) * random(4),
          Array.from({ length: random(40) }, () => random(256)),
        ),
    ];
    const frames = Array.from({ length: 20 }, () => (kinds[random(kinds.length)] as () => Uint8Array)());
    await connection.write(concat(opening(), ...frames));
    if (round % 3 === 0) await connection.until((text) => text.length > 20).catch(() => {});
    connection.reset();
  }
  expect(await send("GET /after HTTP/1.1\r\nhost: a\r\n\r\n")).toStartWith("HTTP/1.1 200 ");
  expect(mesh.b.alive).toBe(true);
  expect(mesh.b.internalErrors).toEqual([]);
});

describe("names that policy and routes look at", () => {
  it("CVE-2021-31920, CVE-2021-29492, CVE-2021-39156, CVE-2020-8595 the path that is matched is the path that is forwarded, byte by byte", async () => {
    const route = (name: string, regex: string) => ({ condition: { path: { regex } }, metricsLabels: { route: name } });
    mesh.write((file) => ({
      ...file,
      profiles: {
        ...file.profiles,
        [`${SERVICE_IP}:${PORT}`]: { fullyQualifiedName: SERVICE_NAME, routes: [route("admin", "/admin")] },
      },
    }));
    const matched = async (): Promise<number> => (await mesh.a.metrics()).sum("route_request_total", { rt_route: "admin" });
    const ask = async (path: string): Promise<string> => {
      begin();
      const connection = await dialFrom(mesh.pods.a, { host: SERVICE_IP, port: PORT });
      await connection.write(`GET ${path} HTTP/1.1\r\nhost: a\r\n\r\n`);
      await connection.until(/^HTTP\/1\.1 \d{3}/).catch(() => {});
      connection.reset();
      return connection.text().slice(9, 12);
    };
    await until("the route is known", async () => {
      await ask("/admin");
      return (await matched()) > 0;
    });
    const spellings = pathSpellings("admin");
    expect(spellings.length).toBeGreaterThanOrEqual(60);
    for (const path of spellings) {
      const before = await matched();
      const status = await ask(path);
      if (status === "400") {
        expect(heads).toEqual([]);
        continue;
      }
      expect(status).toBe("200");
      expect(heads.map((head) => head.split(" ")[1])).toEqual([path]);
      // A query is no part of the path; everything else is.
      expect([path, (await matched()) - before]).toEqual([path, path.split("?")[0] === "/admin" ? 1 : 0]);
    }
    // A fragment is never part of a request target.
    expect(await ask("/admin#x")).toBe("400");
    mesh.write();
  }, 30_000);

  it("CVE-2021-39155, ISTIO-SECURITY-2021-008 spellings of a host are one name: case, port, final dot", async () => {
    const seen = new Set<string>();
    for (const host of ["secret.com", "SECRET.com", "secret.com:80", "secret.com."]) {
      await send(`GET / HTTP/1.1\r\nhost: ${host}\r\n\r\n`);
      // The application gets what the client wrote; nobody decides by it.
      seen.add((/host: (.*)/i.exec(heads[0] ?? "")?.[1] ?? "").toLowerCase());
    }
    expect([...seen].sort()).toEqual(["secret.com", "secret.com.", "secret.com:80"]);
    // Two names in one request are none.
    expect(await send("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n")).toStartWith("HTTP/1.1 400 ");
    expect(heads).toEqual([]);
  });
});

describe("headers of the mesh", () => {
  const FORGED = ["l5d-client-id", "L5D-Client-Id", "l5d-remote-ip", "l5d-proxy-error", "l5d-proxy-connection"];

  it("CVE-2023-27487, CVE-2024-7207, ISTIO-SECURITY-2024-006 identity and control headers of a client without identity are removed", async () => {
    for (const name of FORGED) {
      await send(`GET / HTTP/1.1\r\nhost: a\r\n${name}: forged\r\n${name}: again\r\n\r\n`);
      expect(heads.length).toBe(1);
      if (/client-id/i.test(name)) expect(heads[0]).not.toMatch(/forged|again/);
    }
    // Nor can it be had by naming it in Connection, or hiding it behind another case or an underscore.
    await send("GET / HTTP/1.1\r\nhost: a\r\nconnection: l5d-client-id\r\nl5d-client-id: forged\r\n\r\n");
    expect(heads[0]).not.toContain("forged");
  });

  it("CVE-2021-32777, CVE-2026-26308 repeated headers stay apart; identity is told once, by the proxy", async () => {
    begin();
    const connection = await dialFrom(mesh.pods.a, { host: SERVICE_IP, port: PORT });
    await connection.write("GET / HTTP/1.1\r\nhost: a\r\nx: 1\r\nx: 2\r\nl5d-client-id: forged\r\nl5d-client-id: forged\r\n\r\n");
    await connection.until("ok");
    connection.reset();
    const lines = (heads[0] ?? "").split("\r\n");
    expect(lines.filter((line) => line.startsWith("x: "))).toEqual(["x: 1", "x: 2"]);
    expect(lines.filter((line) => /^l5d-client-id/i.test(line))).toEqual([`l5d-client-id: ${identityOf("a")}`]);
  });

  it("CVE-2023-27487 l5d-dst-override leads nowhere outside ingress mode", async () => {
    begin();
    const connection = await dialFrom(mesh.pods.a, { host: SERVICE_IP, port: PORT });
    await connection.write(`GET / HTTP/1.1\r\nhost: a\r\nl5d-dst-override: elsewhere.ns.svc.cluster.local:${UPGRADE}\r\n\r\n`);
    await connection.until("ok");
    connection.reset();
    expect(heads.length).toBe(1);
    expect(upgrades).toEqual([]);
  });
});

it("CVE-2025-43915 (Linkerd) names that a client chooses do not grow the metrics beyond their bound", async () => {
  const hosts = 3000;
  const each = hosts / 10;
  const { rssBytes } = mesh.b;
  await Promise.all(
    Array.from({ length: 10 }, async (_, i) => {
      const connection = await outside();
      let answered = 0;
      connection.onData = (chunk) => {
        answered += Buffer.from(chunk).toString("latin1").split("HTTP/1.1 200").length - 1;
      };
      let text = "";
      for (let n = 0; n < each; n++) text += `GET /path-${i}-${n} HTTP/1.1\r\nhost: host-${i}-${n}.test\r\n\r\n`;
      void connection.write(text);
      await until("all are answered", () => answered >= each, 30_000);
      connection.reset();
    }),
  );
  const metrics = await mesh.b.metrics();
  // Some are shown by their name; all are counted.
  expect(metrics.series("request_total")).toBeLessThan(hosts / 5);
  expect(metrics.sum("request_total", { target_port: String(PORT) })).toBeGreaterThanOrEqual(hosts);
  expect((await mesh.b.admin("/metrics")).body).not.toContain("path-");
  expect(mesh.b.rssBytes - rssBytes).toBeLessThan(60 << 20);
}, 60_000);

it("ISTIO-SECURITY-2024-006 (Envoy) a server name with line breaks and escapes forges no log line and no metric", async () => {
  const name = 'a\r\n[9999.0s] ERROR forged\x1b[31m"}\nforged_total 1\n';
  const connection = await outside();
  await connection.write(clientHello(name));
  await Promise.race([connection.closed, Bun.sleep(200)]);
  connection.reset();
  const dots = await outside();
  await dots.write(clientHello("x".repeat(300)));
  await Promise.race([dots.closed, Bun.sleep(200)]);
  dots.reset();
  expect(mesh.b.log.split("\n").filter((line) => line.startsWith("[9999") || line.includes("\x1b"))).toEqual([]);
  const page = (await mesh.b.admin("/metrics")).body;
  expect(page.split("\n").filter((line) => line.startsWith("forged") || line.includes("\x1b"))).toEqual([]);
  expect(mesh.b.internalErrors).toEqual([]);
});

/** A ClientHello with nothing but a server name (RFC 8446 §4.1.2, RFC 6066 §3). */
function clientHello(name: string): Buffer {
  const u16 = (n: number): Buffer => Buffer.of(n >> 8, n & 255);
  const host = Buffer.from(name, "latin1");
  const entry = Buffer.concat([Buffer.of(0), u16(host.length), host]);
  const list = Buffer.concat([u16(entry.length), entry]);
  const extension = Buffer.concat([u16(0), u16(list.length), list]);
  const extensions = Buffer.concat([u16(extension.length), extension]);
  const body = Buffer.concat([u16(0x0303), Buffer.alloc(32, 7), Buffer.of(0), u16(2), u16(0x1301), Buffer.of(1, 0), extensions]);
  const handshake = Buffer.concat([Buffer.of(1, 0), u16(body.length), body]);
  return Buffer.concat([Buffer.of(22, 3, 1), u16(handshake.length), handshake]);
}

it("nothing is left, nothing was unhandled", async () => {
  for (const proxy of [mesh.a, mesh.b]) {
    expect(proxy.alive).toBe(true);
    expect(proxy.internalErrors).toEqual([]);
  }
  await until(
    "connections are gone",
    async () => (await mesh.b.metrics()).sum("tcp_open_connections", { peer: "src", target_port: String(PORT) }) <= 2,
  );
});
