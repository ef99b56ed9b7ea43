// Where a redirected connection was bound for: getsockopt(SO_ORIGINAL_DST) by FFI (spec proxy §2).
import { dlopen, FFIType, ptr } from "bun:ffi";
import { formatIpv4, formatIpv6, type SocketAddr } from "#addr";

// <linux/in.h>, <linux/netfilter_ipv4.h>, <linux/netfilter_ipv6/ip6_tables.h>
const SOL_IP = 0;
const SOL_IPV6 = 41;
const SO_ORIGINAL_DST = 80;
const AF_INET = 2;
const AF_INET6 = 10;

export type OriginalDst = (fd: number, family: "IPv4" | "IPv6") => SocketAddr | null;

/**
 * Opens libc once and returns the reader. Null from the reader: the kernel knows no original destination for the socket
 * (not redirected). There is no fallback to the local address.
 */
export function openOriginalDst(): OriginalDst {
  const libc = dlopen("libc.so.6", {
    getsockopt: { args: [FFIType.i32, FFIType.i32, FFIType.i32, FFIType.ptr, FFIType.ptr], returns: FFIType.i32 },
  });
  // sockaddr_in6 is the larger of the two: 28 bytes.
  const address = new Uint8Array(28);
  const length = new Uint32Array(1);
  const view = new DataView(address.buffer);
  const addressPtr = ptr(address);
  const lengthPtr = ptr(length);
  const { getsockopt } = libc.symbols;
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
