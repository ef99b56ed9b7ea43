// The role `cluster-apiserver`: flags, then a server until SIGTERM or SIGINT.
import { Command, CommanderError, InvalidArgumentError } from "commander";
import { mastersGroup } from "./auth/user.ts";
import { readPki } from "./pki.ts";
import { startApiServer } from "./server.ts";

interface Flags {
  dataDir: string;
  bindAddress: string;
  securePort: number;
  pkiDir: string;
  nodeAgent?: string;
  serviceClusterIpRange: string;
  advertiseAddress?: string;
}

function port(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0 || value > 65535) throw new InvalidArgumentError("expected a port, 0 to 65535");
  return value;
}

/** Exit status: 0 after a signal, 1 when the server could not start, 2 for wrong flags. */
export async function main(args: string[], _env: Record<string, string | undefined>): Promise<number> {
  const command = new Command("cluster-apiserver")
    .requiredOption("--data-dir <dir>", "folder of the SQLite file")
    .requiredOption("--pki-dir <dir>", "folder with ca.crt, apiserver.crt/key, sa.key/pub and, where there is one, admin.token")
    .option("--bind-address <address>", "address to listen on", "127.0.0.1")
    .option("--secure-port <port>", "port to listen on; 0 picks one", port, 6443)
    .option("--advertise-address <address>", "address of this server in the endpoints of the `kubernetes` Service")
    .option("--node-agent <address>", "node agent for logs, exec, attach and port-forward: unix:/path or host:port")
    .option("--service-cluster-ip-range <cidr>", "addresses of Services", "10.96.0.0/16")
    .exitOverride();
  try {
    command.parse(args, { from: "user" });
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    throw error;
  }
  const { dataDir, bindAddress, securePort, pkiDir, nodeAgent, serviceClusterIpRange, advertiseAddress } = command.opts<Flags>();
  const log = (message: string, fields: Record<string, unknown>) =>
    console.error(JSON.stringify({ time: new Date().toISOString(), message, ...fields }));
  try {
    const pki = readPki(pkiDir);
    const server = await startApiServer({
      dataDir,
      bindAddress,
      securePort,
      pki,
      staticTokens:
        pki.adminToken === undefined ? [] : [{ token: pki.adminToken, user: { name: "kubernetes-admin", groups: [mastersGroup] } }],
      nodeAgent,
      serviceClusterIpRange,
      advertise: advertiseAddress === undefined ? undefined : { address: advertiseAddress },
      log,
    });
    log("listening", { url: server.url });
    await new Promise<void>((resolve) => {
      for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => resolve());
    });
    server.close();
    return 0;
  } catch (error) {
    log("the API server cannot start", { error: error instanceof Error ? error.message : String(error) });
    return 1;
  }
}
