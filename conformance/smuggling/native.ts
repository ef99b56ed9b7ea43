// The cases of HTTP/2 without downgrade: an application that speaks HTTP/2 itself. What is malformed by RFC 9113 ends here too,
// as the application may do what the proxy did not: turn it into HTTP/1.
import { createServer, type Socket } from "node:net";
import { frame, Peer, settings, settingsAck } from "../../packages/http2/testing/wire.ts";
import { allowAll } from "../../proxy/testing/policies.ts";
import { TestProxy } from "../../proxy/testing/proxies.ts";
import { dialRaw } from "../../proxy/testing/wire.ts";
import type { CaseResult, Target } from "../suite.ts";
import { DOWNGRADES, type DowngradeCase } from "./downgrades.ts";
import { block, FrameClient, headers } from "./frames.ts";
import { within } from "./recorder.ts";
import { framesOf } from "./run-downgrades.ts";

export type NativeDoor = Target & { readonly app: FrameRecorder };

/** An application of raw frames: it writes down what it gets, and answers every request that is complete. */
class FrameRecorder {
  readonly port: number;
  readonly stop: () => void;
  /** Lines such as `HEADERS 3 :method=GET … END`. */
  lines: string[] = [];

  private constructor(port: number, stop: () => void) {
    this.port = port;
    this.stop = stop;
  }

  static async start(): Promise<FrameRecorder> {
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.on("close", () => sockets.delete(socket));
      socket.on("error", () => {});
      const peer = new Peer(true);
      socket.write(settings());
      socket.on("data", (chunk) => {
        for (const line of peer.read(chunk)) {
          if (line.startsWith("SETTINGS") && line !== "SETTINGS ACK") socket.write(settingsAck());
          else if (/^(HEADERS|DATA|RST_STREAM|GOAWAY|CONTINUATION) /.test(line)) recorder.lines.push(line);
          if (/^(HEADERS|DATA) .* END$/.test(line)) socket.write(peer.headers(Number(line.split(" ")[1]), [":status", "200"], true));
          // The connection's window is large, a stream's is not: every byte is given back.
          const data = /^DATA (\d+) ([1-9]\d*)$/.exec(line);
          if (data !== null) socket.write(frame(8, 0, Number(data[1]), [0, 0, 0, Number(data[2]) & 255]));
        }
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("no port");
    const recorder = new FrameRecorder(address.port, () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    });
    return recorder;
  }

  take(): string[] {
    const { lines } = this;
    this.lines = [];
    return lines;
  }
}

/** Clear text to the inbound port, HTTP/2 to the application. */
export async function inboundHttp2(): Promise<NativeDoor> {
  const app = await FrameRecorder.start();
  const proxy = new TestProxy({ identity: null });
  proxy.inboundDst = { ip: "127.0.0.1", port: app.port };
  proxy.policy(app.port, allowAll());
  return {
    name: "inbound-http2",
    what: "HTTP/2 in clear text to the inbound port, HTTP/2 to the application",
    port: proxy.inboundListener.port,
    app,
    stop() {
      proxy.stop();
      app.stop();
    },
  };
}

const get = (path: string): readonly (readonly [string, string])[] => [
  [":method", "GET"],
  [":scheme", "http"],
  [":authority", "a"],
  [":path", path],
];

export async function runNative(door: NativeDoor): Promise<CaseResult[]> {
  const results: CaseResult[] = [];
  for (const one of DOWNGRADES) {
    if (one.native === null) continue;
    const detail = await runCase(door, one).catch((error: Error) => error.message);
    results.push({
      target: door.name,
      case: `${one.group.replace("downgrade", "http2")}: ${one.name} (${one.source})`,
      outcome: detail === null ? "passed" : "failed",
      detail: detail ?? "",
    });
  }
  return results;
}

async function runCase(door: NativeDoor, one: DowngradeCase): Promise<string | null> {
  const client = new FrameClient(await within(dialRaw(door.port), "the connection"));
  try {
    const request = async (stream: number, path: string): Promise<void> => {
      client.write(headers(stream, block(get(path)), true));
      const line = await within(
        client.find((own) => own.startsWith(`HEADERS ${stream} `)),
        path,
      );
      if (!line?.startsWith(`HEADERS ${stream} :status=200`)) throw new Error(`${path} was answered ${line}`);
    };
    await request(1, "/warm");
    door.app.take();
    client.write(framesOf(one, 3, null));
    const line = await within(
      client.find((own) => /^(RST_STREAM|HEADERS) 3 |^GOAWAY /.test(own)),
      "the answer",
    );
    if (one.native === "accepted") {
      if (!line?.startsWith("HEADERS 3 :status=200")) return `answered ${line}`;
      const got = door.app.take().filter((own) => own.startsWith("HEADERS ") && own.includes(":method="));
      return got.length === 1 ? null : `the application got ${got.length} requests`;
    }
    if (line === null || !/^(RST_STREAM 3|GOAWAY \d+) PROTOCOL_ERROR$/.test(line)) return `answered ${line}`;
    // The connection goes on after a stream error; what it brings now has come behind everything before.
    if (line.startsWith("RST_STREAM")) await request(5, "/barrier");
    const got = door.app.take().filter((own) => !own.includes("=/barrier"));
    if (one.native === "refused") return got.length === 0 ? null : `the application got ${got.join(", ")}`;
    const whole = got.filter((own) => own.endsWith(" END"));
    if (whole.length > 0) return `the application got a whole request: ${whole.join(", ")}`;
    return got.length === 0 || got.some((own) => own.startsWith("RST_STREAM ")) ? null : "the application's stream was not reset";
  } finally {
    client.raw.socket.destroy();
  }
}
