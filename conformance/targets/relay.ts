// A relay that adds mesh TLS, for clients that cannot speak it (server name, client certificate, no ALPN). As a program, `bun relay.ts
// FILE`: one on each of the file's ports; says "listening".
import { readFileSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";

export type RelayOptions = {
  /** On 127.0.0.1; 0 = any. */
  readonly port: number;
  readonly to: { readonly ip: string; readonly port: number };
  readonly servername: string;
  /** PEM. */
  readonly ca: string;
  readonly key: string;
  readonly cert: string;
};

export async function relayTls(options: RelayOptions): Promise<{ readonly port: number; stop(): Promise<void> }> {
  const { to, servername, ca, key, cert } = options;
  const sockets = new Set<Socket>();
  const relay = createServer({ allowHalfOpen: true }, (plain) => {
    const secure = connectTls({ host: to.ip, port: to.port, servername, ca, key, cert, allowHalfOpen: true });
    for (const socket of [plain, secure]) {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        sockets.delete(socket);
        plain.destroy();
        secure.destroy();
      });
    }
    plain.pipe(secure).pipe(plain);
  });
  await new Promise<void>((resolve) => relay.listen(options.port, "127.0.0.1", resolve));
  const address = relay.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return {
    port: address.port,
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => relay.close(resolve));
    },
  };
}

if (import.meta.main) {
  const { to, ports, ...rest } = JSON.parse(readFileSync(process.argv[2] ?? "", "utf8")) as Omit<RelayOptions, "to" | "port"> & {
    to: string;
    ports: number[];
  };
  for (const port of ports) await relayTls({ ...rest, port, to: { ip: to, port } });
  console.log("listening");
}
