// A pod's volumes: what is in them, and the directories that containers get to see.
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { mountsBelow, run, tryRun } from "../network/index.ts";
import { checkVolumePath, type Payload, writeAtomically } from "./atomic-writer.ts";
import { fieldValue, type NodeCapacity, type PodAddresses, resourceValue } from "./downward.ts";
import { configMapData, type Sources, secretData } from "./environment.ts";
import { parseQuantity } from "./quantity.ts";
import type { DownwardAPIItem, KeyToPath, NodePod, Volume, VolumeProjection } from "./types.ts";

/** A volume that cannot be set up yet: the pod waits and the message is its FailedMount event. */
export class MountError extends Error {
  override readonly name = "MountError";
}

export interface IssuedToken {
  token: string;
  /** Milliseconds since the epoch. */
  expiresAt: number;
}

export interface VolumeDependencies {
  sources: Sources;
  capacity: NodeCapacity;
  /** Asks the API server for a token of the pod's service account, bound to the pod. */
  requestToken(pod: NodePod, audience: string | undefined, expirationSeconds: number): Promise<IssuedToken>;
  now(): number;
}

const defaultMode = 0o644;
const defaultTokenSeconds = 3_600;
/** A token is renewed after this part of its life, and at least daily (as the kubelet). */
const tokenRenewAt = 0.8;
const tokenRenewMs = 24 * 3_600_000;

interface HeldToken extends IssuedToken {
  renewAt: number;
}

/** The volumes of one pod below `directory`. */
export class PodVolumes {
  readonly #directory: string;
  readonly #deps: VolumeDependencies;
  readonly #tokens = new Map<string, HeldToken>();

  constructor(directory: string, deps: VolumeDependencies) {
    this.#directory = directory;
    this.#deps = deps;
  }

  /** Where a volume's content is on this machine. @throws {MountError} for a name the pod does not define. */
  pathOf(pod: NodePod, name: string): string {
    const volume = pod.spec.volumes?.find((one) => one.name === name);
    if (!volume) throw new MountError(`volume mount names volume "${name}", which the pod does not define`);
    return volume.hostPath ? volume.hostPath.path : join(this.#directory, name);
  }

  /**
   * Makes all volumes. May be called again, and must be after the objects behind them changed: only what differs is written.
   * @throws {MountError} naming the volume and what it lacks.
   */
  async setUp(pod: NodePod, addresses: PodAddresses): Promise<void> {
    for (const volume of pod.spec.volumes ?? []) {
      try {
        await this.#setUpOne(pod, volume, addresses);
      } catch (error) {
        throw new MountError(`MountVolume.SetUp failed for volume "${volume.name}" : ${(error as Error).message}`);
      }
    }
  }

  /** When a token must be renewed next, in ms since the epoch; `undefined` when the pod has none. */
  get nextRenewal(): number | undefined {
    const times = [...this.#tokens.values()].map((token) => token.renewAt);
    return times.length > 0 ? Math.min(...times) : undefined;
  }

  /** Releases mounts and removes all content. */
  async tearDown(): Promise<void> {
    for (const point of mountsBelow(this.#directory)) await tryRun(["umount", "-l", point]);
    // A mount that could not be released must not be emptied.
    if (mountsBelow(this.#directory).length === 0) rmSync(this.#directory, { recursive: true, force: true });
  }

  async #setUpOne(pod: NodePod, volume: Volume, addresses: PodAddresses): Promise<void> {
    const directory = join(this.#directory, volume.name);
    const group = pod.spec.securityContext?.fsGroup;
    if (volume.hostPath) return checkHostPath(volume.hostPath);
    if (volume.emptyDir) return setUpEmptyDir(directory, volume.emptyDir, group);
    const payload = await this.#payload(pod, volume, addresses);
    if (!payload)
      throw new Error(
        `this kind of volume is not supported (${
          Object.keys(volume)
            .filter((key) => key !== "name")
            .join(", ") || "none given"
        })`,
      );
    if (!existsSync(directory)) {
      mkdirSync(directory, { recursive: true });
      chmodSync(directory, 0o755);
    }
    writeAtomically(directory, payload, { group, now: new Date(this.#deps.now()) });
  }

  async #payload(pod: NodePod, volume: Volume, addresses: PodAddresses): Promise<Payload | undefined> {
    const payload: Payload = new Map();
    if (volume.configMap) this.#addMap(payload, pod, { configMap: volume.configMap }, volume.configMap.defaultMode);
    else if (volume.secret)
      this.#addMap(payload, pod, { secret: { ...volume.secret, name: volume.secret.secretName } }, volume.secret.defaultMode);
    else if (volume.downwardAPI) this.#addDownward(payload, pod, volume.downwardAPI.items, volume.downwardAPI.defaultMode, addresses);
    else if (volume.projected) {
      for (const source of volume.projected.sources ?? []) {
        const mode = volume.projected.defaultMode;
        if (source.configMap || source.secret) this.#addMap(payload, pod, source, mode);
        if (source.downwardAPI) this.#addDownward(payload, pod, source.downwardAPI.items, mode, addresses);
        if (source.serviceAccountToken) {
          const { audience, expirationSeconds = defaultTokenSeconds, path } = source.serviceAccountToken;
          checkVolumePath(path, "serviceAccountToken");
          const token = await this.#token(pod, audience, expirationSeconds);
          payload.set(path, { data: Buffer.from(token, "utf8"), mode: mode ?? defaultMode });
        }
      }
    } else return undefined;
    return payload;
  }

  #addMap(
    payload: Payload,
    pod: NodePod,
    { configMap, secret }: Pick<VolumeProjection, "configMap" | "secret">,
    mode: number | undefined,
  ): void {
    const namespace = pod.metadata.namespace ?? "default";
    const ref = (configMap ?? secret)!;
    const kind = configMap ? "configmap" : "secret";
    const data = configMap
      ? configMapData(this.#deps.sources.configMap(namespace, ref.name))
      : secretData(this.#deps.sources.secret(namespace, ref.name));
    if (!data) {
      if (ref.optional) return;
      throw new Error(`${kind} "${ref.name}" not found`);
    }
    const items: KeyToPath[] = ref.items ?? Object.keys(data).map((key) => ({ key, path: key }));
    for (const { key, path, mode: own } of items) {
      checkVolumePath(path, `${kind} "${ref.name}"`);
      const value = data[key];
      if (value) payload.set(path, { data: value, mode: own ?? mode ?? defaultMode });
      else if (!ref.optional) throw new Error(`references non-existent ${kind === "configmap" ? "config" : "secret"} key: ${key}`);
    }
  }

  #addDownward(
    payload: Payload,
    pod: NodePod,
    items: DownwardAPIItem[] | undefined,
    mode: number | undefined,
    addresses: PodAddresses,
  ): void {
    for (const item of items ?? []) {
      checkVolumePath(item.path, "downwardAPI");
      const text = item.fieldRef
        ? fieldValue(pod, item.fieldRef.fieldPath, addresses)
        : item.resourceFieldRef
          ? resourceValue(pod, undefined, item.resourceFieldRef, this.#deps.capacity)
          : "";
      payload.set(item.path, { data: Buffer.from(text, "utf8"), mode: item.mode ?? mode ?? defaultMode });
    }
  }

  async #token(pod: NodePod, audience: string | undefined, expirationSeconds: number): Promise<string> {
    const key = `${audience ?? ""} ${expirationSeconds}`;
    const held = this.#tokens.get(key);
    const now = this.#deps.now();
    if (held && now < held.renewAt) return held.token;
    try {
      const issued = await this.#deps.requestToken(pod, audience, expirationSeconds);
      const life = Math.max(0, issued.expiresAt - now);
      this.#tokens.set(key, { ...issued, renewAt: now + Math.min(life * tokenRenewAt, tokenRenewMs) });
      return issued.token;
    } catch (error) {
      // While the API server is away the old one serves until it expires.
      if (held && now < held.expiresAt) return held.token;
      throw error;
    }
  }
}

async function setUpEmptyDir(
  directory: string,
  { medium, sizeLimit }: NonNullable<Volume["emptyDir"]>,
  group: number | undefined,
): Promise<void> {
  if (existsSync(directory)) return;
  mkdirSync(directory, { recursive: true });
  if (medium === "Memory") {
    const size = sizeLimit === undefined ? "" : `,size=${Math.ceil(parseQuantity(sizeLimit))}`;
    await run(["mount", "-t", "tmpfs", "-o", `mode=777${size}`, "tmpfs", directory]);
  }
  if (group !== undefined) chownSync(directory, 0, group);
  chmodSync(directory, group === undefined ? 0o777 : 0o2777);
}

function checkHostPath({ path, type = "" }: NonNullable<Volume["hostPath"]>): void {
  if (type === "DirectoryOrCreate") mkdirSync(path, { recursive: true });
  else if (type === "FileOrCreate" && !existsSync(path)) writeFileSync(path, "");
  if (!existsSync(path)) throw new Error(`hostPath type check failed: ${path} does not exist`);
  const stat = statSync(path);
  const checks: Record<string, boolean> = {
    Directory: stat.isDirectory(),
    File: stat.isFile(),
    Socket: stat.isSocket(),
    CharDevice: stat.isCharacterDevice(),
    BlockDevice: stat.isBlockDevice(),
  };
  if (type in checks && !checks[type]) throw new Error(`hostPath type check failed: ${path} is not a ${type}`);
}

/** True when `directory` holds nothing. */
export function isEmptyDirectory(directory: string): boolean {
  return !existsSync(directory) || readdirSync(directory).length === 0;
}
