// The executable as a shell sees it.
import { expect, test } from "bun:test";
import { join } from "node:path";

test("what a slow reader has not taken yet is not lost when the process ends", async () => {
  // The control plane's manifests are longer than the 64 KiB that a pipe holds; the reader begins when the writer would be done.
  const line = `"$0" "$1" install --ignore-cluster | { sleep 0.5; wc -c; }`;
  const child = Bun.spawn(["sh", "-c", line, process.execPath, join(import.meta.dir, "main.ts")], { stdout: "pipe", stderr: "ignore" });
  expect(Number(await new Response(child.stdout).text())).toBeGreaterThan(65_536);
}, 20_000);
