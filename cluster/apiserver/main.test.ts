import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Subprocess } from "bun";
import { createPki, type Pki } from "./pki.ts";
import { send } from "./testing.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function start(dir: string, ...flags: string[]): Promise<{ child: Subprocess<"ignore", "ignore", "pipe">; url: string }> {
  const entry = join(import.meta.dirname, "..", "..", "main.ts");
  const child = Bun.spawn(
    [
      process.execPath,
      entry,
      "cluster-apiserver",
      "--data-dir",
      join(dir, "data"),
      "--pki-dir",
      join(dir, "pki"),
      "--secure-port",
      "0",
      ...flags,
    ],
    { stdin: "ignore", stdout: "ignore", stderr: "pipe" },
  );
  cleanups.push(async () => {
    child.kill("SIGKILL");
    await child.exited;
  });
  const reader = child.stderr.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    text += value ?? "";
    const url = /"url":"([^"]+)"/.exec(text)?.[1];
    if (url) return { child, url };
    if (done) throw new Error(`the server ended: ${text}`);
  }
}

async function folder(): Promise<{ dir: string; pki: Pki }> {
  const dir = mkdtempSync(join(tmpdir(), "apiserver-main-"));
  cleanups.push(() => rmSync(dir, { recursive: true, force: true }));
  return { dir, pki: await createPki(join(dir, "pki")) };
}

test("kill -9 loses nothing that was acknowledged; versions go on; SIGTERM ends with 0", async () => {
  const { dir, pki } = await folder();
  const first = await start(dir);
  const made = [];
  for (let i = 0; i < 20; i++)
    made.push(
      (await send(first.url, pki, "POST", "/api/v1/namespaces/default/configmaps", { body: { metadata: { name: `c${i}` } } })).body,
    );
  first.child.kill("SIGKILL");
  await first.child.exited;
  const second = await start(dir);
  const list = await send(second.url, pki, "GET", "/api/v1/namespaces/default/configmaps", { token: pki.adminToken as string });
  expect(
    list.body.items
      .map(({ metadata }: { metadata: { name: string; resourceVersion: string } }) => `${metadata.name} ${metadata.resourceVersion}`)
      .sort(),
  ).toEqual(made.map(({ metadata }) => `${metadata.name} ${metadata.resourceVersion}`).sort());
  expect(Number(list.body.metadata.resourceVersion)).toBeGreaterThanOrEqual(Number(made.at(-1).metadata.resourceVersion));
  second.child.kill("SIGTERM");
  expect(await second.child.exited).toBe(0);
}, 20_000);

test("wrong flags and missing keys are told, with status 2 and 1", async () => {
  const { main } = await import("./main.ts");
  const entry = join(import.meta.dirname, "..", "..", "main.ts");
  const bad = Bun.spawnSync(
    [process.execPath, entry, "cluster-apiserver", "--data-dir", "/nonexistent", "--pki-dir", "x", "--secure-port", "many"],
    { stdout: "pipe", stderr: "pipe" },
  );
  expect([bad.exitCode, bad.stderr.toString()]).toEqual([2, expect.stringContaining("expected a port, 0 to 65535")]);
  const missing = Bun.spawnSync([process.execPath, entry, "cluster-apiserver", "--data-dir", "/nonexistent", "--pki-dir", "/nonexistent"], {
    stdout: "pipe",
    stderr: "pipe",
  });
  expect([missing.exitCode, missing.stderr.toString()]).toEqual([1, expect.stringContaining("/nonexistent/ca.crt")]);
  expect(main).toBeFunction();
}, 20_000);

test("keys are made once and kept", async () => {
  const { dir, pki } = await folder();
  const again = await createPki(join(dir, "pki"));
  expect(again.ca).toBe(pki.ca);
  expect(again.client("node").cert).toBe(pki.client("node").cert);
  expect(pki.adminToken).toMatch(/^[\w-]{43}$/);
});
