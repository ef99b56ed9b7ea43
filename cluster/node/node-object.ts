// The Node object and its Lease: that this machine takes pods, what it has, and that it is alive.
import { readFileSync } from "node:fs";
import { arch, availableParallelism, release, totalmem } from "node:os";
import { type KubeClient, KubeError, Resources, type ResourceType } from "#kube";
import type { NodeNetwork } from "../network/index.ts";
import { maxPods } from "./scheduler.ts";

/** The Kubernetes whose behaviour the node follows. */
export const kubeletVersion = "v1.34.4";
const leases: ResourceType = { group: "coordination.k8s.io", version: "v1", resource: "leases" };
const leaseNamespace = "kube-node-lease";
const leaseSeconds = 40;
const renewMs = 10_000;
/** The status is sent again so often, even when nothing changed. */
const statusMs = 300_000;
const retryMs = 1_000;

export function nodeLabels(nodeName: string): Record<string, string> {
  const cpu = arch() === "x64" ? "amd64" : arch();
  return {
    "kubernetes.io/hostname": nodeName,
    "kubernetes.io/os": "linux",
    "kubernetes.io/arch": cpu,
    "beta.kubernetes.io/os": "linux",
    "beta.kubernetes.io/arch": cpu,
    "node-role.kubernetes.io/control-plane": "",
  };
}

export function nodeStatus(nodeName: string, network: NodeNetwork, now: number): Record<string, unknown> {
  const stamp = new Date(now).toISOString().replace(/\.\d+Z$/, "Z");
  const capacity = {
    cpu: String(availableParallelism()),
    memory: `${Math.floor(totalmem() / 1024)}Ki`,
    pods: String(maxPods),
    "ephemeral-storage": "10Gi",
  };
  const healthy = [
    ["MemoryPressure", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"],
    ["DiskPressure", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"],
    ["PIDPressure", "KubeletHasSufficientPID", "kubelet has sufficient PID available"],
  ].map(([type, reason, message]) => ({ type, status: "False", reason, message, lastHeartbeatTime: stamp, lastTransitionTime: stamp }));
  return {
    addresses: [
      { type: "InternalIP", address: network.nodeAddress },
      { type: "Hostname", address: nodeName },
    ],
    capacity,
    allocatable: capacity,
    conditions: [
      ...healthy,
      {
        type: "Ready",
        status: "True",
        reason: "KubeletReady",
        message: "kubelet is posting ready status",
        lastHeartbeatTime: stamp,
        lastTransitionTime: stamp,
      },
    ],
    nodeInfo: {
      machineID: readFirst("/etc/machine-id"),
      systemUUID: readFirst("/etc/machine-id"),
      bootID: readFirst("/proc/sys/kernel/random/boot_id"),
      kernelVersion: release(),
      osImage: osName(),
      containerRuntimeVersion: "fairlead://0.1.0",
      kubeletVersion,
      kubeProxyVersion: kubeletVersion,
      operatingSystem: "linux",
      architecture: arch() === "x64" ? "amd64" : arch(),
    },
    daemonEndpoints: { kubeletEndpoint: { Port: 10250 } },
  };
}

/** Registers the node and keeps it alive until `signal` is aborted. Failures are reported and tried again. */
export async function keepNode({
  client,
  nodeName,
  network,
  now,
  onError,
  onRegistered,
  signal,
}: {
  client: KubeClient;
  nodeName: string;
  network: NodeNetwork;
  now: () => number;
  onError: (error: unknown) => void;
  onRegistered: (uid: string) => void;
  signal: AbortSignal;
}): Promise<void> {
  let statusDueAt = 0;
  let isRegistered = false;
  while (!signal.aborted) {
    let waitMs = renewMs;
    try {
      if (now() >= statusDueAt) {
        const uid = await register(client, nodeName, network, now());
        statusDueAt = now() + statusMs;
        if (!isRegistered) onRegistered(uid);
        isRegistered = true;
      }
      await renewLease(client, nodeName, now());
    } catch (error) {
      if (signal.aborted) return;
      onError(error);
      statusDueAt = 0;
      waitMs = retryMs;
    }
    await new Promise<void>((resolve) => {
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, waitMs);
      signal.addEventListener("abort", done);
    });
  }
}

async function register(client: KubeClient, nodeName: string, network: NodeNetwork, now: number): Promise<string> {
  const ref = { ...Resources.nodes, name: nodeName };
  const status = nodeStatus(nodeName, network, now);
  const labels = nodeLabels(nodeName);
  let existing = await client.find(ref);
  if (!existing) {
    try {
      existing = await client.create(ref, {
        apiVersion: "v1",
        kind: "Node",
        metadata: { name: nodeName, labels },
        spec: { podCIDR: network.podCidr, podCIDRs: [network.podCidr] },
        status,
      });
    } catch (error) {
      if (!KubeError.isConflict(error)) throw error;
    }
  }
  const known =
    (existing?.["status"] as { conditions?: { type: string; status: string; lastTransitionTime?: string }[] } | undefined)?.conditions ??
    [];
  // A condition that stays keeps the time it came.
  for (const condition of status["conditions"] as { type: string; status: string; lastTransitionTime: string }[]) {
    const before = known.find((one) => one.type === condition.type);
    if (before?.status === condition.status && before.lastTransitionTime) condition.lastTransitionTime = before.lastTransitionTime;
  }
  const patched = await client.patch(ref, { metadata: { labels } });
  await client.patch({ ...ref, subresource: "status" }, { status });
  return patched.metadata.uid ?? "";
}

async function renewLease(client: KubeClient, nodeName: string, now: number): Promise<void> {
  const spec = {
    holderIdentity: nodeName,
    leaseDurationSeconds: leaseSeconds,
    renewTime: new Date(now).toISOString().replace("Z", "000Z"),
  };
  const ref = { ...leases, namespace: leaseNamespace, name: nodeName };
  try {
    await client.patch(ref, { spec });
  } catch (error) {
    if (!KubeError.isNotFound(error)) throw error;
    try {
      await client.create(ref, {
        apiVersion: "coordination.k8s.io/v1",
        kind: "Lease",
        metadata: { name: nodeName, namespace: leaseNamespace },
        spec,
      });
    } catch (failure) {
      // The namespace, or the resource, is not there yet: the node's own status says enough.
      if (!KubeError.isNotFound(failure)) throw failure;
    }
  }
}

function readFirst(file: string): string {
  try {
    return readFileSync(file, "utf8").trim();
  } catch {
    return "";
  }
}

function osName(): string {
  return /^PRETTY_NAME="?([^"\n]*)"?/m.exec(readFirst("/etc/os-release"))?.[1] ?? "Linux";
}
