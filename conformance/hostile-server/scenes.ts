// What takes more than one request to see: many streams, limits that change, servers that never learn.
import { createServer, type Socket } from "node:net";
import { concat, data, goaway, Peer, rst, settings, settingsAck } from "../../packages/http2/testing/wire.ts";
import { headers } from "../smuggling/frames.ts";
import { within } from "../smuggling/recorder.ts";
import type { CaseResult } from "../suite.ts";
import type { Door } from "./doors.ts";

type Line = {
  readonly text: string;
  readonly stream: number;
  /** Number of the connection, from 1. */
  readonly connection: number;
  readonly socket: Socket;
  readonly peer: Peer;
};

type Server = { readonly port: number; readonly accepted: number; stop(): void };

const ok = (peer: Peer, stream: number): Uint8Array =>
  concat(peer.headers(stream, [":status", "200", "content-length", "2"]), data(stream, "ok", true));

/** A server whose every frame is told to `onLine`. `greeting`: its first bytes on each connection. */
async function serve(
  onLine: (line: Line) => void,
  greeting: (connection: number) => Uint8Array | null = () => settings(),
): Promise<Server> {
  const sockets = new Set<Socket>();
  let accepted = 0;
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const connection = ++accepted;
    const peer = new Peer(true);
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("end", () => socket.end());
    socket.on("error", () => {});
    const first = greeting(connection);
    if (first !== null) socket.write(first);
    socket.on("data", (chunk) => {
      for (const text of peer.read(chunk)) {
        if (text.startsWith("SETTINGS") && text !== "SETTINGS ACK") socket.write(settingsAck());
        onLine({ text, stream: Number(text.split(" ")[1]), connection, socket, peer });
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return {
    port: address.port,
    get accepted() {
      return accepted;
    },
    stop() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

const isRequest = ({ text }: Line): boolean => text.startsWith("HEADERS ");

/** So many requests at once, and what each got. */
function burst(door: Door, n: number): Promise<string[]> {
  return Promise.all(Array.from({ length: n }, async () => within((await door.start("GET", "")).outcome, "an answer", 5000)));
}

function tally(outcomes: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const one of outcomes) counts.set(one, (counts.get(one) ?? 0) + 1);
  return [...counts]
    .sort()
    .map(([one, n]) => `${n} × ${one}`)
    .join(", ");
}

const equal = (got: string, wanted: string): string | null => (got === wanted ? null : `${got}, not ${wanted}`);

/** Until nothing is in progress. */
async function idle(door: Door): Promise<string | null> {
  for (let i = 0; door.inFlight() > 0; i++) {
    if (i === 200) return `${door.inFlight()} requests are still in flight`;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return null;
}

type Scene = (door: Door) => Promise<string | null>;

/** Runs with a server, and looks afterwards whether something is left. */
const scene =
  (
    onLine: () => (line: Line) => void,
    run: (door: Door, server: Server) => Promise<string | null>,
    greeting?: (connection: number) => Uint8Array | null,
  ): Scene =>
  async (door) => {
    const server = await serve(onLine(), greeting);
    try {
      door.point(server.port);
      const detail = await run(door, server);
      if (detail !== null) return detail;
      await door.bystander();
      return await idle(door);
    } finally {
      server.stop();
    }
  };

const none = (door: Door): string => (door.client === "http1" ? "502" : "RST REFUSED_STREAM");

const SCENES: Readonly<Record<string, Scene>> = {
  "an error of one stream leaves the others of its connection alone (RFC 9113 §5.4.2)": scene(
    () => {
      const waiting: Line[] = [];
      return (line) => {
        if (!isRequest(line)) return;
        waiting.push(line);
        if (waiting.length < 10) return;
        // Every second one is malformed; then the rest is answered.
        waiting.forEach(({ socket, peer, stream }, i) => {
          if (i % 2 === 0) socket.write(peer.headers(stream, ["x", "no-status"], true));
        });
        waiting.forEach(({ socket, peer, stream }, i) => {
          if (i % 2 === 1) socket.write(ok(peer, stream));
        });
      };
    },
    async (door, server) =>
      equal(tally(await burst(door, 10)), "5 × 200 ok, 5 × 502") ?? (server.accepted === 1 ? null : "the connection was given up"),
  ),
  "500 requests, then GOAWAY without them: all go again, nothing is left (CVE-2023-35945)": scene(
    () => {
      let requests = 0;
      return (line) => {
        if (!isRequest(line)) return;
        if (line.connection > 1) line.socket.write(ok(line.peer, line.stream));
        else if (++requests === 500) line.socket.write(goaway(0, 0));
      };
    },
    async (door) => equal(tally(await burst(door, 500)), "500 × 200 ok"),
  ),
  "500 requests, then the end of the connection (CVE-2021-32778)": scene(
    () => {
      let requests = 0;
      return (line) => {
        if (!isRequest(line)) return;
        if (line.connection > 1) line.socket.write(ok(line.peer, line.stream));
        else if (++requests === 500) line.socket.resetAndDestroy();
      };
    },
    async (door) => equal(tally(await burst(door, 500)), "500 × 502") ?? equal(tally(await burst(door, 10)), "10 × 200 ok"),
  ),
  "a server that resets 500 requests (CVE-2023-44487 turned round)": scene(
    () => (line) => {
      if (isRequest(line)) line.socket.write(line.stream > 1000 ? ok(line.peer, line.stream) : rst(line.stream, 2));
    },
    async (door, server) => {
      const got = tally(await burst(door, 500));
      const wrong = equal(got, `500 × ${door.client === "http1" ? "502" : "RST INTERNAL_ERROR"}`);
      if (wrong !== null) return wrong;
      return server.accepted === 1 ? null : "the connection was given up";
    },
  ),
  "a server that refuses every stream: an end after a bounded number of tries (RFC 9113 §8.7)": scene(
    () => (line) => {
      if (isRequest(line)) line.socket.write(rst(line.stream, 7));
    },
    async (door) => equal(tally(await burst(door, 5)), `5 × ${none(door)}`),
  ),
  "a server that says GOAWAY to every request: an end after a bounded number of tries (RFC 9113 §6.8)": scene(
    () => (line) => {
      if (isRequest(line)) line.socket.end(goaway(0, 0));
    },
    async (door, server) => {
      const got = (await burst(door, 1))[0] ?? "";
      if (got !== none(door) && got !== "504" && got !== "502") return got;
      return server.accepted <= 7 ? null : `${server.accepted} connections for one request`;
    },
  ),
  "a server that ends every connection at once (RFC 9113 §9.1)": scene(
    () => () => {},
    async (door, server) => {
      const got = (await burst(door, 1))[0] ?? "";
      if (got !== "502" && got !== "504" && got !== none(door)) return got;
      // Backoff is between the tries: 20 ms and more here.
      return server.accepted <= 40 ? null : `${server.accepted} connections for one request`;
    },
    () => goaway(0, 0),
  ),
  "never more streams than MAX_CONCURRENT_STREAMS, and none is lost (RFC 9113 §5.1.2)": scene(
    () => {
      let open = 0;
      let most = 0;
      return (line) => {
        if (!isRequest(line)) return;
        most = Math.max(most, ++open);
        setTimeout(() => {
          open--;
          line.socket.write(most > 3 ? rst(line.stream, 1) : ok(line.peer, line.stream));
        }, 1);
      };
    },
    async (door) => {
      // The first request brings the SETTINGS here.
      await burst(door, 1);
      return equal(tally(await burst(door, 30)), "30 × 200 ok");
    },
    () => settings(3, 3),
  ),
  "MAX_CONCURRENT_STREAMS falls to 0 and rises again (CVE-2021-32780)": scene(
    () => {
      let first = true;
      return (line) => {
        if (!isRequest(line)) return;
        line.socket.write(ok(line.peer, line.stream));
        if (!first) return;
        first = false;
        line.socket.write(settings(3, 0));
        setTimeout(() => line.socket.write(settings(3, 100)), 100);
      };
    },
    async (door, server) => {
      const wrong = equal(tally(await burst(door, 1)), "1 × 200 ok");
      if (wrong !== null) return wrong;
      await new Promise((resolve) => setTimeout(resolve, 10));
      return equal(tally(await burst(door, 10)), "10 × 200 ok") ?? (server.accepted === 1 ? null : "another connection was made");
    },
  ),
  "MAX_CONCURRENT_STREAMS stays 0: requests end by fail-fast (CVE-2021-32780)": scene(
    () => (line) => {
      if (!isRequest(line)) return;
      line.socket.write(ok(line.peer, line.stream));
      line.socket.write(settings(3, 0));
    },
    async (door) => {
      const wrong = equal(tally(await burst(door, 1)), "1 × 200 ok");
      if (wrong !== null) return wrong;
      await new Promise((resolve) => setTimeout(resolve, 10));
      return equal(tally(await burst(door, 5)), "5 × 504");
    },
  ),
  "DATA of one stream that its client does not read leaves the others alone (RFC 9113 §5.2)": scene(
    () => {
      let first = true;
      return (line) => {
        if (!isRequest(line)) return;
        if (!first) {
          line.socket.write(ok(line.peer, line.stream));
          return;
        }
        first = false;
        // As much as the window of a stream lets it.
        line.socket.write(
          concat(
            line.peer.headers(line.stream, [":status", "200"]),
            ...Array.from({ length: 3 }, () => data(line.stream, new Uint8Array(16_384))),
          ),
        );
      };
    },
    async (door) => {
      const slow = await door.start("GET", "");
      const wrong = equal(tally(await burst(door, 20)), "20 × 200 ok");
      slow.cancel();
      return wrong;
    },
  ),
};

/** What a hundred bombs leave behind. */
const MAX_GROWTH_BYTES = 8 << 20;

/** Bombs again and again: neither streams nor memory are left (CVE-2016-1544, CVE-2024-27316). */
const memory: Scene = scene(
  () => (line) => {
    if (!isRequest(line)) return;
    const bomb = Buffer.concat([
      Buffer.of(0x88, 0x40, 1, 0x61, 0x7f, 0x81, 0x1e),
      Buffer.alloc(0xf00, 0x61),
      // Beyond the list's bound, and every reference costs the sender one byte.
      Buffer.alloc(4000, 0xbe),
    ]);
    line.socket.write(headers(line.stream, bomb, true));
  },
  async (door) => {
    await burst(door, 20);
    Bun.gc(true);
    const before = process.memoryUsage().heapUsed;
    for (let i = 0; i < 10; i++) {
      const wrong = equal(tally(await burst(door, 10)), "10 × 502");
      if (wrong !== null) return wrong;
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
    Bun.gc(true);
    const grown = process.memoryUsage().heapUsed - before;
    return grown < MAX_GROWTH_BYTES ? null : `the heap grew by ${Math.round(grown / 1024)} KiB`;
  },
);

export async function runScenes(door: Door): Promise<CaseResult[]> {
  const results: CaseResult[] = [];
  const scenes = { ...SCENES, "a hundred HPACK bombs: nothing is left (CVE-2016-1544)": memory };
  for (const [name, run] of Object.entries(scenes)) {
    const detail = await run(door).catch((error: Error) => error.message);
    results.push({ target: door.name, case: `scene: ${name}`, outcome: detail === null ? "passed" : "failed", detail: detail ?? "" });
  }
  return results;
}
