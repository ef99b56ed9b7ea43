// A real API server, the chart installed by kubectl, and roles as processes against it: for tests of the control plane.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type AnyObject, KubeClient, Resources } from "#kube";
import { type ApiServer, createPki, startApiServer } from "../../cluster/apiserver/index.ts";
import { clusterTools } from "../../cluster/tools.ts";

const root = join(import.meta.dir, "../..");

export type TestCluster = {
  readonly dir: string;
  readonly client: KubeClient;
  readonly kubeconfig: string;
  kubectl(args: readonly string[], input?: string): Promise<{ status: number; stdout: string; stderr: string }>;
  /** Starts a role of the executable as a service account of namespace linkerd; resolves when it serves, with the ports it logs. */
  role(name: string, serviceAccount: string, args: readonly string[]): Promise<RunningRole>;
  /** Where webhooks' Services lead, by service name. */
  readonly webhookPorts: Map<string, number>;
  close(): Promise<void>;
};

export type RunningRole = { readonly ports: Readonly<Record<string, number>>; readonly log: () => string; stop(): Promise<number> };

export async function startTestCluster(): Promise<TestCluster> {
  const dir = mkdtempSync(join(tmpdir(), "fairlead-control-plane-"));
  const webhookPorts = new Map<string, number>();
  const pki = await createPki(join(dir, "pki"));
  const server: ApiServer = await startApiServer({
    securePort: 0,
    pki,
    staticTokens: [{ token: "admin", user: { name: "admin", groups: ["system:masters"] } }],
    resolveService: ({ name }) => {
      const port = webhookPorts.get(name);
      if (port === undefined) throw new Error(`no endpoints available for service ${JSON.stringify(name)}`);
      return { host: "127.0.0.1", port };
    },
  });
  const writeKubeconfig = (name: string, token: string): string => {
    const path = join(dir, `${name}.kubeconfig`);
    const config = {
      apiVersion: "v1",
      kind: "Config",
      "current-context": "test",
      contexts: [{ name: "test", context: { cluster: "test", user: name } }],
      clusters: [{ name: "test", cluster: { server: server.url, "certificate-authority-data": Buffer.from(pki.ca).toString("base64") } }],
      users: [{ name, user: { token } }],
    };
    writeFileSync(path, JSON.stringify(config));
    return path;
  };
  const kubeconfig = writeKubeconfig("admin", "admin");
  const client = KubeClient.fromEnv({ kubeconfig, env: {} });
  const running = new Set<RunningRole>();
  const home = join(dir, "home");
  mkdirSync(home);
  return {
    dir,
    client,
    kubeconfig,
    webhookPorts,
    async kubectl(args, input = "") {
      const child = Bun.spawn([clusterTools().kubectl, "--kubeconfig", kubeconfig, ...args], {
        stdin: Buffer.from(input),
        env: { HOME: home, PATH: process.env["PATH"] ?? "" },
        stdout: "pipe",
        stderr: "pipe",
      });
      const [status, stdout, stderr] = await Promise.all([
        child.exited,
        new Response(child.stdout).text(),
        new Response(child.stderr).text(),
      ]);
      return { status, stdout, stderr };
    },
    async role(name, serviceAccount, args) {
      const request = { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec: {} };
      const { status } = await client.create<AnyObject & { status: { token: string } }>(
        { ...Resources.serviceAccounts, namespace: "linkerd", name: serviceAccount, subresource: "token" },
        request,
      );
      const own = writeKubeconfig(name, status.token);
      const child = Bun.spawn([process.execPath, join(root, "main.ts"), name, `-kubeconfig=${own}`, ...args], {
        stdout: "pipe",
        stderr: "inherit",
      });
      let text = "";
      const ports: Record<string, number> = {};
      const ready = new Promise<void>((resolve, reject) => {
        void (async () => {
          for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) {
            text += chunk;
            const line = /msg="[a-z-]+ serves"(.*)/.exec(text)?.[1];
            if (!line) continue;
            for (const [, key, value] of line.matchAll(/(\w+)=(\d+)/g)) ports[key as string] = Number(value);
            resolve();
          }
          reject(new Error(`${name} ended: ${text}`));
        })();
      });
      const role: RunningRole = {
        ports,
        log: () => text,
        async stop() {
          running.delete(role);
          child.kill("SIGTERM");
          return child.exited;
        },
      };
      running.add(role);
      await ready;
      return role;
    },
    async close() {
      await Promise.all([...running].map((role) => role.stop()));
      server.close();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
