// What controllers share: flags, logs, live values, webhook reviews, certificates that change under a running server.
import "reflect-metadata";
import { afterAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { generateWebhookCertificate } from "#identity";
import {
  createLogger,
  FlagError,
  follow,
  LiveIndex,
  maxReviewBytes,
  parseAddress,
  parseFlags,
  parseLevel,
  review,
  serveAdmin,
  serveWebhook,
} from "./index.ts";

const quiet = createLogger({ write: () => {} });

describe("flags", () => {
  const specs = { addr: { default: ":1", help: "" }, slices: { default: "false", help: "", bool: true } };
  test.each([
    [["-addr=:2", "--slices"], { addr: ":2", slices: "true" }],
    [["--addr", ":3", "-slices=false"], { addr: ":3", slices: "false" }],
    [[], { addr: ":1", slices: "false" }],
    [["-addr="], { addr: "", slices: "false" }],
  ])("%p", (args, expected) => {
    expect(parseFlags(specs, args)).toEqual(expected);
  });
  test.each([
    [["-nope"], "flag provided but not defined: -nope"],
    [["word"], 'unexpected argument "word"'],
    [["-addr"], "flag needs an argument: -addr"],
    [["-slices=maybe"], 'invalid boolean value "maybe" for -slices'],
    [["-constructor=1"], "not defined: -constructor"],
  ])("%p is refused", (args, message) => {
    expect(() => parseFlags(specs, args)).toThrow(message);
  });
  test("addresses", () => {
    expect(parseAddress("addr", ":8086")).toEqual({ host: "0.0.0.0", port: 8086 });
    expect(() => parseAddress("addr", "8086")).toThrow(FlagError);
    expect(() => parseAddress("addr", ":70000")).toThrow(FlagError);
  });
});

describe("logs", () => {
  const lines = (level: string, format: string) => {
    const out: string[] = [];
    const log = createLogger({
      level,
      format,
      component: "c",
      write: (line) => void out.push(line),
      now: () => new Date("2021-09-30T00:00:00Z"),
    });
    log.debug("quiet");
    log.info('say "x"', { at: "app/web 1", n: 1 });
    return out;
  };
  test("text and JSON", () => {
    expect(lines("info", "plain")).toEqual(['time="2021-09-30T00:00:00Z" level=info msg="say \\"x\\"" component=c at="app/web 1" n=1\n']);
    expect(JSON.parse(lines("info", "json")[0] as string)).toEqual({
      level: "info",
      msg: 'say "x"',
      time: "2021-09-30T00:00:00Z",
      component: "c",
      at: "app/web 1",
      n: 1,
    });
    expect(lines("warn", "plain")).toEqual([]);
  });
  test.each([
    ["linkerd=debug,warn", "debug"],
    ["warn,linkerd=info", "info"],
    ["error", "error"],
    ["hyper=trace", "info"],
  ])("%s is %s", (text, level) => {
    expect(parseLevel(text)).toBe(level as "info");
  });
});

describe("live values", () => {
  const build = () => {
    const flushes: (() => void)[] = [];
    const errors: string[] = [];
    const live = new LiveIndex({
      schedule: (flush) => void flushes.push(flush),
      onError: (error, key) => void errors.push(`${key}: ${(error as Error).message}`),
    });
    return {
      live,
      errors,
      flush: () => {
        for (const one of flushes.splice(0)) one();
      },
      pending: () => flushes.length,
    };
  };
  const equals = (a: unknown, b: unknown) => a === b;

  test("one computation for many changes of a turn; none for others' changes", () => {
    const { live, flush, pending } = build();
    let source = 1;
    let runs = 0;
    const cell = live.watch({
      key: "a",
      equals,
      compute: (track) => {
        track("x");
        runs++;
        return source;
      },
    });
    let told = 0;
    cell.onChange(() => told++);
    source = 2;
    live.touch("x");
    live.touch("x");
    live.touch("y");
    expect(pending()).toBe(1);
    flush();
    expect([runs, told, cell.value]).toEqual([2, 1, 2]);
    live.touch("x");
    flush();
    expect([runs, told]).toEqual([3, 1]);
    // Whoever comes before the flush sees the change.
    source = 3;
    live.touch("x");
    expect(live.watch({ key: "a", equals, compute: () => 0 }).value).toBe(3);
  });

  test("what is read may change from run to run; released, nothing is kept", () => {
    const { live, flush } = build();
    let which = "x";
    const cell = live.watch({
      key: "a",
      equals,
      compute: (track) => {
        track("which");
        track(which);
        return which;
      },
    });
    which = "y";
    live.touch("which");
    flush();
    expect(live.dependencies).toBe(2);
    const again = live.watch({ key: "a", equals, compute: () => "" });
    cell.release();
    cell.release();
    expect(live.size).toBe(1);
    again.release();
    expect([live.size, live.dependencies]).toEqual([0, 0]);
  });

  test("a computation that throws keeps the value and harms no other; a first one that throws leaves nothing", () => {
    const { live, flush, errors } = build();
    let broken = false;
    const make = (key: string, mayBreak: boolean) =>
      live.watch<number>({
        key,
        equals,
        compute: (track, previous = 0) => {
          track("x");
          if (mayBreak && broken) throw new Error("no");
          return previous + 1;
        },
      });
    const [a, b] = [make("a", true), make("b", false)];
    broken = true;
    live.touch("x");
    flush();
    expect([a.value, b.value, errors]).toEqual([1, 2, ["a: no"]]);
    broken = false;
    live.touch("x");
    flush();
    expect(a.value).toBe(2);
    broken = true;
    expect(() => make("c", true)).toThrow("no");
    expect(live.size).toBe(2);
  });

  test("a slow follower gets the newest, not every one; ends with its signal", async () => {
    const { live, flush } = build();
    let source = 0;
    const cell = live.watch({
      key: "a",
      equals,
      compute: (track) => {
        track("x");
        return source;
      },
    });
    const abort = new AbortController();
    const values = follow(cell, abort.signal);
    expect((await values.next()).value).toBe(0);
    for (source = 1; source <= 1000; source++) {
      live.touch("x");
      flush();
    }
    expect((await values.next()).value).toBe(1000);
    const end = values.next();
    abort.abort();
    expect((await end).done).toBe(true);
    expect(live.size).toBe(0);
  });
});

describe("reviews", () => {
  const request = { uid: "1", kind: { kind: "Pod" }, namespace: "app" };
  const ask = (body: unknown, handle: Parameters<typeof review>[1] = () => ({ allowed: true })) =>
    review(typeof body === "string" ? body : JSON.stringify(body), handle, quiet);
  test("an answer echoes the review's type and uid", async () => {
    expect(
      await ask({ apiVersion: "admission.k8s.io/v1beta1", kind: "AdmissionReview", request }, () => ({
        allowed: true,
        patch: [{ op: "add" }],
        warnings: ["w"],
      })),
    ).toEqual({
      status: 200,
      body: {
        apiVersion: "admission.k8s.io/v1beta1",
        kind: "AdmissionReview",
        response: {
          uid: "1",
          allowed: true,
          patchType: "JSONPatch",
          patch: Buffer.from('[{"op":"add"}]').toString("base64"),
          warnings: ["w"],
        },
      },
    });
  });
  test("I30: a handler that fails refuses", async () => {
    const { body } = await ask({ request }, () => Promise.reject(new Error("no values")));
    expect((body as { response: unknown }).response).toMatchObject({ allowed: false, status: { message: "no values" } });
  });
  test.each(["{", "{}", "null", '{"request":{"uid":""}}', '{"request":{"uid":"1","kind":"Pod"}}'])("%s is no review", async (body) => {
    expect((await ask(body)).status).toBe(400);
  });
});

describe("the webhook server", () => {
  const dir = mkdtempSync(join(tmpdir(), "fairlead-webhook-"));
  afterAll(() => rmSync(dir, { recursive: true, force: true }));
  /** As the kubelet does it: a new folder, then the link `..data` moves. */
  const publish = async (version: string, commonName: string) => {
    const { certPem, keyPem } = await generateWebhookCertificate({ commonName, dnsNames: ["hook.svc"] });
    mkdirSync(join(dir, version));
    writeFileSync(join(dir, version, "tls.crt"), certPem);
    writeFileSync(join(dir, version, "tls.key"), keyPem);
    symlinkSync(version, join(dir, "..data_tmp"));
    renameSync(join(dir, "..data_tmp"), join(dir, "..data"));
  };
  const names = (port: number) =>
    new Promise<string>((resolve, reject) => {
      const socket = connect({ host: "127.0.0.1", port, servername: "hook.svc", rejectUnauthorized: false }, () => {
        resolve(String(socket.getPeerCertificate().subject.CN));
        socket.destroy();
      });
      socket.on("error", reject);
    });

  test("serves, bounds bodies, and takes a new certificate over without a restart", async () => {
    await publish("..1", "first");
    for (const file of ["tls.crt", "tls.key"]) symlinkSync(`..data/${file}`, join(dir, file));
    let reloaded: () => void = () => {};
    const told = new Promise<void>((resolve) => {
      reloaded = resolve;
    });
    const server = serveWebhook({
      host: "127.0.0.1",
      port: 0,
      certFile: join(dir, "tls.crt"),
      keyFile: join(dir, "tls.key"),
      handle: () => ({ allowed: true }),
      log: { ...quiet, info: () => reloaded() },
      strict: true,
    });
    const post = (body: string, path = "/") =>
      fetch(`https://127.0.0.1:${server.port}${path}`, { method: "POST", body, tls: { rejectUnauthorized: false } } as RequestInit);
    try {
      expect((await (await post('{"request":{"uid":"1","kind":{"kind":"Pod"}}}')).json()) as unknown).toMatchObject({
        response: { allowed: true },
      });
      expect((await post("{}", "/elsewhere")).status).toBe(404);
      const empty = await post("");
      expect([empty.status, await empty.text()]).toEqual([200, ""]);
      expect((await post("x".repeat(maxReviewBytes))).status).toBe(500);
      expect((await post("x".repeat(maxReviewBytes - 1))).status).toBe(400);
      expect(await names(server.port)).toBe("first");
      await publish("..2", "second");
      await told;
      expect(await names(server.port)).toBe("second");
    } finally {
      await server.close();
    }
  });
});

test("the admin server", async () => {
  let ready = false;
  const admin = serveAdmin({ host: "127.0.0.1", port: 0, ready: () => ready });
  const get = async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${admin.port}${path}`);
    return [response.status, await response.text()];
  };
  try {
    expect(await get("/ping")).toEqual([200, "pong\n"]);
    expect(await get("/ready")).toEqual([503, "not ready\n"]);
    ready = true;
    expect(await get("/ready")).toEqual([200, "ok\n"]);
    expect((await get("/metrics"))[0]).toBe(404);
    expect((await get("/debug/pprof/"))[0]).toBe(404);
  } finally {
    await admin.close();
  }
});
