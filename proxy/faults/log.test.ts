// A proxy whose log has nowhere to go (spec hardening §5, "full disk"): a pipe that nobody reads, a reader that has left, a disk
// that is full. Traffic does not notice, and the process ends when it is told to.
import { afterEach, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { closeSync, constants, mkdtempSync, openSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { serveHttp1 } from "../testing/apps.ts";
import { runLong } from "../testing/long.ts";
import { canRunPods, ProcessMesh, until } from "../testing/processes.ts";
import { dialFrom, requestFrom } from "../testing/sockets.ts";

const it = test.if(canRunPods);
const PORT = 8080;
/** A pipe holds 64 KiB; a line is longer than 100 bytes. */
const LINES = 800;

const cleanup: (() => void)[] = [];
afterEach(() => {
  for (const undo of cleanup.splice(0).reverse()) undo();
});

/** A pipe of the kernel's; `leave` takes its reader away, who never reads. */
function pipe(): { readonly end: number; leave(): void } {
  const folder = mkdtempSync(join(tmpdir(), "fairlead-pipe-"));
  const path = join(folder, "log");
  expect(spawnSync("mkfifo", [path]).status).toBe(0);
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const end = openSync(path, "w");
  rmSync(folder, { recursive: true });
  let left = false;
  const leave = (): void => {
    if (!left) closeSync(reader);
    left = true;
  };
  cleanup.push(() => {
    leave();
    closeSync(end);
  });
  return { end, leave };
}

async function start(stdout: number): Promise<ProcessMesh> {
  const mesh = await ProcessMesh.start({
    tag: `${process.pid}l`,
    ports: { [PORT]: {} },
    stdout: (who) => (who === "b" ? stdout : undefined),
  });
  const app = serveHttp1(mesh.pods.b, PORT);
  cleanup.push(() => {
    app.stop();
    mesh.close();
  });
  return mesh;
}

/** Each of these is refused, with a warning in the log. */
async function warn(mesh: ProcessMesh, lines: number): Promise<void> {
  const at = { host: mesh.pods.b.ip, port: 4143 };
  for (let i = 0; i < lines; i += 20)
    await Promise.all(
      Array.from({ length: Math.min(20, lines - i) }, async () => {
        const connection = await dialFrom(mesh.outsider, at);
        void connection.write("GET / HTTP/1.1\r\n\r\n");
        await connection.closed;
      }),
    );
}

async function serves(mesh: ProcessMesh): Promise<void> {
  expect((await requestFrom(mesh.outsider, { host: mesh.pods.b.ip, port: PORT })).status).toBe(200);
  expect((await mesh.b.admin("/live")).status).toBe(200);
}

/** Nothing to do takes no CPU. */
async function rests(mesh: ProcessMesh): Promise<void> {
  const before = mesh.b.cpuMs;
  await Bun.sleep(400);
  expect(mesh.b.cpuMs - before).toBeLessThan(200);
}

it("a log that nobody reads", async () => {
  const mesh = await start(pipe().end);
  await warn(mesh, LINES);
  await serves(mesh);
  await rests(mesh);
  expect(await mesh.b.stop()).toBe(0);
}, 30_000);

runLong(
  "a log whose reader has left",
  async () => {
    const { end, leave } = pipe();
    const mesh = await start(end);
    leave();
    await warn(mesh, LINES);
    await serves(mesh);
    await rests(mesh);
    expect(await mesh.b.stop()).toBe(0);
  },
  30_000,
);

it("a log on a full disk; with room again it goes on, and says what was lost", async () => {
  const disk = mkdtempSync(join(tmpdir(), "fairlead-disk-"));
  cleanup.push(() => rmdirSync(disk));
  expect(spawnSync("mount", ["-t", "tmpfs", "-o", "size=256k", "tmpfs", disk]).status).toBe(0);
  cleanup.push(() => spawnSync("umount", ["--lazy", disk]));
  const file = join(disk, "proxy.log");
  const mesh = await start(openSync(file, "a"));
  const ballast = join(disk, "ballast");
  // All but a page or two.
  for (let kibibytes = 248; kibibytes > 0; kibibytes -= 4)
    try {
      writeFileSync(ballast, Buffer.alloc(kibibytes * 1024));
      break;
    } catch {}
  await warn(mesh, LINES);
  await serves(mesh);
  await rests(mesh);
  const kept = readFileSync(file, "latin1");
  expect(kept.split("must be mutually authenticated").length - 1).toBeLessThan(LINES);
  rmSync(ballast);
  await until("the log goes on", async () => {
    await warn(mesh, 1);
    const now = readFileSync(file, "latin1");
    return now.length > kept.length && now.includes("log lines were lost");
  });
  expect(await mesh.b.stop()).toBe(0);
}, 30_000);
