// WebSocket client on Bun's own stack: `bun bun-client.ts --server_host=HOST --server_port=PORT --test_case=NAME[,NAME …]`.
import { equal, flags, runCases } from "../cases.ts";

const { host, port, cases } = flags(process.argv);
const base = `ws://${host}:${port}`;
const SIZES = [0, 1, 125, 126, 127, 65_535, 65_536, 1 << 20] as const;
const BIG_BYTES = 16 << 20;
const SOCKETS = 200;

type Message = string | ArrayBuffer;
const digest = (message: Message | Uint8Array): string =>
  typeof message === "string"
    ? `text ${message.length} ${Bun.hash(message)}`
    : `${message.byteLength} bytes ${Bun.hash(message instanceof Uint8Array ? message : new Uint8Array(message))}`;
const random = (size: number): Uint8Array<ArrayBuffer> => {
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size; at += 65_536) crypto.getRandomValues(bytes.subarray(at, Math.min(size, at + 65_536)));
  return bytes;
};

/** A socket that is open, whose messages are read one by one. */
async function open(path: string, protocols: string[] = []) {
  const socket = new WebSocket(`${base}${path}`, protocols);
  socket.binaryType = "arraybuffer";
  const messages: Message[] = [];
  const waiting: PromiseWithResolvers<Message>[] = [];
  const closed = Promise.withResolvers<{ code: number; reason: string }>();
  socket.addEventListener("message", ({ data }) => {
    const next = waiting.shift();
    if (next === undefined) messages.push(data as Message);
    else next.resolve(data as Message);
  });
  socket.addEventListener("close", ({ code, reason }) => {
    for (const { reject } of waiting) reject(new Error(`closed with ${code} ${reason}`));
    closed.resolve({ code, reason });
  });
  await new Promise<void>((resolve, reject) => {
    socket.addEventListener("open", () => resolve());
    socket.addEventListener("error", () => reject(new Error("not opened")));
  });
  const next = (): Promise<Message> => {
    const message = messages.shift();
    if (message !== undefined) return Promise.resolve(message);
    const promise = Promise.withResolvers<Message>();
    waiting.push(promise);
    return promise.promise;
  };
  const echo = async (content: string | Uint8Array<ArrayBuffer>): Promise<void> => {
    socket.send(content);
    equal("message", digest(await next()), digest(content));
  };
  return { socket, closed: closed.promise, next, echo };
}

let names = 0;
const unique = (): string => `bun-${process.pid}-${++names}`;

await runCases(cases, {
  async echo_text() {
    const { echo } = await open("/echo");
    for (const size of SIZES) await echo("é😈x".slice(0, size % 4) + "a".repeat(size));
  },
  async echo_binary() {
    const { echo } = await open("/echo");
    for (const size of SIZES) await echo(random(size));
  },
  async echo_16_mib() {
    const { echo } = await open("/echo");
    await echo(random(BIG_BYTES));
  },
  async compressed() {
    const { socket, echo } = await open("/echo");
    equal("extensions", socket.extensions.includes("permessage-deflate"), true);
    await echo("z".repeat(300_000));
    await echo(random(300_000));
  },
  async subprotocol() {
    const { socket } = await open("/echo", ["first", "second"]);
    equal("subprotocol", socket.protocol, "second");
  },
  async server_first() {
    equal("message", await (await open("/first")).next(), "first");
  },
  async refused() {
    const opened = await open("/refuse").then(
      () => true,
      () => false,
    );
    equal("opened", opened, false);
  },
  async close_by_client() {
    for (const [code, reason] of [
      [1000, ""],
      [3000, "é".repeat(61)],
      [4999, "own"],
    ] as const) {
      const name = unique();
      const { socket, closed } = await open(`/named/${name}`);
      socket.close(code, reason);
      await closed;
      equal("at the server", await (await open(`/ended/${name}`)).next(), `${code} ${reason}`);
    }
  },
  async close_by_server() {
    for (const [code, reason] of [
      [1000, ""],
      [1001, "leaving"],
      [1011, "error"],
      [4000, "own"],
    ] as const)
      equal("close", await (await open(`/close/${code}/${reason}`)).closed, { code, reason });
  },
  async abrupt_end() {
    const name = unique();
    const { socket, echo } = await open(`/named/${name}`);
    await echo("x");
    // Bun's own; the DOM's type does not have it.
    (socket as WebSocket & { terminate(): void }).terminate();
    equal("at the server", String(await (await open(`/ended/${name}`)).next()).split(" ")[0], "1006");
  },
  async parallel_200() {
    await Promise.all(
      Array.from({ length: SOCKETS }, async (_, n) => {
        const { socket, echo } = await open("/echo");
        for (let i = 0; i < 10; i++) await echo(`${n} ${i} `.repeat(50));
        socket.close();
      }),
    );
  },
  async both_ways() {
    const { socket, next } = await open("/echo");
    const contents = Array.from({ length: 2000 }, (_, i) => random((i * 13) % 40_000));
    for (const content of contents) socket.send(content);
    for (const content of contents) equal("message", digest(await next()), digest(content));
  },
});
process.exit(0);
