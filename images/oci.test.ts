import { afterAll, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeLayer, writeArchive } from "./oci.ts";

const dir = mkdtempSync(join(tmpdir(), "fairlead-oci-test-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

test("two images share a layer, every blob has the digest its name says, and a second run gives the same digests", async () => {
  const root = join(dir, "root");
  mkdirSync(join(root, "bin"), { recursive: true });
  writeFileSync(join(root, "bin", "hello"), "hello\n", { mode: 0o755 });
  const layer = await makeLayer({ root, path: join(dir, "layer.gz") });
  const again = await makeLayer({ root, path: join(dir, "layer2.gz") });
  expect(again.digest).toBe(layer.digest);

  const out = join(dir, "images.tar");
  await writeArchive({
    out,
    images: [
      { name: "example.test/a:1", layer, entrypoint: ["/bin/hello"] },
      { name: "example.test/b:2", layer, entrypoint: ["/bin/hello", "b"] },
    ],
  });
  const unpacked = join(dir, "unpacked");
  mkdirSync(unpacked);
  expect(Bun.spawnSync(["tar", "-C", unpacked, "-xf", out]).exitCode).toBe(0);
  const index = JSON.parse(readFileSync(join(unpacked, "index.json"), "utf8"));
  expect(index.manifests.map((m: { annotations: Record<string, string> }) => m.annotations["io.containerd.image.name"])).toEqual([
    "example.test/a:1",
    "example.test/b:2",
  ]);
  const blobs = [...new Bun.Glob("*").scanSync(join(unpacked, "blobs", "sha256"))];
  expect(blobs).toHaveLength(5); // one layer, two configurations, two manifests
  for (const name of blobs) {
    const bytes = readFileSync(join(unpacked, "blobs", "sha256", name));
    expect(createHash("sha256").update(bytes).digest("hex")).toBe(name);
  }
});

test("a tree that is not there is an error that names it", async () => {
  expect(makeLayer({ root: join(dir, "absent"), path: join(dir, "x.gz") })).rejects.toThrow(`${join(dir, "absent")}`);
});
