// A control plane in the test's process that speaks the real wire (@connectrpc/connect on node:http2) and whose answers a test changes
// while proxies watch. What is set is sent to open streams and begins new ones.
import { createServer, type Http2Server, type ServerHttp2Session } from "node:http2";
import type { Server } from "node:net";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { Destination, type DestinationProfileSchema, type UpdateSchema } from "#api/destination_pb";
import { type CertifyRequest, CertifyResponseSchema, Identity } from "#api/identity_pb";
import { InboundServerPolicies, type ServerSchema } from "#api/inbound_pb";
import type { TestCa } from "../../testing/certificates.ts";

/** One stream of a client. */
class Stream<M> {
  readonly #signal: AbortSignal;
  readonly #queue: (M | ConnectError | null)[] = [];
  #wake: () => void = () => {};
  /** Everything pushed has been handed to the connection. */
  idle = false;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
    signal.addEventListener("abort", () => this.#wake());
  }

  push(item: M | ConnectError | null): void {
    this.idle = false;
    this.#queue.push(item);
    this.#wake();
  }

  async *messages(): AsyncGenerator<M> {
    try {
      while (!this.#signal.aborted) {
        const next = this.#queue.shift();
        if (next === undefined) {
          this.idle = true;
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
        } else if (next === null) return;
        else if (next instanceof ConnectError) throw next;
        else yield next;
      }
    } finally {
      this.idle = true;
    }
  }
}

/** The streams of one method, by what they ask for. */
class Watches<K extends string | number, M> {
  readonly #absent: Code;
  readonly #first = new Map<K, M | Code | "silence">();
  readonly #open = new Map<K, Set<Stream<M>>>();
  readonly #counts = new Map<K, number>();
  readonly #waiting = new Set<() => void>();

  /** @param absent how streams end that ask for what nobody has set */
  constructor(absent: Code) {
    this.#absent = absent;
  }

  /** Sends a message to open streams; new ones begin with it. */
  set(key: K, message: M): void {
    this.#first.set(key, message);
    this.send(key, message);
  }

  /** New streams begin with this; open ones do not hear of it. */
  begin(key: K, message: M): void {
    this.#first.set(key, message);
  }

  /** To open streams only. */
  send(key: K, message: M): void {
    for (const stream of this.#open.get(key) ?? []) stream.push(message);
  }

  /** New streams end with this status, or stay without a message. */
  refuse(key: K, how: Code | "silence"): void {
    this.#first.set(key, how);
  }

  /** Open streams end with this status. */
  fail(key: K, code: Code): void {
    for (const stream of this.#open.get(key) ?? []) stream.push(new ConnectError("as the test wants it", code));
  }

  /** Streams that are open. */
  open(key: K): number {
    return this.#open.get(key)?.size ?? 0;
  }

  /** Streams there have ever been. */
  count(key: K): number {
    return this.#counts.get(key) ?? 0;
  }

  /** Resolves when there have been so many. */
  async called(key: K, times = 1): Promise<void> {
    while (this.count(key) < times) await new Promise<void>((resolve) => this.#waiting.add(resolve));
  }

  get idle(): boolean {
    return [...this.#open.values()].every((streams) => [...streams].every(({ idle }) => idle));
  }

  async *serve(key: K, signal: AbortSignal): AsyncGenerator<M> {
    this.#counts.set(key, this.count(key) + 1);
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
    const first = this.#first.get(key) ?? this.#absent;
    if (typeof first === "number") throw new ConnectError("as the test wants it", first as Code);
    const streams = this.#open.get(key) ?? new Set();
    this.#open.set(key, streams);
    const stream = new Stream<M>(signal);
    streams.add(stream);
    if (first !== "silence") stream.push(first as M);
    try {
      yield* stream.messages();
    } finally {
      streams.delete(stream);
    }
  }
}

export type Certified = MessageInitShape<typeof CertifyResponseSchema>;

export class ControlPlane {
  /** By path. Absent: InvalidArgument. */
  readonly profiles = new Watches<string, MessageInitShape<typeof DestinationProfileSchema>>(Code.InvalidArgument);
  /** By path. Absent: InvalidArgument. */
  readonly endpoints = new Watches<string, MessageInitShape<typeof UpdateSchema>>(Code.InvalidArgument);
  /** By port. Absent: NotFound. */
  readonly servers = new Watches<number, MessageInitShape<typeof ServerSchema>>(Code.NotFound);
  /** Requests of Certify, and when they came (performance.now). */
  readonly certifications: { readonly request: CertifyRequest; readonly at: number }[] = [];
  /** Answers Certify. @throws {ConnectError} */
  certify: (request: CertifyRequest) => Promise<Certified>;
  readonly #sessions = new Set<ServerHttp2Session>();
  readonly #waiting = new Set<() => void>();
  readonly #listen: (server: Server) => Promise<void>;
  #server: Http2Server | null = null;

  /** @param listen binds a server where the proxy expects the control plane */
  constructor(ca: TestCa, listen: (server: Server) => Promise<void>) {
    this.#listen = listen;
    this.certify = (request) => certifiedBy(ca, request);
  }

  async start(): Promise<void> {
    const server = createServer(connectNodeAdapter({ routes: (router) => this.#route(router) }));
    server.on("session", (session: ServerHttp2Session) => {
      this.#sessions.add(session);
      session.on("close", () => this.#sessions.delete(session));
      session.on("error", () => {});
    });
    this.#server = server;
    await this.#listen(server as unknown as Server);
  }

  /** Breaks every connection; new ones are taken. */
  cut(): void {
    for (const session of [...this.#sessions]) session.destroy();
  }

  /** Breaks every connection and takes no more, until {@link start}. */
  stop(): void {
    this.#server?.close();
    this.#server = null;
    this.cut();
  }

  /** Resolves when every proxy has been given, and has read, what was sent so far. */
  async settled(): Promise<void> {
    while (!(this.profiles.idle && this.endpoints.idle && this.servers.idle)) await new Promise((resolve) => setImmediate(resolve));
    // A ping is answered by who has read what was sent before it.
    await Promise.all([...this.#sessions].map((session) => new Promise<void>((resolve) => void session.ping(() => resolve()))));
  }

  /** Resolves when Certify has been called so often. */
  async certified(times: number): Promise<void> {
    while (this.certifications.length < times) await new Promise<void>((resolve) => this.#waiting.add(resolve));
  }

  #route(router: ConnectRouter): void {
    router.service(Identity, {
      certify: async (request) => {
        this.certifications.push({ request, at: performance.now() });
        for (const wake of this.#waiting) wake();
        this.#waiting.clear();
        return create(CertifyResponseSchema, await this.certify(request));
      },
    });
    router.service(Destination, {
      get: ({ path }, { signal }) => this.endpoints.serve(path, signal),
      getProfile: ({ path }, { signal }) => this.profiles.serve(path, signal),
    });
    router.service(InboundServerPolicies, { watchPort: ({ port }, { signal }) => this.servers.serve(port, signal) });
  }
}

/** The usual answer of Certify. `lifetimeMs`: until `valid_until`, where it is not the certificate's own end. */
export async function certifiedBy(ca: TestCa, request: CertifyRequest, lifetimeMs?: number): Promise<Certified> {
  const { leaf, validUntilMs } = await ca.sign(request.certificateSigningRequest);
  const until = lifetimeMs === undefined ? validUntilMs : Date.now() + lifetimeMs;
  return { leafCertificate: leaf, intermediateCertificates: [], validUntil: timestampFromMs(until) };
}
