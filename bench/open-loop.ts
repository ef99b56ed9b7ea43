// Open-loop HTTP/1 load: requests are sent when they are due, whatever became of the ones before, and latency counts from when
// they were due. Arrivals are random (exponential gaps, seeded), as those of many independent clients; a timer per connection
// would let them march in step, and proxies would be spared most wake-ups.
// The loop is the kernel's own (epoll with nanosecond timeouts by bun:ffi): JavaScript's timers know whole milliseconds only.
//   bun bench/open-loop.ts IP PORT PATH RATE SECONDS CONNECTIONS EXPECTED-BODY-BYTES   → one line of JSON
import { dlopen, FFIType, ptr } from "bun:ffi";

export type OpenLoopResult = {
  readonly sent: number;
  readonly answered: number;
  /** Answers that were not 200 with the expected size, and connections that broke. */
  readonly wrong: number;
  readonly seconds: number;
  /** µs from the intended time of sending to the last byte. */
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
};

const { i32, u64, u32, ptr: pointer } = FFIType;
const SOCK_NONBLOCK = 0o4000;
const EPOLLIN = 1;
const EVENT_BYTES = 12;
const MAX_EVENTS = 64;

/** Seeded, so that every system meets the same arrivals (mulberry32). */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

function quantile(sorted: Float64Array, q: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN;
}

function main(args: readonly string[]): void {
  const [ip = "", path = ""] = [args[0], args[2]];
  const [port, rate, seconds, connections, bodyBytes] = [args[1], args[3], args[4], args[5], args[6]].map(Number) as [
    number,
    number,
    number,
    number,
    number,
  ];
  const libc = dlopen("libc.so.6", {
    socket: { args: [i32, i32, i32], returns: i32 },
    connect: { args: [i32, pointer, u32], returns: i32 },
    setsockopt: { args: [i32, i32, i32, pointer, u32], returns: i32 },
    fcntl: { args: [i32, i32, i32], returns: i32 },
    read: { args: [i32, pointer, u64], returns: FFIType.i64_fast },
    write: { args: [i32, pointer, u64], returns: FFIType.i64_fast },
    close: { args: [i32], returns: i32 },
    prctl: { args: [i32, u64, u64, u64, u64], returns: i32 },
    epoll_create1: { args: [i32], returns: i32 },
    epoll_ctl: { args: [i32, i32, i32, pointer], returns: i32 },
    epoll_pwait2: { args: [i32, pointer, i32, pointer, pointer], returns: i32 },
  }).symbols;
  // PR_SET_TIMERSLACK: 1 ns instead of 50 µs.
  libc.prctl(29, 1, 0, 0, 0);

  const address = new Uint8Array(16);
  new DataView(address.buffer).setUint16(0, 2, true);
  new DataView(address.buffer).setUint16(2, port, false);
  address.set(ip.split(".").map(Number), 4);
  const one = new Int32Array([1]);
  const epoll = libc.epoll_create1(0);
  const event = new Uint8Array(EVENT_BYTES);
  const eventView = new DataView(event.buffer);
  const events = new Uint8Array(EVENT_BYTES * MAX_EVENTS);
  const eventsView = new DataView(events.buffer);
  // With a buffer of its own: without, it moves once the loop is compiled, and the kernel reads what was there.
  const timeout = new BigInt64Array(new ArrayBuffer(16));
  const input = Buffer.alloc(64 * 1024);
  const request = Buffer.from(`GET ${path} HTTP/1.1\r\nHost: ${ip}\r\nUser-Agent: open-loop\r\nAccept: */*\r\n\r\n`);
  const [inputPtr, requestPtr, eventsPtr, timeoutPtr] = [ptr(input), ptr(request), ptr(events), ptr(timeout)];

  type Connection = { fd: number; due: number; got: string; warm: boolean };
  const idle: Connection[] = [];
  const byFd = new Map<number, Connection>();
  let wrong = 0;

  const open = (): void => {
    const fd = libc.socket(2, 1, 0);
    libc.setsockopt(fd, 6, 1, ptr(one), 4);
    if (libc.connect(fd, ptr(address), 16) !== 0) throw new Error(`cannot connect to ${ip}:${port}`);
    libc.fcntl(fd, 4, SOCK_NONBLOCK);
    eventView.setUint32(0, EPOLLIN, true);
    eventView.setInt32(4, fd, true);
    libc.epoll_ctl(epoll, 1, fd, ptr(event));
    const connection = { fd, due: 0, got: "", warm: false };
    byFd.set(fd, connection);
    idle.push(connection);
  };
  for (let i = 0; i < connections; i++) open();

  const next = random(1);
  const gap = (): number => (-Math.log(1 - next()) * 1000) / rate;
  const total = Math.round(rate * seconds);
  const latencies = new Float64Array(total);
  /** Times at which requests that found no idle connection were due. */
  const waiting: number[] = [];
  let sent = 0;
  let answered = 0;
  let finished = 0;
  const start = performance.now();
  let due = start + gap();
  const giveUp = start + seconds * 1000 + 10_000;

  const send = (connection: Connection, at: number): void => {
    connection.due = at;
    if (Number(libc.write(connection.fd, requestPtr, request.length)) !== request.length) drop(connection);
  };
  const drop = (connection: Connection): void => {
    wrong++;
    finished++;
    byFd.delete(connection.fd);
    libc.close(connection.fd);
    open();
  };
  /** Bytes of the response that stands at the beginning of `text`, -1 when it is not complete, -2 when it is wrong. */
  const complete = (text: string): number => {
    const end = text.indexOf("\r\n\r\n");
    if (end < 0) return -1;
    if (!text.startsWith("HTTP/1.1 200 ")) return -2;
    const length = /\r\ncontent-length: *(\d+)/i.exec(text.slice(0, end + 2));
    if (length === null || Number(length[1]) !== bodyBytes) return -2;
    return text.length >= end + 4 + bodyBytes ? end + 4 + bodyBytes : -1;
  };
  const readable = (connection: Connection): void => {
    const n = Number(libc.read(connection.fd, inputPtr, input.length));
    if (n <= 0) {
      drop(connection);
      return;
    }
    connection.got += input.toString("latin1", 0, n);
    const size = complete(connection.got);
    if (size === -1) return;
    if (size !== connection.got.length) {
      drop(connection);
      return;
    }
    connection.got = "";
    latencies[answered++] = (performance.now() - connection.due) * 1000;
    finished++;
    const at = waiting.shift();
    if (at === undefined) idle.push(connection);
    else send(connection, at);
  };

  while (finished < total && performance.now() < giveUp) {
    let now = performance.now();
    while (sent < total && due <= now) {
      const connection = idle.shift();
      if (connection === undefined) waiting.push(due);
      else send(connection, due);
      sent++;
      due += gap();
      now = performance.now();
    }
    const wait = sent < total ? Math.max(0, due - now) : 100;
    timeout[0] = BigInt(Math.floor(wait / 1000));
    timeout[1] = BigInt(Math.floor((wait % 1000) * 1e6));
    const n = libc.epoll_pwait2(epoll, eventsPtr, MAX_EVENTS, timeoutPtr, null);
    for (let i = 0; i < n; i++) {
      const connection = byFd.get(eventsView.getInt32(i * EVENT_BYTES + 4, true));
      if (connection !== undefined) readable(connection);
    }
  }
  const sorted = latencies.slice(0, answered).sort();
  const result: OpenLoopResult = {
    sent,
    answered,
    wrong,
    seconds: (performance.now() - start) / 1000,
    p50: quantile(sorted, 0.5),
    p99: quantile(sorted, 0.99),
    p999: quantile(sorted, 0.999),
    max: sorted.at(-1) ?? Number.NaN,
  };
  console.log(JSON.stringify(result));
}

if (import.meta.main) main(process.argv.slice(2));
