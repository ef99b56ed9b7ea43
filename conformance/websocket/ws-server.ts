// WebSocket server on the npm package ws: `node ws-server.mjs PORT`; says "listening". What a path asks for:
//   /echo             every message back, of the same type
//   /first            "first" as soon as it is open, then as /echo
//   /close/CODE/TEXT  closes as soon as it is open
//   /refuse           403 instead of 101
//   /named/NAME       as /echo; how it was closed is told to
//   /ended/NAME       "CODE TEXT", once the other one has been closed
import { createServer } from "node:http";
import { type WebSocket, WebSocketServer } from "ws";
import { type Deferred, deferred } from "./deferred.ts";

const MAX_BYTES = 64 << 20;
const sockets = new WebSocketServer({
  noServer: true,
  maxPayload: MAX_BYTES,
  perMessageDeflate: true,
  handleProtocols: (offered) => (offered.has("second") ? "second" : false),
});
const endings = new Map<string, Deferred<string>>();

function ending(name: string): Deferred<string> {
  const known = endings.get(name) ?? deferred<string>();
  endings.set(name, known);
  return known;
}

function serve(socket: WebSocket, kind: string, [first = "", second = ""]: string[]): void {
  socket.on("error", () => {});
  if (kind === "close") {
    socket.close(Number(first), second);
    return;
  }
  if (kind === "ended") {
    ending(first).promise.then((text) => {
      socket.send(text);
      socket.close(1000);
    });
    return;
  }
  if (kind === "first") socket.send("first");
  socket.on("message", (message, isBinary) => socket.send(message, { binary: isBinary }));
  if (kind === "named") socket.on("close", (code, reason) => ending(first).resolve(`${code} ${reason}`));
}

const server = createServer();
server.on("upgrade", (request, socket, head) => {
  const [kind = "", ...rest] = (request.url ?? "").slice(1).split("/").map(decodeURIComponent);
  if (kind === "refuse") socket.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
  else sockets.handleUpgrade(request, socket, head, (webSocket) => serve(webSocket, kind, rest));
});
server.listen(Number(process.argv[2]), () => console.log("listening"));
