// The application behind the policies: HTTP on 8080 answers with what it was asked, TCP on 9000 speaks first and then repeats what it hears.
const greeting = "welcome\n";

Bun.serve({
  hostname: "0.0.0.0",
  port: 8080,
  fetch: (request) => Response.json({ path: new URL(request.url).pathname, headers: Object.fromEntries(request.headers) }),
});
Bun.listen({
  hostname: "0.0.0.0",
  port: 9000,
  socket: { open: (socket) => void socket.write(greeting), data: (socket, data) => void socket.write(data) },
});
process.on("SIGTERM", () => process.exit(0));
