// The application behind the policies: HTTP on 8080 answers with what it was asked, TCP on 9000 speaks first and then repeats what it hears.
// `/relay?to=URL` answers with {"begun": true} at once, and asks that URL only when the pod was told to end: {"status": its answer's status}.
// Told to end, it finishes what it has begun.
const greeting = "welcome\n";
/** From the signal to the call of a relay: the proxy beside it got its own by then. */
const RELAY_DELAY_MS = 300;
const terminated = new Promise<void>((resolve) => process.once("SIGTERM", () => resolve()));

async function* relay(to: string) {
  const line = (value: object) => `${JSON.stringify(value)}\n`;
  yield line({ begun: true });
  await terminated;
  await Bun.sleep(RELAY_DELAY_MS);
  const status = await fetch(to, { signal: AbortSignal.timeout(5000) }).then(
    (response) => response.status,
    (error: Error) => error.message,
  );
  yield line({ status });
}

const http = Bun.serve({
  hostname: "0.0.0.0",
  port: 8080,
  idleTimeout: 60,
  fetch(request) {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname === "/relay") return new Response(relay(searchParams.get("to") ?? "") as unknown as ReadableStream);
    return Response.json({ path: pathname, headers: Object.fromEntries(request.headers) });
  },
});
Bun.listen({
  hostname: "0.0.0.0",
  port: 9000,
  socket: { open: (socket) => void socket.write(greeting), data: (socket, data) => void socket.write(data) },
});
await terminated;
await http.stop();
process.exit(0);
