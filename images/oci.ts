// Writes OCI image archives (OCI image layout 1.0 in a tar): one layer per image, no base image, no registry, no engine.
import { createHash } from "node:crypto";
import { createReadStream, createWriteStream, mkdirSync, mkdtempSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";

/** A file system tree as a gzip'd layer; several images may share one. */
export type Layer = { readonly path: string; readonly digest: string; readonly diffId: string; readonly bytes: number };

export type Image = {
  /** `repository:tag`. Any tag but `latest`, or a kubelet tries to pull it. */
  readonly name: string;
  readonly layer: Layer;
  /** Absolute path in the image, then fixed arguments. */
  readonly entrypoint: readonly string[];
  readonly env?: readonly string[];
};

/** GOARCH name of this machine's CPU, as image configurations want it. */
export function architecture(): string {
  return process.arch === "arm64" ? "arm64" : "amd64";
}

/** Packs `root` reproducibly: sorted, owned by root, dated 1970. The caller removes `path`. */
export async function makeLayer({ root, path }: { root: string; path: string }): Promise<Layer> {
  const raw = `${path}.tar`;
  const args = ["-C", root, "--numeric-owner", "--owner=0", "--group=0", "--sort=name", "--mtime=@0", "-cf", raw, "."];
  const packed = Bun.spawnSync(["tar", ...args], { stderr: "pipe" });
  if (packed.exitCode !== 0) throw new Error(`tar ${root}: ${packed.stderr.toString().trim()}`);
  const diffId = await sha256(raw);
  // No name and no time in the gzip header: the same tree gives the same digest.
  await pipeline(createReadStream(raw), createGzip({ level: 9 }), createWriteStream(path));
  rmSync(raw);
  return { path, diffId, digest: await sha256(path), bytes: statSync(path).size };
}

/** Writes `images` into one archive, as `ctr images import`, `docker load` and `podman load` take it. */
export async function writeArchive({ images, out }: { images: readonly Image[]; out: string }): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), "fairlead-oci-"));
  try {
    const blobs = join(dir, "blobs", "sha256");
    mkdirSync(blobs, { recursive: true });
    const put = (value: unknown): { digest: string; size: number } => {
      const bytes = Buffer.from(JSON.stringify(value));
      const hash = createHash("sha256").update(bytes).digest("hex");
      writeFileSync(join(blobs, hash), bytes);
      return { digest: `sha256:${hash}`, size: bytes.length };
    };
    const manifests = images.map((image) => {
      Bun.spawnSync(["cp", "-n", image.layer.path, join(blobs, image.layer.digest.slice(7))]);
      const config = put({
        architecture: architecture(),
        os: "linux",
        config: { Env: ["PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", ...(image.env ?? [])], Entrypoint: image.entrypoint },
        rootfs: { type: "layers", diff_ids: [image.layer.diffId] },
        history: [{ created: "1970-01-01T00:00:00Z", created_by: "fairlead" }],
      });
      const manifest = put({
        schemaVersion: 2,
        mediaType: "application/vnd.oci.image.manifest.v1+json",
        config: { mediaType: "application/vnd.oci.image.config.v1+json", ...config },
        layers: [{ mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", digest: image.layer.digest, size: image.layer.bytes }],
      });
      return {
        mediaType: "application/vnd.oci.image.manifest.v1+json",
        ...manifest,
        annotations: {
          "io.containerd.image.name": image.name,
          "org.opencontainers.image.ref.name": image.name.slice(image.name.lastIndexOf(":") + 1),
        },
      };
    });
    writeFileSync(join(dir, "index.json"), JSON.stringify({ schemaVersion: 2, manifests }));
    writeFileSync(join(dir, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
    const packed = Bun.spawnSync(["tar", "-C", dir, "-cf", `${out}.new`, "oci-layout", "index.json", "blobs"], { stderr: "pipe" });
    if (packed.exitCode !== 0) throw new Error(`tar ${out}: ${packed.stderr.toString().trim()}`);
    renameSync(`${out}.new`, out);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

async function sha256(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return `sha256:${hash.digest("hex")}`;
}
