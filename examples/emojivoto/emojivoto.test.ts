// The sample's programs, run as processes and asked over HTTP.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { createServer } from "node:net";

const root = new URL("../..", import.meta.url).pathname;
const started: Bun.Subprocess[] = [];
let web = 0;

const freePort = () =>
  new Promise<number>((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });

async function start(program: string, env: Record<string, string>, ready: number): Promise<void> {
  started.push(
    Bun.spawn([process.execPath, `${root}examples/emojivoto/main.ts`, program], { env: { ...process.env, ...env }, stdout: "ignore" }),
  );
  for (let tries = 0; tries < 200; tries++) {
    const open = await Bun.connect({ hostname: "127.0.0.1", port: ready, socket: { data() {} } }).catch(() => undefined);
    if (open) return void open.end();
    await Bun.sleep(25);
  }
  throw new Error(`${program} does not listen on ${ready}`);
}

beforeAll(async () => {
  const [emoji, voting, prom, prom2] = await Promise.all([freePort(), freePort(), freePort(), freePort()]);
  web = await freePort();
  await Promise.all([
    start("emojivoto-emoji-svc", { GRPC_PORT: `${emoji}`, PROM_PORT: `${prom}` }, emoji!),
    start("emojivoto-voting-svc", { GRPC_PORT: `${voting}`, PROM_PORT: `${prom2}` }, voting!),
    start("emojivoto-web", { WEB_PORT: `${web}`, EMOJISVC_HOST: `127.0.0.1:${emoji}`, VOTINGSVC_HOST: `127.0.0.1:${voting}` }, web),
  ]);
});

afterAll(async () => {
  for (const process of started) process.kill();
  await Promise.all(started.map((process) => process.exited));
});

const get = async (path: string) => {
  const response = await fetch(`http://127.0.0.1:${web}${path}`);
  return { status: response.status, body: (await response.json()) as Record<string, unknown> & unknown[] };
};

test("lists a hundred emoji", async () => {
  const { status, body } = await get("/api/list");
  expect(status).toBe(200);
  expect(body).toHaveLength(100);
});

test("counts a vote and shows it on the leaderboard", async () => {
  expect(await get("/api/vote?choice=:poop:")).toEqual({ status: 200, body: {} as never });
  expect((await get("/api/leaderboard")).body).toEqual([{ shortcode: ":poop:", unicode: "💩", votes: 1 }] as never);
});

test.each([
  ["/api/vote", 400, "the query parameter `choice` is missing"],
  ["/api/vote?choice=:none:", 400, 'choice: there is no emoji ":none:"'],
  ["/api/vote?choice=:doughnut:", 500, "[unknown] ERROR"],
])("%s answers %d", async (path, status, error) => {
  expect(await get(path)).toEqual({ status, body: { error } as never });
});
