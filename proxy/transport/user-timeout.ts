// How long sent bytes may stay unacknowledged before the kernel gives the connection up: setsockopt(TCP_USER_TIMEOUT) by FFI. Without
// it a peer that vanished while bytes were under way holds what waits for it for a quarter of an hour.
import { dlopen, FFIType, type Pointer, ptr } from "bun:ffi";

// <linux/tcp.h>
const IPPROTO_TCP = 6;
const TCP_USER_TIMEOUT = 18;
const MAX_MS = 0x7fffffff;

type Setsockopt = (fd: number, level: number, name: number, value: Pointer, length: number) => number;

export class UserTimeout {
  // In a buffer of its own, which is not moved.
  readonly #value = new Uint32Array(new ArrayBuffer(4));
  #setsockopt: Setsockopt | null = null;

  /** @param ms 0 = the kernel's. What the kernel refuses stays as it was. */
  set(fd: number, ms: number): void {
    if (!Number.isInteger(fd)) return;
    this.#setsockopt ??= libcSetsockopt();
    this.#value[0] = Math.min(ms, MAX_MS);
    this.#setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, ptr(this.#value), this.#value.byteLength);
  }
}

function libcSetsockopt(): Setsockopt {
  const { symbols } = dlopen("libc.so.6", {
    setsockopt: { args: [FFIType.i32, FFIType.i32, FFIType.i32, FFIType.ptr, FFIType.u32], returns: FFIType.i32 },
  });
  return symbols.setsockopt as Setsockopt;
}
