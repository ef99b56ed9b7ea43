// The application's side of each journey, in the client pod; knows nothing of proxies. One line of JSON (Outcome), exit status 0.
//   bun soak/journeys/client.ts retried|websocket|stream|upload SERVICE-ADDRESS [SECONDS|BYTES]
import { createHash } from "node:crypto";
import net from "node:net";
import * as grpc from "@grpc/grpc-js";
import { ECHO } from "../grpc-echo.ts";
import { Payloads, skewed } from "../payload.ts";
import { PORTS } from "../state.ts";

/** What was compared, for people. Anything that was not equal is an error instead. */
export type Outcome = { readonly compared: string };

const MEBIBYTE = 1024 * 1024;
const RETRIED_CALLS = 10;
const WEBSOCKET_MESSAGES = 200;
/** Between messages of the long stream, ms. */
const STREAM_PAUSE_MS = 100;

const payloads = new Payloads();

function compare(what: string, got: Buffer, wanted: Buffer): void {
  if (!got.equals(wanted)) throw new Error(`${what}: ${got.length} bytes that are not the ${wanted.length} that were sent`);
}

/** The server answers UNAVAILABLE to the first of each: an application that does not retry sees answers only if its proxy does. */
async function retried(channel: grpc.Client): Promise<string> {
  const { path, requestSerialize, responseDeserialize } = ECHO.Flaky;
  let bytes = 0;
  for (let i = 1; i <= RETRIED_CALLS; i++) {
    const message = payloads.of(i, 1 + i * 3000);
    const answer = await new Promise<Buffer>((resolve, reject) =>
      channel.makeUnaryRequest(path, requestSerialize, responseDeserialize, message, (error, value) =>
        error === null && value !== undefined ? resolve(value) : reject(error ?? new Error("no answer")),
      ),
    );
    compare(`call ${i}`, answer, message);
    bytes += answer.length;
  }
  return `${RETRIED_CALLS} calls that fail at first, ${bytes} bytes`;
}

async function websocket(address: string): Promise<string> {
  const socket = new WebSocket(`ws://${address}:${PORTS.http}/journey/ws`);
  socket.binaryType = "arraybuffer";
  let bytes = 0;
  let received = 0;
  const done = Promise.withResolvers<void>();
  const send = (): void => socket.send(new Uint8Array(payloads.of(received, skewed(received, 200_000))));
  socket.onopen = send;
  socket.onerror = (event) => done.reject(new Error((event as ErrorEvent).message));
  socket.onclose = (event) =>
    event.code === 1000 && received === WEBSOCKET_MESSAGES
      ? done.resolve()
      : done.reject(new Error(`closed with ${event.code} after ${received}`));
  socket.onmessage = (event) => {
    try {
      const got = Buffer.from(event.data as ArrayBuffer);
      compare(`message ${received}`, got, payloads.of(received, skewed(received, 200_000)));
      bytes += got.length;
    } catch (error) {
      done.reject(error);
    }
    if (++received === WEBSOCKET_MESSAGES) socket.close(1000);
    else send();
  };
  await done.promise;
  return `${received} messages, ${bytes} bytes each way`;
}

/** Messages both ways, none waiting for another, for as long as it takes; then both sides end. */
async function stream(channel: grpc.Client, seconds: number): Promise<string> {
  const { path, requestSerialize, responseDeserialize } = ECHO.Bidi;
  const call = channel.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
  let [sent, received, bytes] = [0, 0, 0];
  const done = Promise.withResolvers<void>();
  const of = (n: number): Buffer => payloads.of(n, 1 + skewed(n, 100_000));
  call.on("data", (message: Buffer) => {
    try {
      compare(`message ${received}`, message, of(received));
    } catch (error) {
      call.cancel();
      done.reject(error);
    }
    received++;
    bytes += message.length;
  });
  call.on("error", done.reject);
  call.on("status", ({ code }: grpc.StatusObject) => (code === 0 ? done.resolve() : done.reject(new Error(`status ${code}`))));
  const start = performance.now();
  const timer = setInterval(() => {
    if (performance.now() - start < seconds * 1000) call.write(of(sent++));
    else {
      clearInterval(timer);
      call.end();
    }
  }, STREAM_PAUSE_MS);
  await done.promise;
  clearInterval(timer);
  if (received !== sent) throw new Error(`${received} of ${sent} messages`);
  return `${Math.round((performance.now() - start) / 1000)} s, ${received} messages, ${bytes} bytes each way`;
}

/** The server answers with the number and the digest of the bytes it got. */
async function upload(address: string, bytes: number): Promise<string> {
  const hash = createHash("sha256");
  const socket = net.connect({ host: address, port: PORTS.upload });
  const answer = Promise.withResolvers<string>();
  let text = "";
  socket.on("data", (chunk: Buffer) => {
    text += chunk.toString("latin1");
  });
  socket.on("end", () => answer.resolve(text));
  socket.on("error", answer.reject);
  const start = performance.now();
  socket.write(`POST /journey/upload HTTP/1.1\r\nHost: ${address}\r\nContent-Length: ${bytes}\r\nConnection: close\r\n\r\n`);
  for (let sent = 0; sent < bytes; ) {
    const part = payloads.of(sent / MEBIBYTE, Math.min(MEBIBYTE, bytes - sent));
    hash.update(part);
    sent += part.length;
    if (!socket.write(part)) await new Promise<void>((resolve) => socket.once("drain", () => resolve()));
  }
  const seconds = (performance.now() - start) / 1000;
  const digest = hash.digest("hex");
  const got = await answer.promise;
  if (!got.startsWith("HTTP/1.1 200 ") || !got.includes(`${bytes} ${digest}\n`))
    throw new Error(`answered ${JSON.stringify(got)}, not ${bytes} ${digest}`);
  return `${bytes} bytes, SHA-256 ${digest}, ${(bytes / MEBIBYTE / seconds).toFixed(0)} MiB/s`;
}

const [name = "", address = "", amount = ""] = process.argv.slice(2);
const channel = new grpc.Client(`${address}:${PORTS.grpc}`, grpc.credentials.createInsecure(), { "grpc.max_receive_message_length": -1 });
const journeys: Readonly<Record<string, () => Promise<string>>> = {
  retried: () => retried(channel),
  websocket: () => websocket(address),
  stream: () => stream(channel, Number(amount)),
  upload: () => upload(address, Number(amount)),
};
const journey = journeys[name];
if (journey === undefined) throw new Error(`no journey ${name}`);
console.log(JSON.stringify({ compared: await journey() } satisfies Outcome));
process.exit(0);
