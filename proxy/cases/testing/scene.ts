// The scene of a case: the built binary as the proxy of a pod, a control plane whose answers the test changes, an application in the pod,
// clients and servers outside, with and without the mesh's TLS.
//
//   outside: clients ──► [4143 proxy] ──► application       pod
//   outside: servers ◄── [4140 proxy] ◄── application's clients
import { chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import http2, { type ClientHttp2Session, type Http2Server } from "node:http2";
import { createServer, connect as dialLoopback, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import tls, { type ConnectionOptions, type TLSSocket, type TlsOptions } from "node:tls";
import type { Credentials } from "../../contracts.ts";
import { builtBinary } from "../../testing/built.ts";
import { createCa, type TestCa } from "../../testing/certificates.ts";
import { type Pod, PROXY_UID } from "../../testing/namespaces.ts";
import { ProxyProcess, until } from "../../testing/processes.ts";
import { type Raw, raw } from "../../testing/wire.ts";
import { ControlPlane } from "./control-plane.ts";
import { Client, type Respond, serveRequests } from "./http1.ts";
import type { Profile, Update } from "./messages.ts";
import { Network } from "./network.ts";

export { canRunPods } from "../../testing/processes.ts";

/** The identity of a service account of namespace `ns`. */
export const id = (account: string): string => `${account}.ns.serviceaccount.identity.linkerd.cluster.local`;

/** Address of every service; its port tells which. */
export const SERVICE = "10.96.0.1";
export const nameOf = (port: number): string => `svc${port}.ns.svc.cluster.local`;

const CONTROL_PORT = 8086;
const INBOUND_PORT = 4143;
const ADMIN_PORT = 4191;

export type TlsRaw = Raw & { readonly tls: TLSSocket };

/** TLS as a client. Rejects when the handshake fails. `credentials` null: no client certificate. */
export function secure(
  socket: Socket,
  options: {
    readonly ca: string;
    readonly serverName: string;
    readonly credentials: Credentials | null;
    readonly alpn?: readonly string[];
  },
): Promise<TlsRaw> {
  const { promise, resolve, reject } = Promise.withResolvers<TlsRaw>();
  const { ca, serverName, credentials, alpn } = options;
  const secured = tls.connect({
    socket,
    servername: serverName,
    ca,
    allowHalfOpen: true,
    ...(credentials === null ? {} : { key: credentials.keyPem, cert: credentials.certChainPem }),
    ...(alpn === undefined ? {} : { ALPNProtocols: [...alpn] }),
  } as ConnectionOptions);
  secured.on("error", reject);
  secured.on("close", () => reject(new Error("closed before the handshake was over")));
  secured.once("secureConnect", () => resolve({ ...raw(secured), tls: secured }));
  return promise;
}

/** Bytes both ways from now on, with what has been read before. */
function joinSockets({ socket, text }: Raw, plain: Socket): void {
  plain.write(Buffer.from(text(), "latin1"));
  for (const [from, to] of [
    [socket, plain],
    [plain, socket],
  ] as const) {
    from.on("error", () => to.destroy());
    from.on("close", () => to.destroy());
    from.pipe(to);
  }
}

/** What a server of the mesh sees of who has come. */
export type Caller = { readonly name: string | null; readonly alpn: string | null; readonly tls: TLSSocket };

export class Scene {
  /** Of the product. */
  readonly binary: string;
  readonly network: Network;
  readonly ca: TestCa;
  readonly directory: string;
  readonly #issued = new Map<string, Promise<Credentials>>();
  readonly #cleanups: (() => void)[] = [];

  private constructor(init: { binary: string; network: Network; ca: TestCa; directory: string }) {
    this.binary = init.binary;
    this.network = init.network;
    this.ca = init.ca;
    this.directory = init.directory;
  }

  /** @param name unique among the tests of a run */
  static async start(name: string): Promise<Scene> {
    // Once, as it may take seconds.
    const binary = builtBinary();
    const ca = await createCa();
    const network = new Network(`${process.pid}-${name}`);
    const directory = mkdtempSync(join(tmpdir(), "fairlead-cases-"));
    Bun.spawnSync(["chmod", "755", directory]);
    writeFileSync(join(directory, "token"), "token");
    return new Scene({ binary, network, ca, directory });
  }

  get outside(): Pod {
    return this.network.outside;
  }

  /** Credentials of a name, issued once. */
  credentials(name: string): Promise<Credentials> {
    const known = this.#issued.get(name) ?? this.ca.issue(name);
    this.#issued.set(name, known);
    return known;
  }

  /** A pod with a control plane; no proxy yet. */
  async pod(options: NodeOptions = {}): Promise<Node> {
    const node = new Node(this, this.network.addPod(), options);
    if (options.controlPlane !== false) await node.control.start();
    return node;
  }

  /** A pod with a proxy that is ready. */
  async proxy(options: NodeOptions = {}): Promise<Node> {
    const node = await this.pod(options);
    node.start();
    await node.ready();
    return node;
  }

  /** One more control plane in a pod; it is started by the test. */
  controlPlane(pod: Pod, port: number): ControlPlane {
    const control = new ControlPlane(this.ca, (server) => this.network.listen(pod, { ip: "127.0.0.1", port }, server));
    this.onStop(() => control.stop());
    return control;
  }

  /** Done at the end, last first. */
  onStop(cleanup: () => void): void {
    this.#cleanups.push(cleanup);
  }

  /** A server that speaks bytes. */
  async serve(pod: Pod, at: { ip: string; port: number }, onConnection: (connection: Raw) => void): Promise<Served> {
    return this.#serve(pod, at, (count) => {
      const sockets = new Set<Socket>();
      const server = createServer({ allowHalfOpen: true }, (socket) => {
        count();
        sockets.add(socket);
        socket.on("close", () => sockets.delete(socket));
        onConnection(raw(socket));
      });
      return { server, sockets };
    });
  }

  /** A server of the mesh: TLS with a certificate of `name`, client certificates asked for. */
  async serveMesh(
    pod: Pod,
    at: { ip: string; port: number; name: string; alpn?: string },
    onConnection: (connection: Raw, caller: Caller) => void,
  ): Promise<Served> {
    const { keyPem, certChainPem, trustAnchorsPem } = await this.credentials(at.name);
    return this.#serve(pod, at, (count) => {
      const sockets = new Set<Socket>();
      const options: TlsOptions = {
        key: keyPem,
        cert: certChainPem,
        ca: trustAnchorsPem,
        requestCert: true,
        rejectUnauthorized: false,
        allowHalfOpen: true,
        ...(at.alpn === undefined ? {} : { ALPNProtocols: [at.alpn] }),
      };
      const server = tls.createServer(options, (socket) => {
        count();
        sockets.add(socket);
        socket.on("close", () => sockets.delete(socket));
        const name = socket.getPeerX509Certificate()?.subjectAltName?.replace(/^DNS:/, "") ?? null;
        onConnection(raw(socket), { name, alpn: socket.alpnProtocol === false ? null : socket.alpnProtocol, tls: socket });
      });
      server.on("tlsClientError", () => {});
      return { server, sockets };
    });
  }

  async #serve(
    pod: Pod,
    at: { ip: string; port: number },
    make: (count: () => void) => { server: ReturnType<typeof createServer>; sockets: Set<Socket> },
  ): Promise<Served> {
    let connections = 0;
    const { server, sockets } = make(() => void connections++);
    const stop = (): void => {
      server.close();
      for (const socket of sockets) socket.destroy();
    };
    this.onStop(stop);
    await this.network.listen(pod, at, server);
    return {
      get connections() {
        return connections;
      },
      get open() {
        return sockets.size;
      },
      stop,
    };
  }

  /** A client of a helper of the test on loopback. */
  async dialLoopback(port: number): Promise<Socket> {
    const socket = dialLoopback(port, "127.0.0.1");
    this.onStop(() => socket.destroy());
    await new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject));
    return socket;
  }

  /** Hands connections to an HTTP/2 server of node's, whatever they came over. */
  async http2(onStream: Http2OnStream): Promise<(connection: Raw) => void> {
    const server: Http2Server = http2.createServer();
    const sessions = new Set<http2.ServerHttp2Session>();
    server.on("session", (session) => {
      sessions.add(session);
      session.on("error", () => {});
      session.on("close", () => sessions.delete(session));
    });
    server.on("stream", (stream, headers) => {
      stream.on("error", () => {});
      onStream(stream, headers);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    this.onStop(() => {
      server.close();
      for (const session of sessions) session.destroy();
    });
    const { port } = server.address() as { port: number };
    return (connection) => joinSockets(connection, dialLoopback(port, "127.0.0.1"));
  }

  /** A port on loopback whose connections become ones that `dial` makes: a way into namespaces and TLS for clients of others. */
  async door(dial: () => Promise<Raw>): Promise<number> {
    const sockets = new Set<Socket>();
    const server = createServer(async (socket) => {
      sockets.add(socket);
      socket.on("error", () => {});
      joinSockets(await dial(), socket);
    });
    this.onStop(() => {
      server.close();
      for (const socket of sockets) socket.destroy();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return (server.address() as { port: number }).port;
  }

  /** A port in a pod whose connections become ones to a port of the test's loopback. */
  passOn(pod: Pod, at: { ip: string; port: number }, to: number): Promise<Served> {
    return this.serve(pod, at, (connection) => joinSockets(connection, dialLoopback(to, "127.0.0.1")));
  }

  /** An HTTP/2 client of node's on a connection. By way of loopback: over TLS without ALPN the runtime's does not speak. */
  async http2Over(connection: Raw): Promise<ClientHttp2Session> {
    const session = http2.connect(`http://127.0.0.1:${await this.door(async () => connection)}`);
    session.on("error", () => {});
    return session;
  }

  stop(): void {
    for (const cleanup of this.#cleanups.reverse()) cleanup();
    this.network.remove();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

export type Http2OnStream = (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => void;

export type Served = {
  /** Connections that have come; over TLS, those whose handshake succeeded. */
  readonly connections: number;
  /** Of these, how many are open. */
  readonly open: number;
  stop(): void;
};

export type NodeOptions = {
  /** Service account of the proxy; `server` by default. */
  readonly account?: string;
  /** Ports whose policy is watched. */
  readonly ports?: readonly number[];
  /** Variables of the proxy without `LINKERD2_PROXY_`; null takes one away. */
  readonly env?: Readonly<Record<string, string | null>>;
  /** False: it is started by the test. */
  readonly controlPlane?: boolean;
};

/** A pod, its control plane and its proxy. */
export class Node {
  readonly scene: Scene;
  readonly pod: Pod;
  readonly control: ControlPlane;
  readonly identity: string;
  readonly #options: NodeOptions;
  #process: ProxyProcess | null = null;
  #log = { text: "" };

  constructor(scene: Scene, pod: Pod, options: NodeOptions) {
    this.scene = scene;
    this.pod = pod;
    this.#options = options;
    this.identity = id(options.account ?? "server");
    this.control = scene.controlPlane(pod, CONTROL_PORT);
  }

  get ip(): string {
    return this.pod.ip;
  }

  #environment(more: NodeOptions["env"]): Record<string, string> {
    const { scene } = this;
    const home = join(scene.directory, this.pod.namespace);
    mkdirSync(home, { recursive: true });
    chownSync(home, PROXY_UID, PROXY_UID);
    const control = `localhost.:${CONTROL_PORT}`;
    const vars: Record<string, string | null> = {
      LOG: "warn,linkerd=info",
      OUTBOUND_LISTEN_ADDR: "127.0.0.1:4140",
      INBOUND_LISTEN_ADDR: `0.0.0.0:${INBOUND_PORT}`,
      ADMIN_LISTEN_ADDR: `0.0.0.0:${ADMIN_PORT}`,
      CONTROL_LISTEN_ADDR: "0.0.0.0:4190",
      DESTINATION_SVC_ADDR: control,
      DESTINATION_PROFILE_NETWORKS: "10.96.0.0/12",
      POLICY_SVC_ADDR: control,
      POLICY_WORKLOAD: "ns:pod",
      INBOUND_PORTS: (this.#options.ports ?? []).join(","),
      INBOUND_DEFAULT_POLICY: "all-unauthenticated",
      INBOUND_IPS: this.ip,
      IDENTITY_SVC_ADDR: control,
      IDENTITY_DIR: home,
      IDENTITY_TRUST_ANCHORS: scene.ca.pem,
      IDENTITY_LOCAL_NAME: this.identity,
      IDENTITY_TOKEN_FILE: join(scene.directory, "token"),
      ...this.#options.env,
      ...more,
    };
    const kept = Object.entries(vars).filter((entry): entry is [string, string] => entry[1] !== null);
    return Object.fromEntries(kept.map(([key, value]) => [`LINKERD2_PROXY_${key}`, value]));
  }

  start(env: NodeOptions["env"] = {}): ProxyProcess {
    const log = { text: "" };
    const child = this.pod.start([this.scene.binary, "proxy"], {
      env: this.#environment(env),
      uid: PROXY_UID,
      stdout: (text) => void (log.text += text),
    });
    this.#log = log;
    this.#process = new ProxyProcess({ pod: this.pod, child, log, admin: "127.0.0.1" });
    return this.#process;
  }

  get process(): ProxyProcess {
    if (this.#process === null) throw new Error("the proxy has not been started");
    return this.#process;
  }

  get log(): string {
    return this.#log.text;
  }

  /** Resolves when the proxy is ready. */
  ready(): Promise<void> {
    return this.process.ready();
  }

  /** Resolves when the proxy has said it. */
  said(what: string | RegExp): Promise<void> {
    const look = () => (typeof what === "string" ? this.log.includes(what) : what.test(this.log));
    return until(`the proxy says ${what}`, look, 10_000, () => this.log);
  }

  /** The text exposition. */
  async metrics(): Promise<string> {
    return (await this.process.admin("/metrics")).body;
  }

  /** Lines of a family, sorted; those that hold all the words. */
  async series(name: string, ...words: string[]): Promise<string[]> {
    const lines = (await this.metrics()).split("\n");
    return lines.filter((line) => line.startsWith(`${name}{`) && words.every((word) => line.includes(word))).sort();
  }

  /** Resolves when the exposition has all these lines. */
  async shows(...lines: string[]): Promise<void> {
    let text = "";
    const look = async () => {
      text = `${await this.metrics()}\n`;
      return lines.every((line) => text.includes(`\n${line}\n`));
    };
    const family = (line: string) => line.slice(0, line.search(/[ {]/));
    const told = () => {
      const missing = lines.filter((line) => !text.includes(`\n${line}\n`));
      const close = text.split("\n").filter((line) => missing.some((wanted) => family(line) === family(wanted) && !line.startsWith("#")));
      return `missing:\n${missing.join("\n")}\nof the same family:\n${close.join("\n")}\nlog:\n${this.log}`;
    };
    await until("metrics", look, 5000, told);
  }

  /** A client outside, to a port of the pod. */
  dial(port: number, from?: string): Promise<Raw> {
    return this.scene.network.dialRaw(this.scene.outside, { ip: this.ip, port, ...(from === undefined ? {} : { from }) });
  }

  /** The same, of the mesh: `as` = account of the client certificate, null = none. */
  async dialMesh(
    port: number,
    options: { as: string | null; name?: string; serverName?: string; alpn?: readonly string[]; from?: string },
  ): Promise<TlsRaw> {
    const { scene } = this;
    const { as, name, serverName = this.identity, alpn, from } = options;
    const client = name ?? (as === null ? null : id(as));
    const credentials = client === null ? null : await scene.credentials(client);
    const socket = await scene.network.dial(scene.outside, { ip: this.ip, port, ...(from === undefined ? {} : { from }) });
    return secure(socket, { ca: scene.ca.pem, serverName, credentials, ...(alpn === undefined ? {} : { alpn }) });
  }

  /** A client in the pod, to its own loopback. */
  async local(port: number): Promise<Raw> {
    return this.appDial("127.0.0.1", port);
  }

  /** A client of the application in the pod, to an address outside it. */
  appDial(ip: string, port: number): Promise<Raw> {
    return this.scene.network.dialRaw(this.pod, { ip, port });
  }

  async client(port: number, from?: string): Promise<Client> {
    return new Client(await this.dial(port, from));
  }

  async meshClient(port: number, as: string): Promise<Client> {
    return new Client(await this.dialMesh(port, { as }));
  }

  async appClient(ip: string, port: number): Promise<Client> {
    return new Client(await this.appDial(ip, port));
  }

  /** The destination controller knows the service of a port ({@link nameOf}), and these endpoints of it. */
  service(port: number, endpoints: Update | null, profile: Profile = {}): void {
    this.control.profiles.set(`${SERVICE}:${port}`, { fullyQualifiedName: nameOf(port), ...profile });
    if (endpoints !== null) this.control.endpoints.set(`${nameOf(port)}:${port}`, endpoints);
  }

  /** A client of the application, to the service of a port. */
  serviceClient(port: number): Promise<Client> {
    return this.appClient(SERVICE, port);
  }

  /** The application's HTTP/1 server on a port of the pod. */
  serveApp(port: number, respond: Respond): Promise<Served> {
    return this.scene.serve(this.pod, { ip: this.ip, port }, (connection) => void serveRequests(connection, respond));
  }

  /** The application's server on a port of the pod, speaking bytes. */
  serveRaw(port: number, onConnection: (connection: Raw) => void): Promise<Served> {
    return this.scene.serve(this.pod, { ip: this.ip, port }, onConnection);
  }
}
