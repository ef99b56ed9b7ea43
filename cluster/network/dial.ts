// TCP connections out of another network namespace: the calling thread enters it, makes a socket, and leaves again, all in one synchronous step.
import { dlopen, FFIType, ptr } from "bun:ffi";
import { closeSync, openSync } from "node:fs";

const CLONE_NEWNET = 0x40000000;
const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM_NONBLOCK_CLOEXEC = 1 | 0o4000 | 0o2000000;
const POLLOUT = 4;
const SOL_SOCKET = 1;
const SO_ERROR = 4;
const ECONNREFUSED = 111;

const dialTimeoutMs = 5_000;
const pollMs = 1;

function loadLibc() {
  return dlopen("libc.so.6", {
    setns: { args: [FFIType.i32, FFIType.i32], returns: FFIType.i32 },
    socket: { args: [FFIType.i32, FFIType.i32, FFIType.i32], returns: FFIType.i32 },
    connect: { args: [FFIType.i32, FFIType.ptr, FFIType.i32], returns: FFIType.i32 },
    poll: { args: [FFIType.ptr, FFIType.u64, FFIType.i32], returns: FFIType.i32 },
    getsockopt: { args: [FFIType.i32, FFIType.i32, FFIType.i32, FFIType.ptr, FFIType.ptr], returns: FFIType.i32 },
    close: { args: [FFIType.i32], returns: FFIType.i32 },
  }).symbols;
}

export interface DialHandlers {
  data(bytes: Uint8Array): void;
  /** The peer will send no more. */
  end(): void;
  close(): void;
  /** Everything that was written has left; more may be written. */
  drain(): void;
}

export interface DialedSocket {
  /** Returns false when bytes had to be kept: wait for `drain`. */
  write(bytes: Uint8Array): boolean;
  end(): void;
  destroy(): void;
}

/**
 * Connects to `port` on the loopback address (IPv4, else IPv6) of a network namespace.
 * @throws {Error} worded as Go's dialer.
 */
export async function dialLoopback(namespacePath: string, port: number, handlers: DialHandlers): Promise<DialedSocket> {
  let refused: Error | undefined;
  for (const family of [AF_INET, AF_INET6]) {
    try {
      return await adopt(await connectIn(namespacePath, family, port), handlers);
    } catch (error) {
      refused ??= error as Error;
    }
  }
  throw refused;
}

/** A connected socket's descriptor. */
async function connectIn(namespacePath: string, family: number, port: number): Promise<number> {
  const libc = loadLibc();
  const address = new Uint8Array(family === AF_INET ? 16 : 28);
  address.set([family & 255, family >> 8, port >> 8, port & 255]);
  if (family === AF_INET) address.set([127, 0, 0, 1], 4);
  else address[23] = 1;
  const home = openSync("/proc/self/ns/net", "r");
  let fd = -1;
  try {
    const target = openSync(namespacePath, "r");
    try {
      if (libc.setns(target, CLONE_NEWNET) !== 0) throw new Error(`cannot enter ${namespacePath}`);
      try {
        fd = libc.socket(family, SOCK_STREAM_NONBLOCK_CLOEXEC, 0);
        if (fd >= 0) libc.connect(fd, ptr(address), address.length);
      } finally {
        if (libc.setns(home, CLONE_NEWNET) !== 0) {
          // Going on in a foreign namespace would put every later socket in the wrong place.
          process.abort();
        }
      }
    } finally {
      closeSync(target);
    }
  } finally {
    closeSync(home);
  }
  if (fd < 0) throw new Error("cannot make a socket");
  const where = `dial tcp ${family === AF_INET ? "127.0.0.1" : "[::1]"}:${port}`;
  const deadline = performance.now() + dialTimeoutMs;
  for (;;) {
    const state = new Uint8Array(8);
    new DataView(state.buffer).setInt32(0, fd, true);
    state[4] = POLLOUT;
    if (libc.poll(ptr(state), 1, 0) > 0) {
      const value = new Int32Array(1);
      const length = new Int32Array([4]);
      libc.getsockopt(fd, SOL_SOCKET, SO_ERROR, ptr(value), ptr(length));
      if (value[0] === 0) return fd;
      libc.close(fd);
      throw new Error(`${where}: connect: ${value[0] === ECONNREFUSED ? "connection refused" : `error ${value[0]}`}`);
    }
    if (performance.now() > deadline) {
      libc.close(fd);
      throw new Error(`${where}: i/o timeout`);
    }
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

/** Gives the descriptor to the runtime's event loop. */
async function adopt(fd: number, handlers: DialHandlers): Promise<DialedSocket> {
  let pending: Uint8Array[] = [];
  let isEnding = false;
  const flush = (socket: { write(bytes: Uint8Array): number; end(): unknown }) => {
    while (pending.length > 0) {
      const first = pending[0]!;
      const written = socket.write(first);
      if (written < first.length) {
        if (written > 0) pending[0] = first.subarray(written);
        return false;
      }
      pending.shift();
    }
    return true;
  };
  const options = {
    fd,
    // Half-open: a peer that has said everything may still be told something.
    allowHalfOpen: true,
    socket: {
      data: (_: unknown, bytes: Uint8Array) => handlers.data(bytes),
      end: () => handlers.end(),
      close: () => {
        pending = [];
        handlers.close();
      },
      error: () => {},
      drain: (socket: { write(bytes: Uint8Array): number; end(): unknown }) => {
        if (!flush(socket)) return;
        if (isEnding) socket.end();
        else handlers.drain();
      },
    },
  };
  const socket = (await Bun.connect(options as unknown as Parameters<typeof Bun.connect>[0])) as unknown as {
    write(bytes: Uint8Array): number;
    end(): void;
    terminate(): void;
    shutdown(half?: boolean): void;
  };
  return {
    write: (bytes) => {
      pending.push(Uint8Array.from(bytes));
      return flush(socket);
    },
    end: () => {
      isEnding = true;
      if (pending.length === 0) socket.shutdown();
    },
    destroy: () => socket.terminate(),
  };
}
