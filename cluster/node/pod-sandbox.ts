// What all containers of a pod share (network, host name, hosts file, resolver, volumes) and how one container is put together from it.
import { createHash, randomUUID } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { attachPod, detachPod, type Ipam, type NodeNetwork, netnsDirectory, podNamespace, setSysctls } from "../network/index.ts";
import { checkVolumePath } from "./atomic-writer.ts";
import { type ContainerRecord, removeStaleAttempts } from "./container.ts";
import type { NodeCapacity, PodAddresses } from "./downward.ts";
import { buildCommand, buildEnvironment, ConfigError, expand, hostnameOf, type Sources } from "./environment.ts";
import type { ImageEntry } from "./images.ts";
import { type BindMount, capabilitiesOf, chooseCapabilities, hostMountPoints, type LaunchSpec } from "./launch.ts";
import type { ContainerSpec, NodePod } from "./types.ts";
import { MountError, PodVolumes, type VolumeDependencies } from "./volumes.ts";

export interface SandboxDependencies {
  /** Directory of the node: `pods/UID/…` below it. */
  stateDir: string;
  network: NodeNetwork;
  ipam: Ipam;
  nodeName: string;
  sources: Sources;
  capacity: NodeCapacity;
  dns: { address: string; domain: string };
  requestToken: VolumeDependencies["requestToken"];
  now(): number;
}

/** File that says that a sandbox is complete. */
const readyMarker = "ready";
/** Resolver limits of Kubernetes. */
const maxSearches = 32;
const maxNameservers = 3;

export class PodSandbox {
  readonly directory: string;
  readonly volumes: PodVolumes;
  readonly #deps: SandboxDependencies;
  readonly #uid: string;
  #ip: string | undefined;

  constructor(pod: NodePod, deps: SandboxDependencies) {
    this.#deps = deps;
    this.#uid = pod.metadata.uid ?? "";
    this.directory = join(deps.stateDir, "pods", this.#uid);
    this.volumes = new PodVolumes(join(this.directory, "volumes"), deps);
    // Made by an earlier agent: the marker is written last.
    if (!existsSync(join(this.directory, readyMarker))) return;
    if (pod.spec.hostNetwork) this.#ip = deps.network.nodeAddress;
    else if (existsSync(join(netnsDirectory, podNamespace(deps.network.cluster, identity(pod))))) this.#ip = deps.ipam.leases[this.#uid];
  }

  get ip(): string | undefined {
    return this.#ip;
  }

  get isReady(): boolean {
    return this.#ip !== undefined;
  }

  addresses(pod: NodePod): PodAddresses {
    return { podIP: this.#ip ?? "", hostIP: this.#deps.network.nodeAddress, nodeName: pod.spec.nodeName ?? this.#deps.nodeName };
  }

  networkNamespace(pod: NodePod): string {
    const { network } = this.#deps;
    return pod.spec.hostNetwork ? network.nodeNamespacePath : join(netnsDirectory, podNamespace(network.cluster, identity(pod)));
  }

  /** Makes network and files; does nothing when they are there. */
  async create(pod: NodePod): Promise<void> {
    if (this.isReady) return;
    mkdirSync(this.directory, { recursive: true, mode: 0o700 });
    writeFileSync(join(this.directory, "pod.json"), JSON.stringify(pod), { mode: 0o600 });
    const { network, ipam } = this.#deps;
    let ip = network.nodeAddress;
    if (!pod.spec.hostNetwork) {
      ip = ipam.allocate(this.#uid);
      await attachPod(network, identity(pod), ip);
      const sysctls = pod.spec.securityContext?.sysctls ?? [];
      if (sysctls.length > 0)
        await setSysctls(
          this.networkNamespace(pod),
          Object.fromEntries(sysctls.map(({ name, value }) => [name.replaceAll(".", "/"), value])),
        );
    }
    for (const [name, text] of Object.entries(etcFiles(pod, ip, this.#deps.dns))) {
      writeFileSync(join(this.directory, name), text);
      chmodSync(join(this.directory, name), 0o644);
    }
    writeFileSync(join(this.directory, readyMarker), "");
    this.#ip = ip;
  }

  /** Gives the network back; the pod is over but its logs are kept. */
  async removeNetwork(pod: NodePod): Promise<void> {
    rmSync(join(this.directory, readyMarker), { force: true });
    if (!pod.spec.hostNetwork) {
      await detachPod(this.#deps.network, identity(pod));
      this.#deps.ipam.release(this.#uid);
    }
    this.#ip = undefined;
  }

  async remove(pod: NodePod): Promise<void> {
    await this.removeNetwork(pod);
    await this.volumes.tearDown();
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** Directory of one run of a container. */
  attemptDirectory(container: string, attempt: number): string {
    return join(this.directory, "containers", container, String(attempt));
  }

  /** Runs that are on disk, oldest first. */
  attempts(container: string): number[] {
    try {
      return readdirSync(join(this.directory, "containers", container))
        .filter((name) => /^\d+$/.test(name))
        .map(Number)
        .sort((a, b) => a - b);
    } catch {
      return [];
    }
  }

  /**
   * All that is needed to start `container`.
   * @throws {ConfigError} for what it refers to and is missing; {MountError} for its mounts.
   */
  prepare(pod: NodePod, container: ContainerSpec, image: ImageEntry, attempt: number): { spec: LaunchSpec; record: ContainerRecord } {
    const { sources, capacity, stateDir } = this.#deps;
    const environment = buildEnvironment({ pod, container, image, addresses: this.addresses(pod), capacity, sources });
    const argv = buildCommand(container, image, environment);
    const root = image.root ?? "/";
    const user = userOf(pod, container, image, root);
    if (!environment.has("HOME")) environment.set("HOME", user.home);
    const security = container.securityContext ?? {};
    const available = capabilitiesOf(/^CapBnd:\s*([0-9a-f]+)/m.exec(readFileSync("/proc/self/status", "latin1"))?.[1] ?? "0");
    const capabilities = security.privileged
      ? undefined
      : chooseCapabilities(security.capabilities?.add, security.capabilities?.drop, available);
    const directory = this.attemptDirectory(container.name, attempt);
    removeStaleAttempts(join(this.directory, "containers", container.name), attempt);
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const terminationLog = join(directory, "termination-log");
    writeFileSync(terminationLog, "");
    chmodSync(terminationLog, 0o666);
    const mounts = container.volumeMounts ?? [];
    const etc = ["resolv.conf", "hosts", "hostname"].map(
      (name): BindMount => ({ source: join(this.directory, name), target: `/etc/${name}`, readOnly: false, isFile: true }),
    );
    const binds: BindMount[] = [
      ...etc.filter(({ target }) => !mounts.some(({ mountPath }) => mountPath === target)),
      { source: terminationLog, target: container.terminationMessagePath || "/dev/termination-log", readOnly: false, isFile: true },
      ...mounts.map((mount): BindMount => {
        const source = this.#mountSource(pod, mount, environment);
        return {
          source,
          target: mount.mountPath.replace(/\/+$/, "") || "/",
          readOnly: mount.readOnly === true,
          isFile: !statSync(source).isDirectory(),
        };
      }),
    ];
    const imageCapabilities = (image.capabilities ?? []).map((name) => name.toLowerCase().replace(/^cap_/, ""));
    const launchUser = {
      uid: user.uid,
      gid: user.gid,
      groups: user.groups,
      capabilities,
      ambientCapabilities: imageCapabilities.filter((name) => (capabilities ?? available).includes(name)),
      noNewPrivileges: security.allowPrivilegeEscalation === false && !security.privileged,
    };
    const spec: LaunchSpec = {
      ...launchUser,
      directory,
      root,
      hostMounts: root === "/" ? hostMountPoints(readFileSync("/proc/self/mountinfo", "utf8"), realpathSync(stateDir)) : [],
      hostname: pod.spec.hostNetwork ? readFileSync("/proc/sys/kernel/hostname", "utf8").trim() : hostnameOf(pod),
      networkNamespace: this.networkNamespace(pod),
      binds,
      commands: image.commands ?? {},
      closedDirectories: closedDirectories(image, root),
      environment: [...environment],
      argv,
      workingDir: container.workingDir || image.workingDir || "/",
      privileged: security.privileged === true,
      readOnlyRoot: security.readOnlyRootFilesystem === true,
      stdin: container.stdin === true,
      tty: container.tty === true,
    };
    const record: ContainerRecord = {
      name: container.name,
      attempt,
      id: `fairlead://${createHash("sha256").update(`${this.#uid}/${container.name}/${attempt}/${randomUUID()}`).digest("hex")}`,
      image: container.image ?? "",
      startedAt: this.#deps.now(),
      user: launchUser,
      environment: spec.environment,
      workingDir: spec.workingDir,
      isHookDone: container.lifecycle?.postStart === undefined,
      stdin: spec.stdin,
    };
    return { spec, record };
  }

  #mountSource(
    pod: NodePod,
    { name, subPath, subPathExpr, mountPath }: NonNullable<ContainerSpec["volumeMounts"]>[number],
    environment: Map<string, string>,
  ): string {
    const root = this.volumes.pathOf(pod, name);
    const below = subPathExpr ? expand(subPathExpr, (variable) => environment.get(variable)) : subPath;
    if (!below) return root;
    const where = `volumeMount ${mountPath}`;
    try {
      checkVolumePath(below, where);
    } catch (error) {
      throw new ConfigError((error as Error).message);
    }
    const path = join(root, below);
    if (!existsSync(path)) mkdirSync(path, { recursive: true });
    const real = realpathSync(path);
    if (!real.startsWith(`${realpathSync(root)}/`))
      throw new MountError(`${where}: subPath ${JSON.stringify(below)} leads out of volume "${name}"`);
    return real;
  }
}

/** Directories above the programs that an image names which others than their owner may not pass. */
function closedDirectories(image: ImageEntry, root: string): string[] {
  const named = [...(image.command ?? []), ...(image.args ?? []), ...Object.values(image.commands ?? {}).flat()];
  const closed = new Set<string>();
  for (const path of named.filter((word) => word.startsWith("/"))) {
    for (let parent = dirname(path); parent !== "/"; parent = dirname(parent)) {
      const mode = statSync(join(root, parent), { throwIfNoEntry: false })?.mode;
      if (mode !== undefined && (mode & 0o011) !== 0o011) closed.add(parent);
    }
  }
  return [...closed].sort();
}

function identity(pod: NodePod): { namespace: string; name: string; uid: string } {
  return { namespace: pod.metadata.namespace ?? "default", name: pod.metadata.name ?? "", uid: pod.metadata.uid ?? "" };
}

/** `resolv.conf`, `hosts` and `hostname` of a pod. */
export function etcFiles(pod: NodePod, ip: string, dns: { address: string; domain: string }): Record<string, string> {
  const { spec, metadata } = pod;
  const hostname = hostnameOf(pod);
  const fqdn = spec.subdomain ? `${hostname}.${spec.subdomain}.${metadata.namespace}.svc.${dns.domain}` : undefined;
  const hosts = [
    "# Kubernetes-managed hosts file.",
    "127.0.0.1\tlocalhost",
    "::1\tlocalhost ip6-localhost ip6-loopback",
    "fe00::0\tip6-localnet",
    "fe00::0\tip6-mcastprefix",
    "fe00::1\tip6-allnodes",
    "fe00::2\tip6-allrouters",
    [ip, ...(fqdn ? [fqdn] : []), hostname].join("\t"),
    ...(spec.hostAliases ?? []).map(({ ip: address, hostnames = [] }) => [address, ...hostnames].join("\t")),
  ];
  return { hostname: `${hostname}\n`, hosts: `${hosts.join("\n")}\n`, "resolv.conf": resolvConf(pod, dns) };
}

function resolvConf({ spec, metadata }: NodePod, dns: { address: string; domain: string }): string {
  const policy = spec.dnsPolicy ?? "ClusterFirst";
  const usesCluster = policy === "ClusterFirstWithHostNet" || (policy === "ClusterFirst" && !spec.hostNetwork);
  if (!usesCluster && policy !== "None" && !spec.dnsConfig) {
    try {
      return readFileSync("/etc/resolv.conf", "utf8");
    } catch {
      return "";
    }
  }
  const nameservers = [...(usesCluster ? [dns.address] : []), ...(spec.dnsConfig?.nameservers ?? [])];
  const searches = [
    ...(usesCluster ? [`${metadata.namespace}.svc.${dns.domain}`, `svc.${dns.domain}`, dns.domain] : []),
    ...(spec.dnsConfig?.searches ?? []),
  ];
  const options = new Map<string, string | undefined>(usesCluster ? [["ndots", "5"]] : []);
  for (const { name, value } of spec.dnsConfig?.options ?? []) if (name) options.set(name, value);
  const lines = [
    ...(searches.length > 0 ? [`search ${[...new Set(searches)].slice(0, maxSearches).join(" ")}`] : []),
    ...[...new Set(nameservers)].slice(0, maxNameservers).map((address) => `nameserver ${address}`),
    ...(options.size > 0
      ? [`options ${[...options].map(([name, value]) => (value === undefined || value === "" ? name : `${name}:${value}`)).join(" ")}`]
      : []),
  ];
  return `${lines.join("\n")}\n`;
}

/** The user that a container runs as. @throws {ConfigError} when it may not be root and would be, or the image's user has no number. */
export function userOf(
  pod: NodePod,
  container: ContainerSpec,
  image: ImageEntry,
  root: string,
): { uid: number; gid: number; groups: number[]; home: string } {
  const context = { ...pod.spec.securityContext, ...container.securityContext };
  const [imageUser = "0", imageGroup] = (image.user ?? "0").split(":");
  const passwd = readPasswd(root);
  const byName = passwd.find((one) => one.name === imageUser);
  const uid = context.runAsUser ?? (/^\d+$/.test(imageUser) ? Number(imageUser) : byName?.uid);
  if (uid === undefined) throw new ConfigError(`image ${container.image}: user ${JSON.stringify(imageUser)} is unknown in ${root}`);
  if (context.runAsNonRoot && uid === 0) {
    const which =
      context.runAsUser === 0 ? "container's runAsUser breaks non-root policy" : "container has runAsNonRoot and image will run as root";
    throw new ConfigError(
      `${which} (pod: "${pod.metadata.name}_${pod.metadata.namespace}(${pod.metadata.uid})", container: ${container.name})`,
    );
  }
  const entry = passwd.find((one) => one.uid === uid);
  const group = imageGroup !== undefined && /^\d+$/.test(imageGroup) && context.runAsUser === undefined ? Number(imageGroup) : undefined;
  const { fsGroup, supplementalGroups = [] } = pod.spec.securityContext ?? {};
  return {
    uid,
    gid: context.runAsGroup ?? group ?? entry?.gid ?? 0,
    groups: [...new Set([...(fsGroup === undefined ? [] : [fsGroup]), ...supplementalGroups])],
    home: entry?.home && entry.home !== "/nonexistent" ? entry.home : uid === 0 ? "/root" : "/",
  };
}

function readPasswd(root: string): { name: string; uid: number; gid: number; home: string }[] {
  try {
    return readFileSync(join(root, "etc/passwd"), "utf8")
      .split("\n")
      .map((line) => line.split(":"))
      .filter((fields) => fields.length >= 6)
      .map(([name = "", , uid, gid, , home = "/"]) => ({ name, uid: Number(uid), gid: Number(gid), home }));
  } catch {
    return [];
  }
}
