// HAProxy, HTTP/2 between the two: the leanest peer.
import { join } from "node:path";
import { run } from "../tools.ts";
import { CIPHER, CLIENT_ID, type Kind, SERVER_ID, type System } from "./system.ts";

const common = (side: string, kind: Kind): string => `global
  maxconn 4096
  nbthread 1
  ssl-default-bind-ciphersuites ${CIPHER}
  ssl-default-server-ciphersuites ${CIPHER}
  ssl-default-bind-options ssl-min-ver TLSv1.3
  # ${side}
defaults
  mode ${kind === "tcp" ? "tcp" : "http"}
  timeout client 600s
  timeout server 600s
  timeout connect 5s
${kind === "tcp" ? "" : "  http-reuse always\n"}`;

export const haproxy: System = {
  name: "haproxy-h2",
  kinds: ["http1", "http2", "tcp"],
  version: () => /version (\S+)/.exec(run(["haproxy", "-v"]))?.[1] ?? "?",
  async start(lab, authority, { client, server, service }, kind) {
    const alpn = kind === "tcp" ? "" : " alpn h2";
    const own = (name: string): string => `${client.namespace}-${name}`;
    const file = (name: string): string => join(lab.directory, own(name));
    const [a, b] = await Promise.all([authority.issue(CLIENT_ID), authority.issue(SERVER_ID)]);
    await Bun.write(file("ca.pem"), authority.pem);
    await Bun.write(file("haproxy-a.pem"), `${a.certificate}\n${a.key}`);
    await Bun.write(file("haproxy-b.pem"), `${b.certificate}\n${b.key}`);
    await Bun.write(
      file("haproxy-a.cfg"),
      `${common("proxy A", kind)}frontend in
  bind 0.0.0.0:4140
  default_backend out
backend out
  server b ${server.ip}:8080 ssl crt ${file("haproxy-a.pem")} ca-file ${file("ca.pem")} verify required sni str(${SERVER_ID}) verifyhost ${SERVER_ID}${alpn}
`,
    );
    await Bun.write(
      file("haproxy-b.cfg"),
      `${common("proxy B", kind)}frontend in
  bind 0.0.0.0:4143 ssl crt ${file("haproxy-b.pem")} ca-file ${file("ca.pem")} verify required${alpn}
  # Policy: this client and no other.
  ${kind === "tcp" ? "tcp-request session reject" : "http-request deny deny_status 403"} unless { ssl_c_s_dn(cn) -m str ${CLIENT_ID} }
  default_backend app
backend app
  server app ${server.ip}:8080${kind === "http2" ? " proto h2" : ""}
`,
    );
    return {
      client,
      server,
      service,
      a: lab.startProxy(client, ["haproxy", "-f", file("haproxy-a.cfg")], { log: own("a.log") }),
      b: lab.startProxy(server, ["haproxy", "-f", file("haproxy-b.cfg")], { log: own("b.log") }),
      logs: [own("a.log"), own("b.log")],
    };
  },
};
