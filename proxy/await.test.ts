import { afterEach, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { parseAwaitArgs } from "./await.ts";

const MAIN = join(import.meta.dir, "..", "main.ts");
const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

describe("flags", () => {
  const defaults = { port: 4191, backoffMs: 1000, timeoutMs: null, shutdown: false, verbose: false, command: [] };
  test.each([
    ["", {}],
    ["--timeout=2m --port=4191", { timeoutMs: 120_000 }],
    ["-t 300ms -p 14191 -b 0", { timeoutMs: 300, port: 14191, backoffMs: 0 }],
    ["-p=1 -v", { port: 1, verbose: true }],
    ["-p65535 app -p 1 --shutdown", { port: 65535, command: ["app", "-p", "1", "--shutdown"] }],
    ["-S -- app --help", { shutdown: true, command: ["app", "--help"] }],
    ["-- --odd", { command: ["--odd"] }],
  ])("%p", (line, expected) => {
    expect(
      parseAwaitArgs(
        line.split(" ").filter((word) => word !== ""),
        {},
      ),
    ).toEqual({ ...defaults, ...expected });
  });

  test.each([
    ["--port=0", '--port: "0" is not a port'],
    ["--port=65536", '--port: "65536" is not a port'],
    ["-p x", '-p: "x" is not a port'],
    ["--timeout=5", '--timeout: a duration needs a unit (ms, s, m, h, d): "5"'],
    ["--backoff", "--backoff needs a value"],
    ["--shutdown", "--shutdown needs a command"],
    ["--tiemout=2m", "unknown flag: --tiemout"],
  ])("%p: %s", (line, error) => {
    expect(parseAwaitArgs(line.split(" "), {})).toEqual({ error });
  });

  test("help, and verbose by variable", () => {
    expect(parseAwaitArgs(["-h"], {})).toBe("help");
    expect(parseAwaitArgs([], { LINKERD_AWAIT_VERBOSE: "true" })).toMatchObject({ verbose: true });
  });
});

describe("as a process", () => {
  /** An admin server that is ready at its `readyAt`-th answer. */
  function proxy(readyAt: number) {
    const asked: string[] = [];
    const server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch(request) {
        asked.push(`${request.method} ${new URL(request.url).pathname}`);
        return new Response("", { status: asked.length >= readyAt ? 200 : 503 });
      },
    });
    cleanups.push(() => server.stop(true));
    return { port: server.port, asked };
  }

  async function run(args: string[], env: Record<string, string> = {}) {
    const child = Bun.spawn({
      cmd: [process.execPath, MAIN, "proxy-await", ...args],
      env: { PATH: process.env["PATH"] ?? "", ...env },
      stdout: "pipe",
      stderr: "pipe",
    });
    cleanups.push(() => child.kill(9));
    const [stdout, stderr, status] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    return { status, stdout, stderr };
  }

  test("waits until it is ready, then gives way to the command and its status", async () => {
    const { port, asked } = proxy(3);
    expect(await run([`--port=${port}`, "--backoff=1ms", "--", "sh", "-c", "echo started; exit 7"])).toEqual({
      status: 7,
      stdout: "started\n",
      stderr: "",
    });
    expect(asked).toEqual(["GET /ready", "GET /ready", "GET /ready"]);
  });

  test("fails when the time is over, and starts nothing", async () => {
    const { port } = proxy(Number.POSITIVE_INFINITY);
    expect(await run([`--port=${port}`, "--backoff=1ms", "--timeout=50ms", "echo", "started"])).toEqual({
      status: 69,
      stdout: "",
      stderr: "linkerd-proxy failed to become ready within 50ms timeout\n",
    });
  });

  test("shuts the proxy down after the command", async () => {
    const { port, asked } = proxy(1);
    expect(await run([`--port=${port}`, "-S", "true"])).toMatchObject({ status: 0 });
    expect(asked).toEqual(["GET /ready", "POST /shutdown"]);
  });

  test("disabled: nothing is asked", async () => {
    const { port, asked } = proxy(1);
    expect(await run([`--port=${port}`, "-v", "echo", "started"], { LINKERD_AWAIT_DISABLED: "no mesh" })).toEqual({
      status: 0,
      stdout: "started\n",
      stderr: "Linkerd readiness check skipped: no mesh\n",
    });
    expect(asked).toEqual([]);
  });

  test("a command that is not there", async () => {
    const { port } = proxy(1);
    expect(await run([`--port=${port}`, "/no/such/program"])).toMatchObject({
      status: 71,
      stderr: expect.stringContaining("/no/such/program"),
    });
  });
});
