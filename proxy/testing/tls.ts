// TLS clients of tests that nobody here wrote: node's.
import { createServer } from "node:net";
import tls, { type TLSSocket } from "node:tls";
import type { Credentials } from "../contracts.ts";
import { type Raw, raw } from "./wire.ts";

export type MeshDial = {
  readonly port: number;
  readonly serverName: string;
  /** Null: no client certificate. */
  readonly credentials: Credentials | null;
  readonly ca: string;
  readonly alpn?: string[];
};

export function dialTls(options: MeshDial): Promise<Raw & { readonly tls: TLSSocket }> {
  const { promise, resolve, reject } = Promise.withResolvers<Raw & { readonly tls: TLSSocket }>();
  const socket = tls.connect({
    host: "127.0.0.1",
    port: options.port,
    servername: options.serverName,
    ca: options.ca,
    allowHalfOpen: true,
    ...(options.credentials === null ? {} : { key: options.credentials.keyPem, cert: options.credentials.certChainPem }),
    ...(options.alpn === undefined ? {} : { ALPNProtocols: options.alpn }),
  } as tls.ConnectionOptions);
  socket.once("error", reject);
  socket.once("secureConnect", () => resolve({ ...raw(socket), tls: socket }));
  return promise;
}

/** The bytes of node's ClientHello. */
export async function clientHello(serverName: string): Promise<Buffer> {
  const { promise, resolve } = Promise.withResolvers<Buffer>();
  const listener = createServer((socket) => socket.once("data", (chunk) => resolve(chunk)).on("error", () => {}));
  await new Promise<void>((done) => listener.listen(0, "127.0.0.1", done));
  const client = tls.connect({ host: "127.0.0.1", port: (listener.address() as { port: number }).port, servername: serverName });
  client.on("error", () => {});
  const hello = await promise;
  client.destroy();
  listener.close();
  return hello;
}
