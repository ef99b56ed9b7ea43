// A server that answers Upgrade and CONNECT byte by byte, as no library lets one: `node raw-server.mjs PORT`; says "listening". What a
// path (of CONNECT, the first label of the host) asks for:
//   /late     101 after a while, with how many bytes had come beyond the head in `x-early`; then an echo
//   /first    101 and the first bytes in one write; then an echo
//   /duplex   sends SIZE bytes of seed 2, whatever comes; at the client's end, the digest of what came, and its own end
//   /ends     sends SIZE bytes of seed 2 and ends its half; what came until the client's end is told to /told
//   /reset    101, then a reset
//   /told     200 with what the last /ends, /reset or /late got
//   /ok       200 instead of 101; the connection goes on
import { createHash, type Hash } from "node:crypto";
import { createServer, type Socket } from "node:net";
import { Bytes } from "./bytes.ts";
import { deferred } from "./deferred.ts";

const SIZE = 8 << 20;
const CHUNK = 1 << 16;
const LATE_MS = 400;
const HEAD_END = "\r\n\r\n";

const last: { told: Promise<string> } = { told: Promise.resolve("nothing") };
const switching = (protocol: string, ...fields: string[]): string =>
  ["HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", `Upgrade: ${protocol}`, ...fields, "", ""].join("\r\n");
const answer = (text: string): string => `HTTP/1.1 200 OK\r\nContent-Length: ${text.length}\r\n\r\n${text}`;

/** Writes SIZE bytes of seed 2 as fast as they are taken. */
function send(socket: Socket, done: () => void): void {
  const bytes = new Bytes(2);
  let left = SIZE;
  const more = (): void => {
    while (left > 0) {
      left -= CHUNK;
      if (!socket.write(bytes.take(CHUNK)) && left > 0) {
        socket.once("drain", more);
        return;
      }
    }
    done();
  };
  more();
}

function serve(socket: Socket): void {
  let buffer = Buffer.alloc(0);
  let onBytes: ((chunk: Buffer) => void) | null = null;
  let onEnd: (() => void) | null = null;
  let requests = 0;
  socket.setNoDelay(true);
  socket.on("error", () => {});
  socket.on("end", () => (onEnd === null ? socket.end() : onEnd()));

  const upgraded = (bytes: (chunk: Buffer) => void, end: () => void): void => {
    onBytes = bytes;
    onEnd = end;
    const early = buffer;
    buffer = Buffer.alloc(0);
    if (early.length > 0) bytes(early);
  };
  const echo = (): void =>
    upgraded(
      (chunk) => void socket.write(chunk),
      () => socket.end(),
    );

  const exchange = (head: string): void => {
    requests++;
    const [method = "", target = ""] = head.split(" ", 2);
    const path = method === "CONNECT" ? `/${target.split(/[.:]/)[0]}` : target;
    const protocol = /^upgrade: *(.*)$/im.exec(head)?.[1]?.trim() ?? "";
    const { promise, resolve } = deferred<string>();
    const hash: Hash = createHash("sha256");
    switch (path) {
      case "/late":
        last.told = promise;
        onBytes = (chunk) => {
          buffer = Buffer.concat([buffer, chunk]);
        };
        setTimeout(() => {
          const early = `x-early: ${buffer.length}`;
          if (method === "CONNECT") socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 0\r\n${early}\r\n\r\n`);
          else socket.write(switching(protocol, early));
          echo();
        }, LATE_MS);
        return;
      case "/first":
        socket.write(`${switching(protocol)}first bytes`);
        echo();
        return;
      case "/duplex":
        socket.write(switching(protocol));
        upgraded(
          (chunk) => void hash.update(chunk),
          () => sent.then(() => socket.end(hash.digest("hex"))),
        );
        break;
      case "/ends": {
        last.told = promise;
        let length = 0;
        socket.write(switching(protocol));
        upgraded(
          (chunk) => {
            length += chunk.length;
            hash.update(chunk);
          },
          () => resolve(`${length} ${hash.digest("hex")}`),
        );
        send(socket, () => socket.end());
        return;
      }
      case "/reset":
        last.told = promise;
        socket.write(switching(protocol));
        upgraded(
          (chunk) => {
            if (chunk.toString() === "you") socket.resetAndDestroy();
          },
          () => resolve("end"),
        );
        socket.on("close", (failed) => resolve(failed ? "reset" : "end"));
        return;
      case "/told":
        last.told.then((text) => socket.write(answer(text)));
        return;
      default:
        socket.write(answer(`request ${requests}`));
        return;
    }
    const sent = new Promise<void>((done) => send(socket, done));
  };

  socket.on("data", (chunk: Buffer) => {
    if (onBytes !== null) {
      onBytes(chunk);
      return;
    }
    buffer = Buffer.concat([buffer, chunk]);
    for (let end = buffer.indexOf(HEAD_END); end >= 0 && onBytes === null; end = buffer.indexOf(HEAD_END)) {
      const head = buffer.subarray(0, end + 2).toString("latin1");
      buffer = buffer.subarray(end + HEAD_END.length);
      exchange(head);
    }
  });
}

createServer({ allowHalfOpen: true }, serve).listen(Number(process.argv[2]), () => console.log("listening"));
