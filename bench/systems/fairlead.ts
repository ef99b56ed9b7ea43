// Fairlead: the proxy of this checkout, compiled as it is shipped, with a control plane of its own (bench/control-plane.ts)
// for identity, discovery and policy. Metrics are on, as always.
import "reflect-metadata";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import * as x509 from "@peculiar/x509";
import { IMAGE_ENVIRONMENT } from "#image";
import { compile } from "../../scripts/build.ts";
import type { Authority } from "../certificates.ts";
import type { ControlPlaneConfig } from "../control-plane.ts";
import { type Lab, type Pair, type Pod, PROXY_UID } from "../lab.ts";
import { root, run } from "../tools.ts";
import { type Chain, CLIENT_ID, type Kind, SERVER_ID, type System } from "./system.ts";

export const CONTROL_PORT = 8086;
const SERVICE = "web.bench.svc.cluster.local";
const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;

export function fairleadExists(): boolean {
  return existsSync(join(root, "proxy", "main.ts"));
}

/** How the proxy is run: the executable of this checkout's sources, compiled into the lab's directory. */
const commands = new WeakMap<Lab, readonly string[]>();

export function proxyCommand(lab: Lab): readonly string[] {
  const known = commands.get(lab);
  if (known !== undefined) return known;
  // Out of the checkout: its folders may be closed to the proxies' user.
  const command = [compile("fairlead", lab.directory), "proxy"];
  commands.set(lab, command);
  return command;
}

type Ports = { readonly outbound: string; readonly inbound: string; readonly control: string; readonly admin: string };
export const POD_PORTS: Ports = { outbound: "127.0.0.1:4140", inbound: "0.0.0.0:4143", control: "0.0.0.0:4190", admin: "0.0.0.0:4191" };

/** The proxy's environment, as the injector sets it, and its files. */
export async function environment(
  lab: Lab,
  authority: Authority,
  name: string,
  identity: string,
  pod: Pod,
  ports: Ports,
): Promise<Record<string, string>> {
  const directory = join(lab.directory, `identity-${name}`);
  mkdirSync(directory, { recursive: true });
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const csr = await x509.Pkcs10CertificateRequestGenerator.create({
    name: `CN=${identity}`,
    keys,
    signingAlgorithm: ALGORITHM,
    extensions: [new x509.SubjectAlternativeNameExtension([{ type: "dns", value: identity }])],
  });
  await Bun.write(join(directory, "key.p8"), new Uint8Array(await crypto.subtle.exportKey("pkcs8", keys.privateKey)));
  await Bun.write(join(directory, "csr.der"), new Uint8Array(csr.rawData));
  await Bun.write(join(directory, "token"), "bench");
  run(["chown", "-R", String(PROXY_UID), directory]);
  const control = `127.0.0.1:${CONTROL_PORT}`;
  return {
    ...IMAGE_ENVIRONMENT,
    LINKERD2_PROXY_LOG: "warn",
    LINKERD2_PROXY_OUTBOUND_LISTEN_ADDR: ports.outbound,
    LINKERD2_PROXY_INBOUND_LISTEN_ADDR: ports.inbound,
    LINKERD2_PROXY_CONTROL_LISTEN_ADDR: ports.control,
    LINKERD2_PROXY_ADMIN_LISTEN_ADDR: ports.admin,
    LINKERD2_PROXY_INBOUND_IPS: pod.ip,
    LINKERD2_PROXY_INBOUND_PORTS: "8080",
    LINKERD2_PROXY_INBOUND_DEFAULT_POLICY: "all-unauthenticated",
    LINKERD2_PROXY_INBOUND_CONNECT_TIMEOUT: "100ms",
    LINKERD2_PROXY_OUTBOUND_CONNECT_TIMEOUT: "1000ms",
    LINKERD2_PROXY_INBOUND_ACCEPT_KEEPALIVE: "10000ms",
    LINKERD2_PROXY_OUTBOUND_CONNECT_KEEPALIVE: "10000ms",
    LINKERD2_PROXY_DESTINATION_SVC_ADDR: control,
    LINKERD2_PROXY_DESTINATION_CONTEXT: '{"ns":"bench", "nodeName":"bench"}\n',
    LINKERD2_PROXY_DESTINATION_PROFILE_NETWORKS: "10.0.0.0/8,100.64.0.0/10,172.16.0.0/12,192.168.0.0/16",
    LINKERD2_PROXY_DESTINATION_PROFILE_SUFFIXES: "svc.cluster.local.",
    LINKERD2_PROXY_POLICY_SVC_ADDR: control,
    LINKERD2_PROXY_POLICY_WORKLOAD: `bench:${name}`,
    LINKERD2_PROXY_POLICY_CLUSTER_NETWORKS: "10.0.0.0/8",
    LINKERD2_PROXY_IDENTITY_SVC_ADDR: control,
    LINKERD2_PROXY_IDENTITY_DIR: directory,
    LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS: authority.pem,
    LINKERD2_PROXY_IDENTITY_LOCAL_NAME: identity,
    LINKERD2_PROXY_IDENTITY_TOKEN_FILE: join(directory, "token"),
  };
}

/** What is left out, to see what it costs (goals P3). */
export type Without = {
  /** No policy controller: the default policy `all-unauthenticated` holds. */
  readonly policy?: true;
  /** The Server says HTTP/2, and lets everyone in. */
  readonly inboundDetection?: true;
};

/** Returns its process. */
async function startControlPlane(
  lab: Lab,
  authority: Authority,
  pod: Pod,
  pair: Pick<Pair, "server" | "otherIp" | "service">,
  kind: Kind = "http1",
  without: Without = {},
): Promise<number> {
  const config: ControlPlaneConfig = {
    rootPem: authority.pem,
    rootKey: await authority.exportKey(),
    service: SERVICE,
    serviceAddress: pair.service,
    endpointIp: pair.server.ip,
    endpointPort: 8080,
    endpointIdentity: SERVER_ID,
    clientIdentity: without.inboundDetection ? null : CLIENT_ID,
    protocol: kind === "tcp" ? "opaque" : without.inboundDetection ? "http2" : "detect",
    churnIp: pair.otherIp,
  };
  const file = join(lab.directory, `control-${pod.namespace}.json`);
  await Bun.write(file, JSON.stringify(config));
  return lab.start(pod, lab.otherCore, [process.execPath, join(root, "bench", "control-plane.ts"), String(CONTROL_PORT), file], {
    log: `control-${pod.namespace}.log`,
  });
}

export type Fairlead = System & {
  /** From the start of the process until `/ready`: certificate installed, ms; one value per start. */
  startTimes(lab: Lab, authority: Authority, repeats: number): Promise<number[]>;
};

async function startChain(lab: Lab, authority: Authority, pair: Pair, kind: Kind, without: Without): Promise<Chain> {
  const { client, server, service } = pair;
  const controlPlane = await startControlPlane(lab, authority, client, pair, kind, without);
  await startControlPlane(lab, authority, server, pair, kind, without);
  const argv = proxyCommand(lab);
  const log = (side: string): string => `${client.namespace}-${side}.log`;
  const start = async (pod: Pod, side: string, identity: string, ips: string): Promise<number> => {
    const { LINKERD2_PROXY_POLICY_SVC_ADDR: policy = "", ...env } = await environment(
      lab,
      authority,
      pod.namespace,
      identity,
      pod,
      POD_PORTS,
    );
    return lab.startProxy(pod, argv, {
      env: {
        ...env,
        ...(without.policy ? {} : { LINKERD2_PROXY_POLICY_SVC_ADDR: policy }),
        LINKERD2_PROXY_INBOUND_IPS: ips,
      },
      log: log(side),
    });
  };
  return {
    client,
    server,
    service,
    a: await start(client, "a", CLIENT_ID, client.ip),
    b: await start(server, "b", SERVER_ID, `${server.ip},${pair.otherIp}`),
    controlPlane,
    logs: [log("a"), log("b"), `control-${client.namespace}.log`, `control-${server.namespace}.log`],
  };
}

/** Fairlead with something left out. */
export function fairleadWithout(name: string, kind: Kind, without: Without): System {
  return {
    name,
    kinds: [kind],
    version: fairlead.version,
    start: (lab, authority, pair) => startChain(lab, authority, pair, kind, without),
  };
}

export const fairlead: Fairlead = {
  name: "fairlead",
  kinds: ["http1", "http2", "tcp"],
  version: () => (JSON.parse(run(["cat", join(root, "package.json")])) as { version: string }).version,
  start: (lab, authority, pair, kind) => startChain(lab, authority, pair, kind, {}),
  check(lab, { client, server }, kind) {
    const metrics = (pod: Pod): string[] =>
      run(lab.command(pod, lab.otherCore, ["curl", "-sS", "--max-time", "5", "http://127.0.0.1:4191/metrics"])).split("\n");
    const has = (pod: Pod, name: string, ...labels: string[]): boolean =>
      metrics(pod).some((line) => line.startsWith(`${name}{`) && labels.every((label) => line.includes(label)));
    if (kind === "tcp")
      return has(client, "tcp_open_total", 'peer="dst"', 'tls="true"', `server_id="${SERVER_ID}"`) &&
        !has(client, "request_total", 'direction="outbound"')
        ? null
        : "no tcp_open_total of mutual TLS at proxy A, or requests were seen in bytes";
    if (!has(server, "request_total", 'direction="inbound"', 'tls="true"', `client_id="${CLIENT_ID}"`))
      return "no request_total of mutual TLS at proxy B";
    if (!has(server, "inbound_http_authz_allow_total", 'srv_name="web"', 'saz_name="web-client"'))
      return "no inbound_http_authz_allow_total of the policy at proxy B";
    return null;
  },
  async startTimes(lab, authority, repeats) {
    const pair = lab.pods("start");
    const pod = pair.client;
    await startControlPlane(lab, authority, pod, pair);
    await Bun.sleep(1000);
    const env = await environment(lab, authority, "start", CLIENT_ID, pod, POD_PORTS);
    const argv = lab.command(pod, lab.proxyCore, [
      process.execPath,
      join(root, "bench", "ready.ts"),
      POD_PORTS.admin.split(":")[1] as string,
      ...proxyCommand(lab),
    ]);
    const times: number[] = [];
    for (let i = 0; i < repeats; i++)
      times.push(
        Number(
          Bun.spawnSync(argv, { env: { PATH: process.env.PATH ?? "", ...env }, stdout: "pipe", stderr: "ignore" })
            .stdout.toString()
            .trim()
            .split("\n")
            .at(-1),
        ),
      );
    await lab.remove([pair.client, pair.server]);
    return times.filter(Number.isFinite);
  },
};
