// Steady traffic as a process: `bun load.ts http1|grpc HOST PORT RATE CONNECTIONS`. A line of JSON (LoadReport) whenever a line comes on
// standard input; the last one, with nothing under way, when the input ends. Requests begin at their time whatever became of those
// before (open loop). What HTTP/1 clients try again, this one does: a request on a reused connection that ended without a byte of
// an answer. gRPC is @grpc/grpc-js, which knows itself what it may try again.
import http from "node:http";
import { createInterface } from "node:readline";
import * as grpc from "@grpc/grpc-js";

export type LoadReport = {
  readonly sent: number;
  readonly ok: number;
  readonly underWay: number;
  /** Tries beyond the first of each request. */
  readonly again: number;
  /** Requests that failed, by what they met. */
  readonly failed: Readonly<Record<string, number>>;
  /** Latency of those that did well, ms; from the time they were to begin. */
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
};

const TIMEOUT_MS = 20_000;
const MAX_TRIES = 5;

type Answer = { readonly ok: true } | { readonly ok: false; readonly why: string; readonly unseen: boolean };
type Send = (connection: number) => Promise<Answer>;

function http1(host: string, port: number, connections: number): Send {
  const agents = Array.from({ length: connections }, () => new http.Agent({ keepAlive: true, maxSockets: 4 }));
  return (connection) =>
    new Promise((resolve) => {
      const request = http.request(
        { host, port, path: "/load", agent: agents[connection] as http.Agent, timeout: TIMEOUT_MS },
        (response) => {
          let length = 0;
          response.on("data", (chunk: Buffer) => {
            length += chunk.length;
          });
          response.on("end", () => {
            if (response.statusCode === 200 && length > 0) resolve({ ok: true });
            else resolve({ ok: false, why: `${response.statusCode} ${response.headers["l5d-proxy-error"] ?? ""}`.trim(), unseen: false });
          });
          response.on("error", (error) => resolve({ ok: false, why: `within the answer: ${error.message}`, unseen: false }));
          response.on("aborted", () => resolve({ ok: false, why: "within the answer: aborted", unseen: false }));
        },
      );
      request.on("timeout", () => request.destroy(new Error("timeout")));
      request.on("error", (error) =>
        resolve({ ok: false, why: error.message, unseen: request.reusedSocket && error.message !== "timeout" }),
      );
      request.end();
    });
}

function grpcCalls(host: string, port: number, connections: number): Send {
  const clients = Array.from(
    { length: connections },
    // A subchannel pool of its own: a connection each.
    () => new grpc.Client(`${host}:${port}`, grpc.credentials.createInsecure(), { "grpc.use_local_subchannel_pool": 1 }),
  );
  const bytes = (value: Buffer): Buffer => value;
  return (connection) =>
    new Promise((resolve) => {
      const message = Buffer.from("load");
      const deadline = Date.now() + TIMEOUT_MS;
      (clients[connection] as grpc.Client).makeUnaryRequest("/load.Load/Call", bytes, bytes, message, { deadline }, (error, answer) => {
        if (error) resolve({ ok: false, why: `grpc-status ${error.code} ${error.details}`, unseen: false });
        else if (answer?.equals(message)) resolve({ ok: true });
        else resolve({ ok: false, why: "another message", unseen: false });
      });
    });
}

if (import.meta.main) {
  const [protocol = "", host = "", port = "", rate = "", connections = ""] = process.argv.slice(2);
  const send = (protocol === "grpc" ? grpcCalls : http1)(host, Number(port), Number(connections));
  const latencies: number[] = [];
  const failed: Record<string, number> = {};
  let sent = 0;
  let ok = 0;
  let underWay = 0;
  let again = 0;

  const one = async (n: number, due: number): Promise<void> => {
    sent++;
    underWay++;
    let answer = await send(n % Number(connections));
    // Other connections of the pool may have ended at the same time.
    for (let tries = 0; !answer.ok && answer.unseen && tries < MAX_TRIES; tries++) {
      again++;
      answer = await send(n % Number(connections));
    }
    underWay--;
    if (answer.ok) {
      ok++;
      latencies.push(performance.now() - due);
    } else failed[answer.why] = (failed[answer.why] ?? 0) + 1;
  };
  const report = (): void => {
    const sorted = Float64Array.from(latencies).sort();
    const at = (share: number): number =>
      Math.round((sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0) * 100) / 100;
    const line: LoadReport = { sent, ok, underWay, again, failed, p50: at(0.5), p99: at(0.99), max: at(1) };
    console.log(JSON.stringify(line));
  };

  const start = performance.now();
  let next = 0;
  const clock = setInterval(() => {
    for (const due = Math.floor(((performance.now() - start) * Number(rate)) / 1000); next < due; next++)
      void one(next, start + (next * 1000) / Number(rate));
  }, 2);
  createInterface({ input: process.stdin })
    .on("line", () => {
      report();
      latencies.length = 0;
    })
    .on("close", async () => {
      clearInterval(clock);
      while (underWay > 0) await Bun.sleep(5);
      report();
      process.exit(0);
    });
}
