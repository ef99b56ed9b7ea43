// The process's side of its workers, with workers in this thread: answers, ends, taps under one limit.
import { afterEach, expect, test } from "bun:test";
import { MessageChannel, type MessagePort } from "node:worker_threads";
import { encode } from "#grpc";
import { Log } from "#log";
import { tapEvent } from "#tap";
import { parseConfig } from "../config/index.ts";
import { DataPlane } from "../data-plane.ts";
import { Channel, type Port } from "./channel.ts";
import { type ProcessMethods, processConfig, type WorkerMethods, workerConfig } from "./contract.ts";
import { WorkerPool, type WorkerThread } from "./pool.ts";
import { TAP_ROOM } from "./taps.ts";

const cleanup: (() => void)[] = [];
afterEach(() => {
  for (const undo of cleanup.splice(0)) undo();
});

const env = {
  LINKERD2_PROXY_IDENTITY_DISABLED: "1",
  LINKERD2_PROXY_DESTINATION_SVC_ADDR: "localhost.:1",
  LINKERD2_PROXY_OUTBOUND_MAX_IN_FLIGHT: "7",
  LINKERD2_PROXY_POLICY_SVC_ADDR: "localhost.:1",
  LINKERD2_PROXY_POLICY_WORKLOAD: "ns:web",
  LINKERD2_PROXY_INBOUND_PORTS: "80",
};

function config() {
  const parsed = parseConfig(env);
  if ("errors" in parsed) throw new Error(parsed.errors.join("\n"));
  return parsed.config;
}

type Fake = { readonly thread: WorkerThread; readonly asked: unknown[][]; readonly channel: Channel<ProcessMethods, WorkerMethods> };

function fakeWorker(methods: Partial<WorkerMethods> = {}): Fake {
  const { port1, port2 } = new MessageChannel();
  const asked: unknown[][] = [];
  const answers: Record<string, (...args: never[]) => unknown> = { bind: (addresses) => addresses, page: () => [], ...methods };
  const all = new Proxy(answers, {
    get:
      (target, name) =>
      (...args: never[]) => {
        asked.push([name, ...args]);
        return target[String(name)]?.(...args);
      },
  });
  const channel = new Channel<ProcessMethods, WorkerMethods>(port2 as unknown as Port, all as unknown as WorkerMethods);
  const thread = port1 as MessagePort as unknown as WorkerThread;
  thread.onended = null;
  cleanup.push(() => port1.close());
  return { thread, asked, channel };
}

const problem = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "none",
    (error: Error) => error.message,
  );

async function poolOf(...workers: Fake[]): Promise<WorkerPool> {
  const log = new Log({ filter: "off", format: "plain", write() {}, uptimeMs: () => 0 });
  const plane = new DataPlane({ config: processConfig(config()), log, identity: null });
  cleanup.push(() => plane.control.stop());
  const pool = await WorkerPool.start({
    count: workers.length,
    spawn: (index) => (workers[index] as Fake).thread,
    plane,
    identity: null,
  });
  pool.failed.catch(() => {});
  return pool;
}

test("the first worker finds the port that all share", async () => {
  const first = fakeWorker({ bind: ({ inbound, outbound }) => ({ inbound: { ...inbound, port: 1234 }, outbound }) });
  const [second, third] = [fakeWorker(), fakeWorker()];
  const pool = await poolOf(first, second, third);
  const outbound = { ip: "127.0.0.1", port: 4140 };
  await pool.bind({ inbound: { ip: "0.0.0.0", port: 0 }, outbound });
  for (const { asked } of [second, third]) expect(asked).toContainEqual(["bind", { inbound: { ip: "0.0.0.0", port: 1234 }, outbound }]);
});

test("an address that cannot be bound is the process's error", async () => {
  const broken = fakeWorker({
    bind() {
      throw new Error("cannot listen on 0.0.0.0:4143: in use");
    },
  });
  const pool = await poolOf(fakeWorker(), broken);
  const at = { ip: "0.0.0.0", port: 4143 };
  expect(await problem(pool.bind({ inbound: at, outbound: at }))).toBe("cannot listen on 0.0.0.0:4143: in use");
});

test("a worker that ends ends everything, also for those who wait for it", async () => {
  const stuck = fakeWorker({ page: () => new Promise<never>(() => {}) as never });
  const pool = await poolOf(fakeWorker(), stuck);
  const waiting = pool.page();
  stuck.thread.onended?.("out of memory");
  expect(await problem(pool.failed)).toBe("worker 2 has ended: out of memory");
  expect(await problem(waiting)).toBe("worker 2 has ended: out of memory");
  expect(await problem(pool.live())).toBe("worker 2 has ended: out of memory");
});

test("both sides drain apart: nobody's way out closes before everybody's way in has drained", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const slow = fakeWorker({ drainInbound: () => promise });
  const quick = fakeWorker();
  const pool = await poolOf(quick, slow);
  const drained = pool.drainInbound();
  await pool.live();
  expect(quick.asked.map(([name]) => name)).not.toContain("drainOutbound");
  resolve();
  await drained;
  await pool.drainOutbound();
  for (const { asked } of [quick, slow]) expect(asked.map(([name]) => name)).toContain("drainOutbound");
});

test("what is the process's own: bounds are shared out, the admin port's policy is watched once", () => {
  const whole = config();
  expect(workerConfig(whole, 2)).toMatchObject({ outbound: { maxInFlight: 4, maxIdleConnections: Number.POSITIVE_INFINITY } });
  expect(processConfig(whole).policy.controller?.ports).toEqual(new Set([4191]));
});

type Kind = "requestInit" | "responseInit" | "responseEnd";
const event = (stream: number, kind: Kind): Uint8Array => {
  const id = { base: 0, stream: BigInt(stream) };
  return encode(tapEvent, { event: { case: "http", value: { event: { case: kind, value: { id } as never } } } } as never);
};
const request = (stream: number): Uint8Array[] =>
  (["requestInit", "responseInit", "responseEnd"] as const).map((kind) => event(stream, kind));

async function tapOf(limit: number) {
  const workers = [fakeWorker(), fakeWorker()] as const;
  const pool = await poolOf(...workers);
  let done = false;
  const call = pool.taps.add({
    limit,
    match: () => true,
    headers: false,
    request: new Uint8Array([1, 2, 3]),
    onEvents() {},
    onDone: () => {
      done = true;
    },
  });
  const settle = (): Promise<void> => pool.live();
  await settle();
  return { workers, call, settle, ended: () => done };
}

test("a tap's limit holds over all workers; it ends when all are done", async () => {
  const { workers, call, settle, ended } = await tapOf(2);
  const [first, second] = workers;
  for (const { asked } of workers) expect(asked).toContainEqual(["tap", 0, new Uint8Array([1, 2, 3])]);
  first.channel.tell("tapEvents", 0, request(0));
  second.channel.tell("tapEvents", 0, [event(1, "requestInit")]);
  await settle();
  for (const { asked } of workers) expect(asked).toContainEqual(["tapFull", 0]);
  // One too many that a worker had taken before it knew; what belongs to it is not passed on, what was taken is.
  first.channel.tell("tapEvents", 0, request(2));
  second.channel.tell("tapEvents", 0, [event(1, "responseInit"), event(1, "responseEnd")]);
  await settle();
  let passed = 0;
  while (call.next() !== null) passed++;
  expect(passed).toBe(6);
  first.channel.tell("tapDone", 0);
  await settle();
  expect([call.done, ended()]).toEqual([false, false]);
  second.channel.tell("tapDone", 0);
  await settle();
  expect([call.done, ended()]).toEqual([true, true]);
  // Every event made room for another.
  await settle();
  const room = (fake: Fake): number =>
    fake.asked.filter(([name]) => name === "tapRoom").reduce((total, [, , events]) => total + (events as number), 0);
  expect(workers.map(room)).toEqual([6, 3]);
});

test("a client that is gone ends the tap in all workers; what still comes is dropped", async () => {
  const { workers, call, settle } = await tapOf(TAP_ROOM);
  call.cancel();
  workers[0].channel.tell("tapEvents", 0, request(0));
  await settle();
  expect(call.next()).toBeNull();
  for (const { asked } of workers) expect(asked).toContainEqual(["tapEnd", 0]);
});
