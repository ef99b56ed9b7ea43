// A control plane moved by hand, built by people who know nothing of this proxy: @connectrpc/connect on node:http2. Every call
// waits for the test: `const call = await controller.get(); call.send(message); call.fail(code)`.
import { createServer, type Http2Server, type ServerHttp2Session } from "node:http2";
import { type AddressInfo, connect, type Server } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Code, ConnectError, type ConnectRouter, type HandlerContext } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { Destination, type DestinationProfileSchema, type GetDestination, type UpdateSchema } from "#api/destination_pb";
import { type CertifyRequest, type CertifyResponseSchema, Identity } from "#api/identity_pb";
import { InboundServerPolicies, type PortSpec, type ServerSchema } from "#api/inbound_pb";
import type { Credentials } from "../contracts.ts";

/** One call that has come. */
export class Call<Request, Response> {
  readonly request: Request;
  /** Resolves when the client has given the call up or is gone. */
  readonly cancelled: Promise<void>;
  readonly #queue: (Response | Error | null)[] = [];
  #wake: () => void = () => {};

  constructor(request: Request, signal: AbortSignal) {
    this.request = request;
    this.cancelled = new Promise((resolve) =>
      signal.addEventListener("abort", () => {
        resolve();
        this.#wake();
      }),
    );
    this.signal = signal;
  }

  readonly signal: AbortSignal;

  send(message: Response): void {
    this.#push(message);
  }

  /** Ends the stream with OK. */
  end(): void {
    this.#push(null);
  }

  fail(code: Code, message = "as the test wants it"): void {
    this.#push(new ConnectError(message, code));
  }

  async *messages(): AsyncGenerator<Response> {
    while (!this.signal.aborted) {
      const next = this.#queue.shift();
      if (next === undefined) await new Promise<void>((resolve) => (this.#wake = resolve));
      else if (next === null) return;
      else if (next instanceof Error) throw next;
      else yield next;
    }
  }

  #push(item: Response | Error | null): void {
    this.#queue.push(item);
    this.#wake();
  }
}

/** Calls in the order they came; whoever asks first gets the first. */
class Inbox<T> {
  readonly #items: T[] = [];
  readonly #takers: ((item: T) => void)[] = [];
  /** Calls that have come so far. */
  count = 0;

  put(item: T): void {
    this.count++;
    const taker = this.#takers.shift();
    if (taker) taker(item);
    else this.#items.push(item);
  }

  take(): Promise<T> {
    const item = this.#items.shift();
    return item !== undefined ? Promise.resolve(item) : new Promise((resolve) => this.#takers.push(resolve));
  }
}

type Update = MessageInitShape<typeof UpdateSchema>;
type Profile = MessageInitShape<typeof DestinationProfileSchema>;
type Policy = MessageInitShape<typeof ServerSchema>;
type Certified = MessageInitShape<typeof CertifyResponseSchema>;

export class FakeController {
  readonly gets = new Inbox<Call<GetDestination, Update>>();
  readonly profiles = new Inbox<Call<GetDestination, Profile>>();
  readonly ports = new Inbox<Call<PortSpec, Policy>>();
  readonly certifies = new Inbox<Call<CertifyRequest, Certified>>();
  /** First DNS name of each connection's client certificate; null without. */
  readonly clients: (string | null)[] = [];
  readonly #http: Http2Server;
  /** What is connected to: the server itself, or TLS before it. */
  readonly #listener: Server;
  readonly #sessions = new Set<ServerHttp2Session>();

  private constructor(tls: Credentials | null) {
    const server = createServer(connectNodeAdapter({ routes: (router) => this.#route(router) }));
    this.#http = server;
    this.#listener = tls === null ? server : this.#terminate(tls);
    server.on("session", (session: ServerHttp2Session) => {
      this.#sessions.add(session);
      session.on("close", () => this.#sessions.delete(session));
      session.on("error", () => {});
    });
  }

  /** In plain text, or with mutual TLS where the client's certificate is optional. `port` 0: any. */
  static async start({ tls = null, port = 0 }: { tls?: Credentials | null; port?: number } = {}): Promise<FakeController> {
    const controller = new FakeController(tls);
    if (controller.#http !== controller.#listener) await listen(controller.#http, 0);
    await listen(controller.#listener, port);
    return controller;
  }

  /** TLS before the server. Without ALPN, as the proxy's clients are: node's own HTTP/2 server would take them for HTTP/1. */
  #terminate({ keyPem, certChainPem, trustAnchorsPem }: Credentials): Server {
    return createTlsServer(
      { key: keyPem, cert: certChainPem, ca: trustAnchorsPem, requestCert: true, rejectUnauthorized: false },
      (socket) => {
        const name = socket.getPeerX509Certificate()?.subjectAltName;
        this.clients.push(name === undefined ? null : name.replace(/^DNS:/, ""));
        const plain = connect((this.#http.address() as AddressInfo).port, "127.0.0.1");
        for (const [from, to] of [
          [socket, plain],
          [plain, socket],
        ] as const) {
          from.on("error", () => to.destroy());
          from.on("close", () => to.destroy());
          from.pipe(to);
        }
      },
    );
  }

  #route(router: ConnectRouter): void {
    const stream =
      <I, O>(inbox: Inbox<Call<I, O>>) =>
      (request: I, { signal }: HandlerContext): AsyncGenerator<O> => {
        const call = new Call<I, O>(request, signal);
        inbox.put(call);
        return call.messages();
      };
    router.service(Identity, {
      certify: async (request, { signal }) => {
        const call = new Call<CertifyRequest, Certified>(request, signal);
        this.certifies.put(call);
        for await (const message of call.messages()) return message;
        throw new Error("ended without an answer");
      },
    });
    router.service(Destination, { get: stream(this.gets), getProfile: stream(this.profiles) });
    router.service(InboundServerPolicies, { watchPort: stream(this.ports) });
  }

  get port(): number {
    return (this.#listener.address() as AddressInfo).port;
  }

  /** Bytes that a stream of each connection may send before it is told to go on. */
  get streamWindows(): (number | undefined)[] {
    return [...this.#sessions].map(({ remoteSettings }) => remoteSettings.initialWindowSize);
  }

  /** Connections that are open. */
  get connections(): number {
    return this.#sessions.size;
  }

  /** Breaks every connection. */
  cut(): void {
    for (const session of this.#sessions) session.destroy();
  }

  /** Breaks every connection and takes no more. */
  async stop(): Promise<void> {
    const closed = [...new Set([this.#listener, this.#http])].map(
      (server) => new Promise<void>((resolve) => void server.close(() => resolve())),
    );
    this.cut();
    await Promise.all(closed);
  }
}

const listen = (server: Server, port: number): Promise<void> => new Promise((resolve) => void server.listen(port, "127.0.0.1", resolve));
