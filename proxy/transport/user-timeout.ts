// How long the kernel waits for a peer: setsockopt(TCP_USER_TIMEOUT) by FFI. Without it a peer that vanished while bytes were under
// way holds what waits for it for a quarter of an hour, and a connection that is being made asks for two minutes.
import { dlopen, FFIType, type Pointer, ptr } from "bun:ffi";

// <sys/socket.h>, <bits/socket_type.h>, <linux/tcp.h>
const AF_UNIX = 1;
const SOCK_STREAM_CLOEXEC = 0o2000001;
const IPPROTO_TCP = 6;
const TCP_INFO = 11;
const TCP_USER_TIMEOUT = 18;
const TCP_SYN_SENT = 2;
const MAX_MS = 0x7fffffff;

type Libc = {
  readonly setsockopt: (fd: number, level: number, name: number, value: Pointer, length: number) => number;
  readonly getsockopt: (fd: number, level: number, name: number, value: Pointer, length: Pointer) => number;
  readonly socket: (family: number, type: number, protocol: number) => number;
  readonly close: (fd: number) => number;
};

export class UserTimeout {
  // In buffers of their own, which are not moved.
  readonly #value = new Uint32Array(new ArrayBuffer(4));
  readonly #length = new Uint32Array(new ArrayBuffer(4));
  #libc: Libc | null = null;

  /** @param ms 0 = the kernel's. What the kernel refuses stays as it was. */
  set(fd: number, ms: number): void {
    if (!Number.isInteger(fd)) return;
    this.#value[0] = Math.min(ms, MAX_MS);
    this.#open().setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, ptr(this.#value), this.#value.byteLength);
  }

  /**
   * Calls `begin`, which begins one connection: the kernel tries for no longer than `ms`. The runtime cannot take back what it has
   * begun, so an attempt that is given up would keep its descriptor for two minutes. Whoever gets the connection sets what holds then.
   */
  bound(begin: () => void, ms: number): void {
    const libc = this.#open();
    // The next descriptor is the lowest that is free. Where another thread is faster, there is no connection being made, or one of
    // ours: nothing is done, or nothing wrong.
    const fd = libc.socket(AF_UNIX, SOCK_STREAM_CLOEXEC, 0);
    if (fd >= 0) libc.close(fd);
    begin();
    if (fd >= 0 && this.#connecting(libc, fd)) this.set(fd, ms);
  }

  #connecting(libc: Libc, fd: number): boolean {
    this.#length[0] = 1;
    // The first byte is the state.
    return (
      libc.getsockopt(fd, IPPROTO_TCP, TCP_INFO, ptr(this.#value), ptr(this.#length)) === 0 &&
      (this.#value[0] as number) % 256 === TCP_SYN_SENT
    );
  }

  #open(): Libc {
    this.#libc ??= openLibc();
    return this.#libc;
  }
}

function openLibc(): Libc {
  const { i32, u32, ptr: pointer } = FFIType;
  return dlopen("libc.so.6", {
    setsockopt: { args: [i32, i32, i32, pointer, u32], returns: i32 },
    getsockopt: { args: [i32, i32, i32, pointer, pointer], returns: i32 },
    socket: { args: [i32, i32, i32], returns: i32 },
    close: { args: [i32], returns: i32 },
  }).symbols as unknown as Libc;
}
