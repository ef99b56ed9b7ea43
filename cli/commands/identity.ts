// `identity`: the certificates that meshed pods present (spec cli §3.3).
import { connect } from "node:tls";
import { Command } from "commander";
import { type KubeClient, type Pod, Resources } from "#kube";
import { type GlobalOptions, kubeClient, messageOf } from "../context.ts";
import { CliError, type Io, UsageError } from "../io.ts";
import { containerPort, forwardPort } from "../port-forward.ts";

const HANDSHAKE_TIMEOUT_MS = 10_000;

export function identityCommand(io: Io): Command {
  return new Command("identity")
    .description("Display the certificate(s) of one or more selected pod(s)")
    .usage("[flags] (PODS)")
    .argument("[pods...]", "names of pods")
    .option("-n, --namespace <string>", "Namespace of the pod", "")
    .option("-l, --selector <string>", "Selector (label query) to filter on, supports ‘=’, ‘==’, and ‘!=’ ", "")
    .action(async (names: string[], _, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions & { namespace: string; selector: string }>();
      if (names.length === 0 && options.selector === "") throw new UsageError("Provide the pod name argument or use the selector flag");
      const client = kubeClient(options, io);
      const namespace = options.namespace || client.namespace;
      const pods =
        names.length > 0
          ? await Promise.all(names.map((name) => client.get<Pod>({ ...Resources.pods, namespace, name })))
          : (await client.list<Pod>({ ...Resources.pods, namespace }, { labelSelector: options.selector })).items;
      if (pods.length === 0) {
        io.stdout("Could not fetch Certificate. Ensure that the pod(s) are meshed by running `fairlead inject`\n");
        return;
      }
      const { describeCertificate } = await import("../certificate-text.ts");
      for (const [i, pod] of pods.entries()) {
        let chain: Uint8Array[];
        try {
          chain = await certificatesOf(client, pod);
        } catch (error) {
          // A pod that cannot be asked ends the listing, as in the reference; the exit status stays 0.
          io.stdout(`${messageOf(error)}\n`);
          return;
        }
        io.stdout(`\nPOD ${pod.metadata.name} (${i + 1} of ${pods.length})\n\n`);
        for (const der of chain) {
          const text = await describeCertificate(der);
          if (text) io.stdout(text);
        }
      }
    });
}

/** The chain a pod's proxy presents on its admin port for its own identity, leaf first, DER. Nothing is verified. */
export async function certificatesOf(client: KubeClient, pod: Pod): Promise<Uint8Array[]> {
  const { name = "", namespace = "" } = pod.metadata;
  if (pod.status?.phase !== "Running") throw new CliError(`pod not running: ${name}`);
  const admin = containerPort(pod, "linkerd-admin");
  const proxy = [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])].find((container) => container.name === "linkerd-proxy");
  if (!proxy || !admin) throw new CliError(`Could not fetch Certificate. Ensure that the pod(s) are meshed by running \`fairlead inject\`: ${namespace}/${name} has no linkerd-proxy with a port linkerd-admin`);
  const forward = forwardPort({ client, namespace, pod: name, port: admin.port });
  try {
    return await handshake(forward.port, identityOf(pod, proxy.env ?? []));
  } catch (error) {
    throw new CliError(forward.error ?? messageOf(error));
  } finally {
    forward.close();
  }
}

/** `SA.NS.serviceaccount.identity.L5DNS.TRUSTDOMAIN`, from the variables the injector leaves on the proxy. */
function identityOf(pod: Pod, env: readonly { name: string; value?: string }[]): string {
  const value = (name: string) => env.find((variable) => variable.name === name)?.value ?? "";
  return `${pod.spec?.serviceAccountName ?? "default"}.${pod.metadata.namespace}.serviceaccount.identity.${value("_l5d_ns")}.${value("_l5d_trustdomain")}`;
}

type PeerCertificate = { raw?: Uint8Array; issuerCertificate?: PeerCertificate };

function handshake(port: number, serverName: string): Promise<Uint8Array[]> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: "127.0.0.1", port, servername: serverName, rejectUnauthorized: false });
    const timer = setTimeout(() => socket.destroy(new Error("no TLS answer from the proxy")), HANDSHAKE_TIMEOUT_MS);
    socket.once("secureConnect", () => {
      const chain: Uint8Array[] = [];
      let next = socket.getPeerCertificate(true) as PeerCertificate | undefined;
      while (next?.raw && !chain.some((seen) => Buffer.compare(seen, next?.raw as Uint8Array) === 0)) {
        chain.push(next.raw);
        next = next.issuerCertificate;
      }
      clearTimeout(timer);
      socket.destroy();
      resolve(chain);
    });
    socket.once("error", (error: Error) => {
      clearTimeout(timer);
      reject(error);
    });
    socket.once("close", () => reject(new Error("the proxy closed the connection")));
  });
}
