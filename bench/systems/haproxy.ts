// HAProxy, HTTP/2 between the two: the leanest peer.
import { join } from "node:path";
import { run } from "../tools.ts";
import { CIPHER, CLIENT_ID, SERVER_ID, type System } from "./system.ts";

const common = (user: string): string => `global
  maxconn 4096
  nbthread 1
  ssl-default-bind-ciphersuites ${CIPHER}
  ssl-default-server-ciphersuites ${CIPHER}
  ssl-default-bind-options ssl-min-ver TLSv1.3
  # ${user}
defaults
  mode http
  timeout client 600s
  timeout server 600s
  timeout connect 5s
  http-reuse always
`;

export const haproxy: System = {
  name: "haproxy-h2",
  version: () => /version (\S+)/.exec(run(["haproxy", "-v"]))?.[1] ?? "?",
  async start(lab, authority, { client, server, service }) {
    const file = (name: string): string => join(lab.directory, name);
    const [a, b] = await Promise.all([authority.issue(CLIENT_ID), authority.issue(SERVER_ID)]);
    await Bun.write(file("ca.pem"), authority.pem);
    await Bun.write(file("haproxy-a.pem"), `${a.certificate}\n${a.key}`);
    await Bun.write(file("haproxy-b.pem"), `${b.certificate}\n${b.key}`);
    await Bun.write(
      file("haproxy-a.cfg"),
      `${common("proxy A")}frontend in
  bind 0.0.0.0:4140
  default_backend out
backend out
  server b ${server.ip}:8080 ssl crt ${file("haproxy-a.pem")} ca-file ${file("ca.pem")} verify required sni str(${SERVER_ID}) verifyhost ${SERVER_ID} alpn h2
`,
    );
    await Bun.write(
      file("haproxy-b.cfg"),
      `${common("proxy B")}frontend in
  bind 0.0.0.0:4143 ssl crt ${file("haproxy-b.pem")} ca-file ${file("ca.pem")} verify required alpn h2
  # Policy: this client and no other.
  http-request deny deny_status 403 unless { ssl_c_s_dn(cn) -m str ${CLIENT_ID} }
  default_backend app
backend app
  server app ${server.ip}:8080
`,
    );
    return {
      client,
      server,
      service,
      a: lab.startProxy(client, ["haproxy", "-f", file("haproxy-a.cfg")], { log: "haproxy-a.log" }),
      b: lab.startProxy(server, ["haproxy", "-f", file("haproxy-b.cfg")], { log: "haproxy-b.log" }),
      logs: ["haproxy-a.log", "haproxy-b.log"],
    };
  },
};
