// nghttpx, HTTP/2 between the two. It has no policy by client name: any certificate of the root is let in.
import { join } from "node:path";
import { run } from "../tools.ts";
import { CIPHER, CLIENT_ID, SERVER_ID, type System } from "./system.ts";

export const nghttpx: System = {
  name: "nghttpx-h2",
  kinds: ["http1", "http2"],
  version: () => /nghttpx nghttp2\/(\S+)/.exec(run(["nghttpx", "--version"]))?.[1] ?? "?",
  async start(lab, authority, { client, server, service }, kind) {
    const own = (name: string): string => `${client.namespace}-${name}`;
    const file = (name: string): string => join(lab.directory, own(name));
    const [a, b] = await Promise.all([authority.issue(CLIENT_ID), authority.issue(SERVER_ID)]);
    await Bun.write(file("ca.pem"), authority.pem);
    for (const [name, leaf] of [
      ["nghttpx-a", a],
      ["nghttpx-b", b],
    ] as const) {
      await Bun.write(file(`${name}.crt`), leaf.certificate);
      await Bun.write(file(`${name}.key`), leaf.key);
    }
    const common = [
      "nghttpx",
      "--conf=/dev/null",
      "--workers=1",
      "--no-ocsp",
      "--backend-keep-alive-timeout=600s",
      "--frontend-http2-read-timeout=600s",
      "--log-level=ERROR",
    ];
    return {
      client,
      server,
      service,
      a: lab.startProxy(
        client,
        [
          ...common,
          "--frontend=0.0.0.0,4140;no-tls",
          `--backend=${server.ip},8080;;proto=h2;tls;sni=${SERVER_ID}`,
          `--cacert=${file("ca.pem")}`,
          `--client-cert-file=${file("nghttpx-a.crt")}`,
          `--client-private-key-file=${file("nghttpx-a.key")}`,
          `--tls13-client-ciphers=${CIPHER}`,
        ],
        { log: own("a.log") },
      ),
      b: lab.startProxy(
        server,
        [
          ...common,
          "--frontend=0.0.0.0,4143",
          `--backend=${server.ip},8080${kind === "http2" ? ";;proto=h2" : ""}`,
          "--verify-client",
          `--verify-client-cacert=${file("ca.pem")}`,
          `--tls13-ciphers=${CIPHER}`,
          file("nghttpx-b.key"),
          file("nghttpx-b.crt"),
        ],
        { log: own("b.log") },
      ),
      logs: [own("a.log"), own("b.log")],
    };
  },
};
