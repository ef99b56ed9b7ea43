// The clients of the hostile server: the engine by itself, and applications behind the proxy's two sides.
import { ErrorCode, RequestHead, type ResponseIncoming, type StreamError } from "#http";
import { Http2Client } from "#http2";
import { dial } from "../../packages/http2/testing/loopback.ts";
import { createCa } from "../../proxy/testing/certificates.ts";
import { endpoint, FakeIdentity, profile } from "../../proxy/testing/fakes.ts";
import { Frames, FrameType, frame, u32 } from "../../proxy/testing/frames.ts";
import { NAME, SERVICE } from "../../proxy/testing/mesh.ts";
import { allowAll } from "../../proxy/testing/policies.ts";
import { TestProxy } from "../../proxy/testing/proxies.ts";
import { dialRaw, type Raw, type RawServer, serveRaw } from "../../proxy/testing/wire.ts";
import { block, data, FrameClient, headers } from "../smuggling/frames.ts";
import { within } from "../smuggling/recorder.ts";
import { readResponses } from "../smuggling/strict-reader.ts";
import type { Target } from "../suite.ts";
import type { ServerTls } from "./server.ts";

export type Started = {
  /** `200 ok` (status and content), `502`, `RST CANCEL`, `200 cut`. */
  readonly outcome: Promise<string>;
  /** The client gives up. */
  cancel(): void;
};

export type Door = Target & {
  readonly client: "engine" | "http1" | "http2";
  /** What the hostile server speaks. */
  readonly server: "http1" | "http2";
  /** The hostile server is a meshed peer. */
  readonly tls: ServerTls | null;
  /** The server from now on. */
  point(port: number): void;
  start(method: string, body: string): Promise<Started>;
  /** Someone else's request, to a server that is well; rejects when it is harmed. */
  bystander(): Promise<void>;
  /** What is in progress; 0 when nothing is. */
  inFlight(): number;
};

/** The engine's client on a socket. */
export async function engine(): Promise<Door> {
  let port = 0;
  let client: Http2Client | null = null;
  return {
    name: "engine",
    what: "the HTTP/2 client engine over plain TCP",
    port: 0,
    client: "engine",
    server: "http2",
    tls: null,
    point(to) {
      port = to;
      client?.receiveClose("");
      client = null;
    },
    async start(method, body) {
      if (client === null || client.retired || client.dead) client = (await dial(port, (host) => new Http2Client({ host }))).engine;
      const outcome = Promise.withResolvers<string>();
      let status = 0;
      let content = "";
      const whole = (): void => outcome.resolve(`${status} ${content}`);
      const incoming: ResponseIncoming = {
        onInformational() {},
        onResponse(head, end) {
          status = head.status;
          if (end) whole();
        },
        onData(chunk, end) {
          content += Buffer.from(chunk).toString("latin1");
          if (end) whole();
        },
        onTrailers: whole,
        onWritten() {},
        onReset: (error) => outcome.resolve(describe(error, status)),
      };
      const head = new RequestHead({ version: "HTTP/2", method, form: "origin", scheme: "http", authority: "a", path: "/", fields: [] });
      const stream = client.request(head, body === "", incoming);
      if (body !== "") stream.write(Buffer.from(body, "latin1"), true);
      return { outcome: outcome.promise, cancel: () => stream.reset(8) };
    },
    async bystander() {},
    inFlight: () => client?.activeStreams ?? 0,
    stop() {
      client?.receiveClose("");
    },
  };
}

const codeName = (code: number): string => Object.entries(ErrorCode).find(([, own]) => own === code)?.[0] ?? String(code);

function describe(error: StreamError, status: number): string {
  if (status !== 0) return `${status} cut`;
  switch (error.kind) {
    case "reset":
      return `RST ${codeName(error.code)}`;
    case "refused":
      return "refused";
    case "closed":
    case "protocol":
      return "502";
    default:
      return error satisfies never;
  }
}

async function startHttp1(port: number, method: string, body: string): Promise<Started> {
  const client = await within(dialRaw(port), "the connection");
  const length = body === "" ? "" : `Content-Length: ${body.length}\r\n`;
  client.write(`${method} / HTTP/1.1\r\nHost: a\r\n${length}\r\n${body}`);
  const final = () => readResponses(client.text(), [method]).messages.find(({ start }) => !/^.{9}1/.test(start));
  const outcome = Promise.race([client.until(() => final()?.complete === true).catch(() => ""), client.closed]).then(() => {
    const { problem } = readResponses(client.text(), [method]);
    const response = final();
    client.socket.destroy();
    if (problem !== null) return problem;
    if (response === undefined) return "ended";
    const status = response.start.slice(9, 12);
    if (!response.complete) return `${status} cut`;
    return status === "502" || status === "504" ? status : `${status} ${response.body}`;
  });
  return { outcome, cancel: () => void client.socket.resetAndDestroy() };
}

async function startHttp2(port: number, method: string, body: string): Promise<Started> {
  const raw = await within(dialRaw(port), "the connection");
  const client = new FrameClient(raw);
  const fields = [
    [":method", method],
    [":scheme", "http"],
    [":authority", "a"],
    [":path", "/"],
  ] as const;
  client.write(headers(1, block(fields), body === ""));
  if (body !== "") void send(client, body);
  const isHead = (line: string): boolean => /^HEADERS 1 :status=[2-5]/.test(line);
  const isEnd = (line: string): boolean =>
    (/^(HEADERS|DATA) 1 .*END$/.test(line) && !/:status=1/.test(line)) || line.startsWith("RST_STREAM 1 ");
  const outcome = client.find(isEnd).then((end) => {
    const head = client.lines.find(isHead);
    const status = head === undefined ? 0 : Number(/:status=(\d+)/.exec(head)?.[1]);
    const frames = new Frames(raw, "client").all();
    raw.socket.destroy();
    if (end === null) return status === 0 ? "ended" : `${status} cut`;
    const rst = /^RST_STREAM 1 (.*)$/.exec(end);
    if (rst !== null) return status === 0 ? `RST ${rst[1]}` : `${status} cut`;
    const content = Buffer.concat(frames.filter(({ type }) => type === FrameType.DATA).map(({ payload }) => payload)).toString("latin1");
    return (status === 502 || status === 504) && content === "" ? String(status) : `${status} ${content}`;
  });
  return { outcome, cancel: () => client.write(frame(FrameType.RST_STREAM, 0, 1, u32(8))) };
}

/** Content on stream 1, as far as the windows let it. */
async function send(client: FrameClient, body: string): Promise<void> {
  for (let at = 0; at < body.length; ) {
    const granted = (id: number): number =>
      65_535 + client.lines.reduce((n, line) => (line.startsWith(`WINDOW_UPDATE ${id} `) ? n + Number(line.split(" ")[2]) : n), 0);
    const n = Math.min(16_384, body.length - at, granted(0) - at, granted(1) - at);
    if (n > 0) {
      client.write(data(1, body.slice(at, at + n), at + n === body.length));
      at += n;
      continue;
    }
    const seen = client.lines.length;
    if ((await client.find((line) => client.lines.indexOf(line) >= seen || /^(RST_STREAM 1 |GOAWAY )/.test(line))) === null) return;
    if (client.lines.some((line) => /^(RST_STREAM 1 |GOAWAY )/.test(line))) return;
  }
}

/** A server that is well, and a client of it that keeps its connection. */
class Neighbour {
  readonly app: RawServer;
  readonly #dial: () => Promise<Raw>;
  #client: Raw | null = null;
  #answers = 0;

  private constructor(app: RawServer, dialIt: () => Promise<Raw>) {
    this.app = app;
    this.#dial = dialIt;
  }

  static async start(dialIt: () => Promise<Raw>): Promise<Neighbour> {
    const app = await serveRaw((connection) => {
      let seen = 0;
      connection.socket.on("data", () => {
        const n = connection.text().split("\r\n\r\n").length - 1;
        for (; seen < n; seen++) connection.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
      });
    });
    return new Neighbour(app, dialIt);
  }

  async pass(): Promise<void> {
    this.#client ??= await within(this.#dial(), "the neighbour's connection");
    const answers = ++this.#answers;
    this.#client.write("GET /neighbour HTTP/1.1\r\nHost: b\r\n\r\n");
    await within(
      this.#client.until((text) => text.split("\r\n\r\nok").length > answers),
      "the neighbour's answer",
    );
  }

  stop(): void {
    this.#client?.socket.destroy();
    this.app.stop();
  }
}

const OTHER = { ip: "10.0.0.2", port: 80 };

/** An application's connection to a service whose endpoint is hostile. */
async function outbound(
  name: string,
  what: string,
  { client, server, meshed = false }: { readonly client: "http1" | "http2"; readonly server: "http1" | "http2"; readonly meshed?: boolean },
): Promise<Door> {
  const ca = meshed ? await createCa() : null;
  const credentials = ca === null ? null : await ca.issue(PEER);
  const proxy = new TestProxy({ identity: ca === null ? null : new FakeIdentity("client.ns", await ca.issue("client.ns")) });
  const { port } = proxy.outboundListener;
  proxy.discovery.setProfile(`${SERVICE.ip}:${SERVICE.port}`, profile({ fqn: NAME }));
  const neighbour = await Neighbour.start(() => {
    proxy.outboundDst = OTHER;
    return dialRaw(port);
  });
  proxy.discovery.setProfile(`${OTHER.ip}:${OTHER.port}`, profile({ fqn: "other.ns.svc.cluster.local" }));
  proxy.discovery.setEndpoints("other.ns.svc.cluster.local:80", [endpoint({ addr: { ip: "127.0.0.1", port: neighbour.app.port } })]);
  await neighbour.pass();
  return {
    name,
    what,
    port,
    client,
    server,
    tls: ca === null || credentials === null ? null : { key: credentials.keyPem, cert: credentials.certChainPem, ca: ca.pem },
    point(to) {
      const addr = { ip: "127.0.0.1", port: to };
      proxy.discovery.setEndpoints(`${NAME}:80`, [endpoint({ addr, h2: server === "http2", identity: meshed ? PEER : null })]);
    },
    start(method, body) {
      proxy.outboundDst = SERVICE;
      return client === "http1" ? startHttp1(port, method, body) : startHttp2(port, method, body);
    },
    bystander: () => neighbour.pass(),
    inFlight: () => proxy.outbound.inFlight,
    stop() {
      neighbour.stop();
      proxy.stop();
    },
  };
}

/** Identity of the meshed peer. */
const PEER = "server.ns";

export const outboundHttp2 = (): Promise<Door> =>
  outbound("outbound-http2", "an application that speaks HTTP/2, through the outbound port", { client: "http2", server: "http2" });
export const outboundTls = (): Promise<Door> =>
  outbound("outbound-tls", "the same with a hostile peer of the mesh: HTTP/2 within mesh TLS", {
    client: "http2",
    server: "http2",
    meshed: true,
  });
export const outboundUpgraded = (): Promise<Door> =>
  outbound("outbound-upgraded", "an application that speaks HTTP/1, carried over HTTP/2 to the endpoint", {
    client: "http1",
    server: "http2",
  });
export const outboundHttp1 = (): Promise<Door> =>
  outbound("outbound-http1", "an application that speaks HTTP/1, and an endpoint that does", { client: "http1", server: "http1" });

export const outboundTlsHttp1 = (): Promise<Door> =>
  outbound("outbound-tls-http1", "the same with a peer of the mesh that speaks HTTP/1 within mesh TLS", {
    client: "http1",
    server: "http1",
    meshed: true,
  });

/** The application behind the inbound port is hostile itself. */
async function inbound(name: string, what: string, version: "http1" | "http2"): Promise<Door> {
  const proxy = new TestProxy({ identity: null });
  const { port } = proxy.inboundListener;
  const neighbour = await Neighbour.start(() => {
    proxy.inboundDst = { ip: "127.0.0.1", port: neighbour.app.port };
    return dialRaw(port);
  });
  proxy.policy(neighbour.app.port, allowAll());
  await neighbour.pass();
  let app = 0;
  return {
    name,
    what,
    port,
    client: version,
    server: version,
    tls: null,
    point(to) {
      if (app !== 0) proxy.policies.ports.delete(app);
      app = to;
      proxy.policy(to, allowAll());
    },
    start(method, body) {
      proxy.inboundDst = { ip: "127.0.0.1", port: app };
      return version === "http1" ? startHttp1(port, method, body) : startHttp2(port, method, body);
    },
    bystander: () => neighbour.pass(),
    inFlight: () => proxy.inbound.inFlight,
    stop() {
      neighbour.stop();
      proxy.stop();
    },
  };
}

export const inboundHttp2 = (): Promise<Door> =>
  inbound("inbound-http2", "a client of HTTP/2 through the inbound port; the application is hostile", "http2");
export const inboundHttp1 = (): Promise<Door> =>
  inbound("inbound-http1", "a client of HTTP/1 through the inbound port; the application is hostile", "http1");
