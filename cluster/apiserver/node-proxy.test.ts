import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { NodeProxy } from "./node-proxy.ts";
import { startTestServer, type TestServer } from "./testing.ts";

const folder = mkdtempSync(join(tmpdir(), "agent-"));
let api: TestServer;
let agent: ReturnType<typeof Bun.listen>;
let heads: string[] = [];
const waiting = 'container "c" in pod "waiting" is waiting';

/** An agent of raw bytes: logs get a chunked answer, upgrades an echo in capitals. */
beforeAll(async () => {
  const unix = join(folder, "agent.sock");
  agent = Bun.listen<{ upgraded: boolean }>({
    unix,
    socket: {
      open(socket) {
        socket.data = { upgraded: false };
      },
      data(socket, bytes) {
        const text = bytes.toString();
        if (socket.data.upgraded) {
          socket.write(text.toUpperCase());
          if (text.includes("bye")) socket.end();
          return;
        }
        heads.push(text.split("\r\n\r\n")[0] as string);
        const [, path = ""] = text.split(" ");
        if (path.startsWith("/containerLogs/")) {
          if (path.includes("/waiting/")) socket.write(`HTTP/1.1 400 Bad Request\r\ncontent-length: ${waiting.length}\r\n\r\n${waiting}`);
          else
            socket.write(
              "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n6\r\nline1\n\r\n6\r\nline2\n\r\n0\r\n\r\n",
            );
          return;
        }
        socket.data.upgraded = true;
        socket.write("HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: SPDY/3.1\r\n\r\n");
        const rest = text.slice(text.indexOf("\r\n\r\n") + 4);
        if (rest !== "") socket.write(rest.toUpperCase());
      },
    },
  });
  api = await startTestServer({ nodeAgent: `unix:${unix}` });
  await api.create({ apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "default", namespace: "default" } });
  for (const name of ["web", "waiting"])
    await api.create({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace: "default" },
      spec: { nodeName: "local", containers: [{ name: "c", image: "x" }, ...(name === "web" ? [{ name: "d", image: "x" }] : [])] },
    });
});
afterAll(() => {
  agent.stop(true);
  api.close();
  rmSync(folder, { recursive: true, force: true });
});
const pods = "/api/v1/namespaces/default/pods";

test("logs stream through; the agent's refusals become Status objects", async () => {
  const reply = await api.send("GET", `${pods}/web/log?container=c&tailLines=5&timestamps=true`);
  expect(reply.body).toBe("line1\nline2\n");
  expect(heads.at(-1)).toStartWith("GET /containerLogs/default/web/c?tailLines=5&timestamps=true HTTP/1.1");
  expect((await api.send("GET", `${pods}/waiting/log`)).body).toMatchObject({ code: 400, reason: "BadRequest", message: waiting });
  expect((await api.send("GET", `${pods}/web/log`)).body.message).toBe(
    "a container name must be specified for pod web, choose one of: [c d]",
  );
  expect((await api.send("GET", `${pods}/web/log?container=z`)).body.message).toBe("container z is not valid for pod web");
  expect((await api.send("GET", `${pods}/none/log`)).status).toBe(404);
});

test("an upgrade is one byte stream in both directions, without the client's credentials", async () => {
  const { cert, key } = api.pki.client("admin");
  let received = "";
  const closed = Promise.withResolvers<void>();
  await Bun.connect({
    hostname: "127.0.0.1",
    port: api.server.port,
    tls: { ca: api.pki.ca, cert, key, serverName: "localhost" } as never,
    socket: {
      handshake(socket) {
        socket.write(
          `POST ${pods}/web/exec?container=d&command=sh&command=-c&stdin=true&stdout=true HTTP/1.1\r\nhost: x\r\nauthorization: Bearer secret\r\nconnection: Upgrade\r\nupgrade: SPDY/3.1\r\nx-stream-protocol-version: v4.channel.k8s.io\r\n\r\nhello`,
        );
      },
      data(socket, bytes) {
        received += bytes.toString();
        if (received.endsWith("HELLO")) socket.write("bye");
      },
      close: () => closed.resolve(),
    },
  });
  // A certificate is enough; the token of the head is not looked at.
  await closed.promise;
  expect(received).toStartWith("HTTP/1.1 101 Switching Protocols\r\n");
  expect(received).toEndWith("HELLOBYE");
  const head = heads.at(-1) as string;
  expect(head).toStartWith("POST /exec/default/web/d?command=sh&command=-c&stdin=true&stdout=true&input=1&output=1 HTTP/1.1");
  expect(head).toContain("x-stream-protocol-version: v4.channel.k8s.io");
  expect(head).not.toContain("secret");
});

test("who may not, and what is no upgrade, never reaches the agent", async () => {
  heads = [];
  const headers = { "impersonate-user": "eve" };
  expect((await api.send("POST", `${pods}/web/exec?container=c&command=ls`, { headers })).body.message).toBe(
    'pods "web" is forbidden: User "eve" cannot create resource "pods/exec" in API group "" in the namespace "default"',
  );
  expect((await api.send("POST", `${pods}/web/exec?container=c&command=ls`)).body.message).toBe("Upgrade request required");
  expect((await api.send("GET", `${pods}/web/log?container=c`, { headers })).status).toBe(403);
  expect(heads).toEqual([]);
});

test("a malformed address is refused at the start, an absent agent when asked", async () => {
  expect(() => new NodeProxy("nowhere")).toThrow('node agent address "nowhere" is neither unix:/path nor host:port');
  const lonely = await startTestServer({ nodeAgent: "unix:/nonexistent/agent.sock" });
  try {
    await lonely.create({ apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "default", namespace: "default" } });
    await lonely.create({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "p", namespace: "default" },
      spec: { nodeName: "n", containers: [{ name: "c", image: "x" }] },
    });
    expect((await lonely.send("GET", `${pods}/p/log`)).body).toMatchObject({ code: 500, reason: "InternalError" });
  } finally {
    lonely.close();
  }
});
