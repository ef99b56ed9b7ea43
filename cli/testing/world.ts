// The CLI's world in tests: a real API server in this process, the real kubectl, and command lines run with streams of their own.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import { type AnyObject, KubeClient, type Pod, Resources } from "#kube";
import { startTestServer, type TestServer } from "../../cluster/apiserver/testing.ts";
import { clusterTools } from "../../cluster/tools.ts";
import type { Io } from "../io.ts";
import { run } from "../program.ts";
import { startTestNode, type TestNode } from "./node-agent.ts";

export type Run = { readonly status: number; readonly stdout: string; readonly stderr: string };
export type RunOptions = { readonly stdin?: string; readonly env?: Record<string, string | undefined>; readonly isTty?: boolean };

/** Runs a command line with nothing of this process's environment but PATH. */
export async function cli(words: readonly string[], { stdin = "", env = {}, isTty = false }: RunOptions = {}): Promise<Run> {
  let stdout = "";
  let stderr = "";
  const io: Io = {
    env: { PATH: process.env["PATH"], ...env },
    stdout: (text) => void (stdout += text),
    stderr: (text) => void (stderr += text),
    stdin: async () => stdin,
    isTty,
  };
  const status = await run(words, io);
  return { status, stdout, stderr };
}

export type World = {
  readonly api: TestServer;
  readonly client: KubeClient;
  readonly dir: string;
  /** Its pods are servers of the test. */
  readonly node: TestNode;
  readonly kubeconfig: string;
  /** PATH, the real kubectl first. */
  readonly path: string;
  /** A command line against this server, with kubectl on PATH. */
  cli(words: readonly string[], options?: RunOptions): Promise<Run>;
  /** The real kubectl. @throws {Error} when it fails */
  kubectl(args: readonly string[], input?: string): Promise<string>;
  close(): Promise<void>;
};

export async function startWorld(): Promise<World> {
  const dir = mkdtempSync(join(tmpdir(), "fairlead-cli-"));
  const node = startTestNode(join(dir, "node.sock"));
  const api = await startTestServer({ nodeAgent: node.address });
  const kubeconfig = api.kubeconfig("admin");
  const tools = clusterTools();
  const path = `${tools.dir}:${process.env["PATH"]}`;
  const env = { KUBECONFIG: kubeconfig, HOME: dir, PATH: path };
  const client = KubeClient.fromEnv({ kubeconfig, env: {} });
  // What the node agent and its controllers would make.
  await client.create(Resources.nodes, {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name: "node" },
    spec: { podCIDR: "10.244.0.0/24" },
  });
  await client.create(
    { ...Resources.serviceAccounts, namespace: "default" },
    { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "default", namespace: "default" } },
  );
  return {
    api,
    client,
    dir,
    node,
    kubeconfig,
    path,
    cli: (words, options = {}) => cli(words, { ...options, env: { ...env, ...options.env } }),
    async kubectl(args, input) {
      const child = Bun.spawn([tools.kubectl, ...args], {
        env,
        stdin: input === undefined ? "ignore" : Buffer.from(input),
        stdout: "pipe",
        stderr: "pipe",
      });
      const [stdout, stderr, status] = await Promise.all([
        new Response(child.stdout).text(),
        new Response(child.stderr).text(),
        child.exited,
      ]);
      if (status !== 0) throw new Error(`kubectl ${args.join(" ")}: ${stderr}`);
      return stdout;
    },
    async close() {
      api.close();
      await node.close();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** What `fairlead install | kubectl apply -f -` makes, and the pods that controllers and node would make of it, ready. Without kubectl: quicker. */
export async function installControlPlane(world: World): Promise<void> {
  const { status, stdout, stderr } = await world.cli(["install"]);
  if (status !== 0) throw new Error(stderr);
  for (const document of parseAllDocuments(stdout)) {
    const manifest = document.toJS() as AnyObject | null;
    if (manifest) await world.api.create(manifest as Parameters<TestServer["create"]>[0]);
  }
  for (const component of ["destination", "identity", "proxy-injector"]) await runDeployment(world, "linkerd", `linkerd-${component}`);
}

type Deployment = AnyObject & {
  spec: {
    replicas?: number;
    selector: object;
    template: { metadata: { labels?: Record<string, string> }; spec: NonNullable<Pod["spec"]> };
  };
};

/** Does what the deployment controller and a node do: a ReplicaSet and one running, ready pod. Resolves to the pod's name. */
export async function runDeployment({ client }: World, namespace: string, name: string): Promise<string> {
  const deployment = await client.get<Deployment>({ ...Resources.deployments, namespace, name });
  const { selector, template } = deployment.spec;
  const owned = (kind: string, owner: AnyObject) => [
    { apiVersion: "apps/v1", kind, name: owner.metadata.name, uid: owner.metadata.uid, controller: true },
  ];
  const set = await client.create(
    { ...Resources.replicaSets, namespace },
    {
      apiVersion: "apps/v1",
      kind: "ReplicaSet",
      metadata: { name: `${name}-5d8`, namespace, labels: template.metadata.labels, ownerReferences: owned("Deployment", deployment) },
      spec: { replicas: 1, selector, template },
    },
  );
  const pod = `${name}-5d8-x2k`;
  await client.create(
    { ...Resources.pods, namespace },
    {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { ...template.metadata, name: pod, namespace, ownerReferences: owned("ReplicaSet", set) },
      spec: { ...template.spec, nodeName: "node" },
    },
  );
  await setPodStatus({ client }, namespace, pod);
  return pod;
}

/** Writes a pod's status; running and ready unless told otherwise. `unready` names containers. */
export async function setPodStatus(
  { client }: Pick<World, "client">,
  namespace: string,
  name: string,
  { phase = "Running", reason, unready = [] }: { phase?: string; reason?: string; unready?: readonly string[] } = {},
): Promise<void> {
  const ref = { ...Resources.pods, namespace, name };
  const { spec } = await client.get<Pod>(ref);
  const statusOf = ({ name: container }: { name: string }) => ({
    name: container,
    image: "i",
    imageID: "i",
    restartCount: 0,
    ready: !unready.includes(container),
    state: { running: {} },
  });
  const status = {
    phase,
    ...(reason ? { reason } : {}),
    containerStatuses: (spec?.containers ?? []).map(statusOf),
    initContainerStatuses: (spec?.initContainers ?? []).map(statusOf),
  };
  await client.patch({ ...ref, subresource: "status" }, { status });
}

/** Writes a file below the world's folder and returns its path. */
export function writeIn({ dir }: Pick<World, "dir">, name: string, text: string, mode = 0o644): string {
  const path = join(dir, name);
  writeFileSync(path, text, { mode });
  return path;
}
