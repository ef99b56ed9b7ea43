// WebSocket server on Bun's own stack: `bun bun-server.ts PORT`; says "listening". Paths as in ws-server.ts.
type Data = { readonly kind: string; readonly rest: readonly string[] };
const MAX_BYTES = 64 << 20;

const endings = new Map<string, PromiseWithResolvers<string>>();
function ending(name: string): PromiseWithResolvers<string> {
  const known = endings.get(name) ?? Promise.withResolvers<string>();
  endings.set(name, known);
  return known;
}

Bun.serve<Data>({
  hostname: "0.0.0.0",
  port: Number(process.argv[2]),
  fetch(request, server) {
    const [kind = "", ...rest] = new URL(request.url).pathname.slice(1).split("/").map(decodeURIComponent);
    if (kind === "refuse") return new Response("no", { status: 403 });
    const offered = request.headers.get("sec-websocket-protocol") ?? "";
    const headers: Record<string, string> = offered.includes("second") ? { "sec-websocket-protocol": "second" } : {};
    return server.upgrade(request, { data: { kind, rest }, headers }) ? undefined : new Response("no", { status: 426 });
  },
  websocket: {
    perMessageDeflate: true,
    maxPayloadLength: MAX_BYTES,
    backpressureLimit: MAX_BYTES,
    open(socket) {
      const { kind, rest } = socket.data;
      if (kind === "close") socket.close(Number(rest[0]), rest[1]);
      else if (kind === "first") socket.send("first");
      else if (kind === "ended")
        ending(rest[0] ?? "").promise.then((text) => {
          socket.send(text);
          socket.close(1000);
        });
    },
    message(socket, message) {
      socket.send(message, true);
    },
    close(socket, code, reason) {
      if (socket.data.kind === "named") ending(socket.data.rest[0] ?? "").resolve(`${code} ${reason}`);
    },
  },
});
console.log("listening");
