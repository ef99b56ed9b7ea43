// Where a redirected connection was bound for: getsockopt(SO_ORIGINAL_DST) by FFI (spec proxy §2).
import { dlopen, FFIType, type Pointer, ptr } from "bun:ffi";
import { formatIpv4, formatIpv6, type SocketAddr } from "#addr";

// <linux/in.h>, <linux/netfilter_ipv4.h>, <linux/netfilter_ipv6/ip6_tables.h>
const SOL_IP = 0;
const SOL_IPV6 = 41;
const SO_ORIGINAL_DST = 80;
const AF_INET = 2;
const AF_INET6 = 10;

export type OriginalDst = (fd: number, family: "IPv4" | "IPv6") => SocketAddr | null;

/** getsockopt(2), with addresses of memory. */
export type Getsockopt = (fd: number, level: number, name: number, value: Pointer, length: Pointer) => number;

/**
 * Opens libc once and returns the reader. Null from the reader: the kernel knows no original destination for the socket
 * (not redirected). There is no fallback to the local address.
 */
export function openOriginalDst(getsockopt: Getsockopt = libcGetsockopt()): OriginalDst {
  // sockaddr_in6 is the larger of the two: 28 bytes. In buffers of their own: the few bytes of an array without one are moved once
  // the reader is compiled, and the kernel would be told what lies where they were.
  const address = new Uint8Array(new ArrayBuffer(28));
  const length = new Uint32Array(new ArrayBuffer(4));
  const view = new DataView(address.buffer);
  const addressPtr = ptr(address);
  const lengthPtr = ptr(length);
  return (fd, family) => {
    length[0] = address.length;
    const level = family === "IPv6" ? SOL_IPV6 : SOL_IP;
    let status = getsockopt(fd, level, SO_ORIGINAL_DST, addressPtr, lengthPtr);
    if (status !== 0 && level === SOL_IPV6) {
      // A v4-mapped connection on a dual-stack listener.
      length[0] = address.length;
      status = getsockopt(fd, SOL_IP, SO_ORIGINAL_DST, addressPtr, lengthPtr);
    }
    if (status !== 0) return null;
    // The family is in host order, port and address are big-endian.
    const af = view.getUint16(0, true);
    const port = view.getUint16(2);
    if (af === AF_INET) return { ip: formatIpv4(view.getUint32(4)), port };
    if (af !== AF_INET6) return null;
    const h: number[] = [];
    for (let i = 0; i < 8; i++) h.push(view.getUint16(8 + 2 * i));
    return { ip: formatIpv6(h), port };
  };
}

function libcGetsockopt(): Getsockopt {
  const { symbols } = dlopen("libc.so.6", {
    getsockopt: { args: [FFIType.i32, FFIType.i32, FFIType.i32, FFIType.ptr, FFIType.ptr], returns: FFIType.i32 },
  });
  return symbols.getsockopt;
}
