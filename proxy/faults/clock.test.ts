// Wall clocks that jump (spec hardening §5, "clock +-25 h"): certificates of a day end, or have not begun. Connections that are up
// go on; new certificates come at once and not with the timer of the old ones; nothing else follows the wall clock.
// libfaketime moves the clock of a process; the monotonic one goes on, as when somebody sets the time.
import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { serveHttp1 } from "../testing/apps.ts";
import { runLong } from "../testing/long.ts";
import { canRunPods, identityOf, ProcessMesh, SERVICE_IP, until, type Who } from "../testing/processes.ts";
import { dialFrom, type PodServer, requestFrom } from "../testing/sockets.ts";

const library = [...new Bun.Glob("*/faketime/libfaketime.so.1").scanSync({ cwd: "/usr/lib", followSymlinks: true })].map((name) =>
  join("/usr/lib", name),
)[0];
const it = test.if(canRunPods && library !== undefined && existsSync(library));
const PORT = 8080;
const DAY_MS = 24 * 3_600_000;
const WHO = ["a", "b"] as const;

let mesh: ProcessMesh;
let app: PodServer;
let folder: string;
const clockOf = (who: Who): string => join(folder, who);
const move = (by: string, ...whose: Who[]): void => {
  for (const who of whose) writeFileSync(clockOf(who), `${by}\n`);
};

beforeEach(async () => {
  if (!canRunPods || library === undefined) return;
  folder = mkdtempSync(join(tmpdir(), "fairlead-clock-"));
  Bun.spawnSync(["chmod", "755", folder]);
  move("+0", ...WHO);
  mesh = await ProcessMesh.start({
    tag: `${process.pid}k`,
    ports: { [PORT]: {} },
    lifetimeMs: DAY_MS,
    env: () => ({ IDENTITY_MIN_REFRESH: "500ms", OUTBOUND_DISPATCH_TIMEOUT: "300ms" }),
    plainEnv: (who) => ({
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: clockOf(who),
      FAKETIME_NO_CACHE: "1",
      FAKETIME_DONT_FAKE_MONOTONIC: "1",
    }),
  });
  app = serveHttp1(mesh.pods.b, PORT);
}, 30_000);
afterEach(() => {
  app?.stop();
  const pids = mesh === undefined ? [] : WHO.flatMap((who) => [mesh[who]?.pid, mesh.controlPlane(who)?.pid]);
  mesh?.close();
  // The library leaves its shared memory behind.
  for (const pid of pids)
    for (const name of [`faketime_shm_${pid}`, `sem.faketime_sem_${pid}`]) rmSync(join("/dev/shm", name), { force: true });
  rmSync(folder, { recursive: true, force: true });
});

const ask = () => requestFrom(mesh.pods.a, { host: SERVICE_IP, port: PORT }).then(({ status }) => status);
const expiry = async (who: Who): Promise<number> => (await mesh[who].metrics()).sum("identity_cert_expiration_timestamp_seconds") * 1000;

/** The end of the certificate that a proxy shows in a new handshake. */
async function shown(): Promise<void> {
  const connection = await dialFrom(mesh.outsider, {
    host: mesh.pods.b.ip,
    port: PORT,
    tls: { serverName: identityOf("b"), credentials: null, ca: mesh.ca.pem },
  });
  await connection.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
  await connection.until("200 OK");
  connection.reset();
}

for (const [by, sign] of [
  ["+25h", 1],
  ["-25h", -1],
] as const)
  (sign > 0 ? it : runLong)(
    `all clocks jump by ${by}`,
    async () => {
      expect(await ask()).toBe(200);
      const before = await Promise.all(WHO.map(expiry));
      move(by, ...WHO);
      // The connection between the proxies stands.
      for (let i = 0; i < 5; i++) expect(await ask()).toBe(200);
      for (const [i, who] of WHO.entries())
        await until("a certificate of the new time", async () => {
          expect(await ask()).toBe(200);
          return sign * ((await expiry(who)) - (before[i] as number)) > DAY_MS;
        });
      await shown();
      for (const proxy of [mesh.a, mesh.b]) {
        expect(proxy.alive).toBe(true);
        expect(proxy.internalErrors).toEqual([]);
        // Nothing spins on the wall clock.
        const { cpuMs } = proxy;
        await Bun.sleep(300);
        expect(proxy.cpuMs - cpuMs).toBeLessThan(200);
      }
    },
    40_000,
  );

runLong(
  "the clock of one side jumps, and comes back",
  async () => {
    expect(await ask()).toBe(200);
    move("+25h", "a");
    for (let i = 0; i < 5; i++) expect(await ask()).toBe(200);
    await until("it has asked for another certificate", async () => (await mesh.a.metrics()).sum("identity_cert_refresh_count") > 1);
    move("+0", "a");
    await until("and again", async () => (await expiry("a")) < Date.now() + DAY_MS + 60_000);
    expect(await ask()).toBe(200);
    for (const proxy of [mesh.a, mesh.b]) expect(proxy.internalErrors).toEqual([]);
  },
  40_000,
);
