// Cases of a WebSocket client on the npm package ws.
import { createHash, randomBytes } from "node:crypto";
import { type ClientOptions, WebSocket } from "ws";
import { equal, ok } from "../cases.ts";

const MAX_BYTES = 64 << 20;
const SIZES = [0, 1, 125, 126, 127, 65_535, 65_536, 1 << 20] as const;
const BIG_BYTES = 16 << 20;
const SOCKETS = 200;
const PLAIN = { perMessageDeflate: false } as const;

const digest = (bytes: Uint8Array): string => `${bytes.length} bytes ${createHash("sha256").update(bytes).digest("hex")}`;

type Close = { readonly code: number; readonly reason: string };

/** A client whose messages are read one by one. */
class Client {
  readonly socket: WebSocket;
  readonly opened: Promise<void>;
  readonly closed: Promise<Close>;
  readonly #messages: (Buffer | string)[] = [];
  readonly #waiting: { resolve: (message: Buffer | string) => void; reject: (error: Error) => void }[] = [];

  constructor(url: string, options: ClientOptions = {}, protocols: string[] = []) {
    this.socket = new WebSocket(url, protocols, { maxPayload: MAX_BYTES, ...options });
    this.opened = new Promise((resolve, reject) => {
      this.socket.on("open", resolve);
      this.socket.on("error", reject);
    });
    this.opened.catch(() => {});
    this.closed = new Promise((resolve) => {
      this.socket.on("close", (code, reason) => {
        for (const { reject } of this.#waiting) reject(new Error(`closed with ${code} ${reason}`));
        resolve({ code, reason: reason.toString() });
      });
    });
    this.socket.on("message", (data, isBinary) => {
      const message = isBinary ? (data as Buffer) : data.toString();
      const next = this.#waiting.shift();
      if (next === undefined) this.#messages.push(message);
      else next.resolve(message);
    });
  }

  next(): Promise<Buffer | string> {
    const message = this.#messages.shift();
    if (message !== undefined) return Promise.resolve(message);
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  async echo(content: Buffer | string): Promise<void> {
    this.socket.send(content);
    const answer = await this.next();
    equal("type", typeof answer, typeof content);
    equal("message", digest(Buffer.from(answer)), digest(Buffer.from(content)));
  }
}

let names = 0;
const unique = (): string => `ws-${process.pid}-${++names}`;

/** @param base such as `ws://10.0.0.1:80` */
export function wsCases(base: string): Readonly<Record<string, () => Promise<void>>> {
  const open = async (path: string, options?: ClientOptions, protocols?: string[]): Promise<Client> => {
    const client = new Client(`${base}${path}`, options, protocols);
    await client.opened;
    return client;
  };
  const using = async (client: Client, run: (client: Client) => Promise<void>): Promise<void> => {
    try {
      await run(client);
    } finally {
      client.socket.terminate();
    }
  };
  const endOf = async (name: string): Promise<string> => {
    const other = await open(`/ended/${name}`);
    return String(await other.next());
  };
  return {
    echo_text: async () =>
      using(await open("/echo", PLAIN), async (client) => {
        for (const size of SIZES) await client.echo("é😈x".slice(0, size % 4) + "a".repeat(size));
      }),
    echo_binary: async () =>
      using(await open("/echo", PLAIN), async (client) => {
        for (const size of SIZES) await client.echo(randomBytes(size));
      }),
    echo_16_mib: async () => using(await open("/echo", PLAIN), (client) => client.echo(randomBytes(BIG_BYTES))),
    fragments: async () =>
      using(await open("/echo", PLAIN), async (client) => {
        const pieces = [10, 0, 70_000, 1].map((size) => randomBytes(size));
        for (const [i, piece] of pieces.entries()) client.socket.send(piece, { fin: i === pieces.length - 1 });
        equal("message", digest((await client.next()) as Buffer), digest(Buffer.concat(pieces)));
      }),
    ping_pong: async () =>
      using(await open("/echo"), async ({ socket }) => {
        for (const content of ["", "x".repeat(125)]) {
          socket.ping(content);
          equal("pong", await new Promise((resolve) => socket.once("pong", (data) => resolve(data.toString()))), content);
        }
      }),
    compressed: async () =>
      using(await open("/echo", { perMessageDeflate: true }), async (client) => {
        ok("not negotiated", client.socket.extensions.includes("permessage-deflate"));
        await client.echo("z".repeat(300_000));
        await client.echo(randomBytes(300_000));
      }),
    subprotocol: async () =>
      using(await open("/echo", {}, ["first", "second"]), async ({ socket }) => equal("subprotocol", socket.protocol, "second")),
    server_first: async () => using(await open("/first"), async (client) => equal("message", await client.next(), "first")),
    async refused() {
      const client = new Client(`${base}/refuse`);
      const [status, body] = await new Promise<[number | undefined, string]>((resolve, reject) => {
        client.socket.on("open", () => reject(new Error("opened")));
        client.socket.on("unexpected-response", (_request, response) => {
          let text = "";
          response.on("data", (chunk: Buffer) => {
            text += chunk.toString();
          });
          response.on("end", () => resolve([response.statusCode, text]));
        });
      });
      equal("answer", [status, body.trim()], [403, "no"]);
      client.socket.terminate();
    },
    async close_by_client() {
      for (const [code, reason] of [
        [1000, ""],
        [1001, "leaving"],
        [3000, "é".repeat(61)],
        [4999, "own"],
      ] as const) {
        const name = unique();
        const client = await open(`/named/${name}`);
        client.socket.close(code, reason);
        equal("answer", (await client.closed).code, code);
        equal("at the server", await endOf(name), `${code} ${reason}`);
      }
    },
    async close_by_server() {
      for (const [code, reason] of [
        [1000, ""],
        [1001, "leaving"],
        [1011, "error"],
        [4000, "own"],
      ] as const) {
        const client = await open(`/close/${code}/${reason}`);
        equal("close", await client.closed, { code, reason });
      }
    },
    async abrupt_end() {
      const name = unique();
      const client = await open(`/named/${name}`, PLAIN);
      await client.echo("x");
      client.socket.terminate();
      equal("at the server", (await endOf(name)).split(" ")[0], "1006");
    },
    async parallel_200() {
      await Promise.all(
        Array.from({ length: SOCKETS }, async (_, n) =>
          using(await open("/echo", PLAIN), async (client) => {
            for (let i = 0; i < 10; i++) await client.echo(`${n} ${i} `.repeat(50));
          }),
        ),
      );
    },
    both_ways: async () =>
      using(await open("/echo", PLAIN), async (client) => {
        const contents = Array.from({ length: 2000 }, (_, i) => randomBytes((i * 13) % 40_000));
        for (const content of contents) client.socket.send(content);
        for (const content of contents) equal("message", digest((await client.next()) as Buffer), digest(content));
      }),
  };
}
