// `identity`: the certificates that meshed pods present (spec cli §3.3).
import { connect } from "node:tls";
import type { Command } from "commander";
import { type KubeClient, type Pod, Resources } from "#kube";
import { anyArguments, defineCommand } from "../command.ts";
import { kubeClient, messageOf } from "../context.ts";
import { string } from "../flags.ts";
import { CliError, type Io, UsageError } from "../io.ts";
import { containerPort, proxyOf } from "../pods.ts";
import { withPort } from "../port-forward.ts";

const HANDSHAKE_TIMEOUT_MS = 10_000;
const NOT_MESHED = "Could not fetch Certificate. Ensure that the pod(s) are meshed by running `fairlead inject`";

export function identityCommand(io: Io): Command {
  return defineCommand<{ namespace?: string; selector?: string }>(io, {
    name: "identity",
    description: "Display the certificate(s) of one or more selected pod(s)",
    long: "Display the certificate(s) of one or more selected pod(s).\n\nThis command initiates a port-forward to a given pod or a set of pods and\nfetches the TLS certificate.",
    usage: "[flags] (PODS)",
    examples: [
      "# Get certificate from pod foo-bar in the default namespace.",
      "fairlead identity foo-bar",
      "",
      "# Get certificate from all pods with the label name=nginx",
      "fairlead identity -l name=nginx",
    ],
    arguments: anyArguments,
    flags: [
      string("-n, --namespace", "Namespace of the pod"),
      string("-l, --selector", "Selector (label query) to filter on, supports ‘=’, ‘==’, and ‘!=’"),
    ],
    async run({ args: names, flags }) {
      if (names.length === 0 && !flags.selector) throw new UsageError("Provide the pod name argument or use the selector flag");
      const client = kubeClient(flags, io);
      const pods = { ...Resources.pods, namespace: flags.namespace ?? client.namespace };
      const found =
        names.length > 0
          ? await Promise.all(names.map((name) => client.get<Pod>({ ...pods, name })))
          : (await client.list<Pod>(pods, { labelSelector: flags.selector })).items;
      if (found.length === 0) return io.stdout(`${NOT_MESHED}\n`);
      const { describeCertificate } = await import("../certificate-text.ts");
      for (const [i, pod] of found.entries()) {
        let chain: Uint8Array[];
        try {
          chain = await certificatesOf(client, pod);
        } catch (error) {
          // A pod that cannot be asked ends the listing, as in the reference; the exit status stays 0.
          return io.stdout(`${messageOf(error)}\n`);
        }
        const texts = chain.map(describeCertificate).filter((text) => text !== null);
        io.stdout(`\nPOD ${pod.metadata.name} (${i + 1} of ${found.length})\n\n${texts.join("")}`);
      }
    },
  });
}

/** The chain a pod's proxy presents on its admin port for its own identity, leaf first, DER. Nothing is verified. @throws {CliError} */
export async function certificatesOf(client: KubeClient, pod: Pod): Promise<Uint8Array[]> {
  const { name = "", namespace = "" } = pod.metadata;
  if (pod.status?.phase !== "Running") throw new CliError(`pod not running: ${name}`);
  const port = containerPort(pod, "linkerd-admin");
  const proxy = proxyOf(pod);
  if (!proxy || port === undefined)
    throw new CliError(`${NOT_MESHED}: ${namespace}/${name} has no container linkerd-proxy with a port linkerd-admin`);
  const env = new Map(proxy.env?.map((variable) => [variable.name, variable.value ?? ""]));
  const missing = ["_l5d_ns", "_l5d_trustdomain"].find((variable) => !env.get(variable));
  if (missing)
    throw new CliError(
      `${namespace}/${name}: container linkerd-proxy has no ${missing} in its environment: the pod's identity is not known`,
    );
  const account = `${pod.spec?.serviceAccountName ?? "default"}.${namespace}`;
  const serverName = `${account}.serviceaccount.identity.${env.get("_l5d_ns")}.${env.get("_l5d_trustdomain")}`;
  return withPort({ client, namespace, pod: name, port }, (local) => presentedChain(local, serverName));
}

type PeerCertificate = { raw?: Uint8Array; issuerCertificate?: PeerCertificate };

/** @throws {CliError} */
function presentedChain(port: number, serverName: string): Promise<Uint8Array[]> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: "127.0.0.1", port, servername: serverName, rejectUnauthorized: false });
    const end = (error?: Error) => {
      clearTimeout(timer);
      socket.destroy();
      if (error) reject(new CliError(`${serverName}: ${error.message}`));
    };
    const timer = setTimeout(
      () => end(new Error(`no TLS answer from the proxy within ${HANDSHAKE_TIMEOUT_MS / 1000} s`)),
      HANDSHAKE_TIMEOUT_MS,
    );
    socket.once("secureConnect", () => {
      const chain: Uint8Array[] = [];
      let next = socket.getPeerCertificate(true) as PeerCertificate | undefined;
      while (next?.raw) {
        const { raw } = next;
        // The last one is its own issuer.
        if (chain.some((seen) => Buffer.compare(seen, raw) === 0)) break;
        chain.push(raw);
        next = next.issuerCertificate;
      }
      end();
      resolve(chain);
    });
    socket.once("error", end);
    socket.once("close", () => end(new Error("the proxy closed the connection")));
  });
}
