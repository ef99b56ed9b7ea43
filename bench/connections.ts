// Connections one by one, each with one HTTP/1 request: how many a second are due, open loop; or many that then stay idle.
//   bun bench/connections.ts once IP PORT TLS.json COUNT RATE EXPECTED-BODY-BYTES   → one line of JSON
//   bun bench/connections.ts hold IP PORT TLS.json COUNT RATE EXPECTED-BODY-BYTES   → the line, then idle until standard input ends
// TLS.json: {certificate, key, ca, serverName}, all PEM; `-` for plain TCP.
import { readFileSync } from "node:fs";
import net from "node:net";
import tls from "node:tls";

export type ConnectionsResult = {
  readonly sent: number;
  readonly answered: number;
  /** Connections that broke or whose answer was not 200 with the expected size, and the first reason. */
  readonly wrong: number;
  readonly reason: string;
  readonly seconds: number;
};

export type ConnectionsTls = { readonly certificate: string; readonly key: string; readonly ca: string; readonly serverName: string };

const GIVE_UP_MS = 10_000;

/** null while the response is not complete. */
function verdict(text: string, bodyBytes: number): "right" | "wrong" | null {
  const end = text.indexOf("\r\n\r\n");
  if (end < 0) return null;
  const length = /\r\ncontent-length: *(\d+)/i.exec(text.slice(0, end + 2));
  if (!text.startsWith("HTTP/1.1 200 ") || Number(length?.[1]) !== bodyBytes) return "wrong";
  if (text.length < end + 4 + bodyBytes) return null;
  return text.length === end + 4 + bodyBytes ? "right" : "wrong";
}

async function main(args: readonly string[]): Promise<void> {
  const [mode = "", host = "", port = "", tlsFile = "", count = "", rate = "", bodyBytes = ""] = args;
  const hold = mode === "hold";
  const identity = tlsFile === "-" ? null : (JSON.parse(readFileSync(tlsFile, "utf8")) as ConnectionsTls);
  // Parsed once, not per connection.
  const secureContext =
    identity === null
      ? undefined
      : tls.createSecureContext({
          cert: identity.certificate,
          key: identity.key,
          ca: identity.ca,
          minVersion: "TLSv1.3",
          // What all systems can; left to themselves the others' libraries know no ML-KEM, and ours takes it.
          ecdhCurve: "X25519",
        });
  const request = `GET / HTTP/1.1\r\nHost: ${host}\r\n${hold ? "" : "Connection: close\r\n"}\r\n`;
  const total = Number(count);
  let [sent, answered, wrong, reason] = [0, 0, 0, ""];
  const finished = Promise.withResolvers<void>();

  const open = (): void => {
    sent++;
    let text = "";
    let done = false;
    const finish = (fault: string | null): void => {
      if (done) return;
      done = true;
      if (fault === null) answered++;
      else {
        wrong++;
        reason ||= fault;
      }
      if (fault !== null || !hold) socket.destroy();
      if (answered + wrong === total) finished.resolve();
    };
    const socket: net.Socket =
      identity === null
        ? net.connect(Number(port), host)
        : tls.connect({ host, port: Number(port), servername: identity.serverName, ...(secureContext ? { secureContext } : {}) });
    socket.on(identity === null ? "connect" : "secureConnect", () => void socket.write(request));
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1");
      const said = verdict(text, Number(bodyBytes));
      if (said !== null) finish(said === "right" ? null : text.slice(0, 200).split("\r\n", 2).join(", "));
    });
    socket.on("error", (error) => finish(error.message));
    socket.on("close", () => finish(`closed after ${JSON.stringify(text.slice(0, 200))}`));
  };

  const start = performance.now();
  const timer = setInterval(() => {
    const due = Math.min(total, Math.floor(((performance.now() - start) * Number(rate)) / 1000));
    while (sent < due) open();
    if (sent === total) clearInterval(timer);
  }, 1);
  const giveUp = (total / Number(rate)) * 1000 + GIVE_UP_MS;
  await Promise.race([finished.promise, Bun.sleep(giveUp)]);
  const result: ConnectionsResult = {
    sent,
    answered,
    wrong: wrong + (total - answered - wrong),
    reason: reason || (answered < total ? "not answered in time" : ""),
    seconds: (performance.now() - start) / 1000,
  };
  console.log(JSON.stringify(result));
  if (hold) for await (const _ of process.stdin);
  process.exit(0);
}

if (import.meta.main) await main(process.argv.slice(2));
