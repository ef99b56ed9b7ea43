// Envoy with one worker, HTTP/2 between the two, statistics on, policy by an RBAC filter: the installable peer nearest to
// linkerd2-proxy.
import { join } from "node:path";
import { stringify } from "yaml";
import { installEnvoy, run } from "../tools.ts";
import { CLIENT_ID, type Kind, SERVER_ID, type System } from "./system.ts";

const TYPE = "type.googleapis.com/envoy.extensions";
const address = (ip: string, port: number): object => ({ socket_address: { address: ip, port_value: port } });

type Side = { name: string; port: number; filters: object[]; tlsIn: object | null; cluster: object };

/** The last filter of a listener: the HTTP connection manager with its own filters, or these filters and the TCP proxy. */
function proxyFilters(side: Side, kind: Kind): object[] {
  if (kind === "tcp")
    return [
      ...side.filters,
      {
        name: "tcp",
        typed_config: {
          "@type": `${TYPE}.filters.network.tcp_proxy.v3.TcpProxy`,
          stat_prefix: side.name,
          cluster: "next",
        },
      },
    ];
  return [
    {
      name: "http",
      typed_config: {
        "@type": `${TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
        stat_prefix: side.name,
        codec_type: "AUTO",
        route_config: {
          virtual_hosts: [{ name: "all", domains: ["*"], routes: [{ match: { prefix: "/" }, route: { cluster: "next", timeout: "0s" } }] }],
        },
        http_filters: [...side.filters, { name: "router", typed_config: { "@type": `${TYPE}.filters.http.router.v3.Router` } }],
      },
    },
  ];
}

function config(side: Side, kind: Kind): string {
  return stringify({
    admin: { address: address("127.0.0.1", 4191) },
    static_resources: {
      listeners: [
        {
          name: side.name,
          address: address("0.0.0.0", side.port),
          filter_chains: [
            {
              ...(side.tlsIn === null
                ? {}
                : {
                    transport_socket: {
                      name: "tls",
                      typed_config: { "@type": `${TYPE}.transport_sockets.tls.v3.DownstreamTlsContext`, ...side.tlsIn },
                    },
                  }),
              filters: proxyFilters(side, kind),
            },
          ],
        },
      ],
      clusters: [side.cluster],
    },
  });
}

/** `http`: options of the upstream protocol, null for bytes. */
const cluster = (ip: string, http: object | null, extra: object): object => ({
  name: "next",
  type: "STATIC",
  connect_timeout: "1s",
  load_assignment: { cluster_name: "next", endpoints: [{ lb_endpoints: [{ endpoint: { address: address(ip, 8080) } }] }] },
  ...(http === null
    ? {}
    : {
        typed_extension_protocol_options: {
          "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": `${TYPE}.upstreams.http.v3.HttpProtocolOptions`,
            explicit_http_config: http,
          },
        },
      }),
  ...extra,
});

const HTTP1 = { http_protocol_options: {} };
const HTTP2 = { http2_protocol_options: {} };

export const envoy: System = {
  name: "envoy",
  kinds: ["http1", "http2", "tcp"],
  version: () => /version: [^/]*\/([^/]+)/.exec(run([installEnvoy(() => {}), "--version"]))?.[1] ?? "?",
  async start(lab, authority, { client, server, service }, kind) {
    const http = kind !== "tcp";
    const binary = installEnvoy(() => {});
    const own = (name: string): string => `${client.namespace}-${name}`;
    const file = (name: string): string => join(lab.directory, own(name));
    const [a, b] = await Promise.all([authority.issue(CLIENT_ID), authority.issue(SERVER_ID)]);
    const tls = (leaf: { certificate: string; key: string }, peer: string, alpn: boolean): object => ({
      // BoringSSL chooses among the ciphers of TLS 1.3 itself: CIPHER where the CPU has AES, as the others are told.
      tls_params: { tls_minimum_protocol_version: "TLSv1_3", tls_maximum_protocol_version: "TLSv1_3" },
      tls_certificates: [{ certificate_chain: { inline_string: leaf.certificate }, private_key: { inline_string: leaf.key } }],
      validation_context: {
        trusted_ca: { inline_string: authority.pem },
        match_typed_subject_alt_names: [{ san_type: "DNS", matcher: { exact: peer } }],
      },
      ...(alpn ? { alpn_protocols: ["h2"] } : {}),
    });
    await Bun.write(
      file("envoy-a.yaml"),
      config(
        {
          name: "a",
          port: 4140,
          filters: [],
          tlsIn: null,
          cluster: cluster(server.ip, http ? HTTP2 : null, {
            transport_socket: {
              name: "tls",
              typed_config: {
                "@type": `${TYPE}.transport_sockets.tls.v3.UpstreamTlsContext`,
                sni: SERVER_ID,
                common_tls_context: tls(a, SERVER_ID, http),
              },
            },
          }),
        },
        kind,
      ),
    );
    await Bun.write(
      file("envoy-b.yaml"),
      config(
        {
          name: "b",
          port: 4143,
          tlsIn: { require_client_certificate: true, common_tls_context: tls(b, CLIENT_ID, http) },
          filters: [
            {
              name: "rbac",
              typed_config: {
                "@type": `${TYPE}.filters.${http ? "http" : "network"}.rbac.v3.RBAC`,
                ...(http ? {} : { stat_prefix: "rbac" }),
                rules: {
                  action: "ALLOW",
                  policies: {
                    client: { permissions: [{ any: true }], principals: [{ authenticated: { principal_name: { exact: CLIENT_ID } } }] },
                  },
                },
              },
            },
          ],
          cluster: cluster(server.ip, kind === "tcp" ? null : kind === "http2" ? HTTP2 : HTTP1, {}),
        },
        kind,
      ),
    );
    const argv = (side: string): string[] => [
      binary,
      "-c",
      file(`envoy-${side}.yaml`),
      "--concurrency",
      "1",
      "--disable-hot-restart",
      "-l",
      "error",
    ];
    return {
      client,
      server,
      service,
      a: lab.startProxy(client, argv("a"), { log: own("a.log") }),
      b: lab.startProxy(server, argv("b"), { log: own("b.log") }),
      logs: [own("a.log"), own("b.log")],
    };
  },
};
