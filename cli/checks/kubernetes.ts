// kubernetes-api and kubernetes-version: the cluster answers, and it and kubectl are new enough (spec cli §4.4).
import { type CheckContext, clientOf } from "./context.ts";
import type { Category } from "./runner.ts";

const MINIMUM_VERSION = [1, 17, 0] as const;

export const kubernetesApi: Category<CheckContext> = {
  id: "kubernetes-api",
  checks: [
    { description: "can initialize the client", anchor: "k8s-api", fatal: true, run: async (context) => void clientOf(context) },
    {
      description: "can query the Kubernetes API",
      anchor: "k8s-api",
      fatal: true,
      run: async (context) => void (await clientOf(context).request({ path: "/version" })),
    },
  ],
};

export const kubernetesVersion: Category<CheckContext> = {
  id: "kubernetes-version",
  checks: [
    {
      description: "is running the minimum Kubernetes API version",
      anchor: "k8s-version",
      async run(context) {
        const { gitVersion } = await clientOf(context).request<{ gitVersion: string }>({ path: "/version" });
        requireVersion(gitVersion, "Kubernetes");
      },
    },
    {
      description: "is running the minimum kubectl version",
      anchor: "kubectl-version",
      async run(context) {
        const said = await context.kubectlVersion();
        const [version] = /v\d+\.\d+\.\d+/.exec(said) ?? [];
        if (!version) throw new Error(`cannot find a version in what kubectl says: ${said.trim()}`);
        requireVersion(version, "kubectl");
      },
    },
  ],
};

function requireVersion(version: string, what: string): void {
  const found = /^v?(\d+)\.(\d+)\.(\d+)/.exec(version);
  if (!found) throw new Error(`${what} is on version ${version}, which is no version`);
  const parts = found.slice(1).map(Number);
  for (const [i, least] of MINIMUM_VERSION.entries()) {
    const part = parts[i] as number;
    if (part > least) return;
    if (part < least)
      throw new Error(`${what} is on version [${parts.join(".")}], but version [${MINIMUM_VERSION.join(".")}] or more recent is required`);
  }
}
