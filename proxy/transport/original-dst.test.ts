// What the kernel is asked for the original destination of a connection, and what is made of its answer.

import { type Pointer, read, toArrayBuffer } from "bun:ffi";
import { expect, test } from "bun:test";
import { openOriginalDst } from "./original-dst.ts";

const [SOL_IP, SOL_IPV6] = [0, 41];

/** A kernel that knows one destination, as a sockaddr in hexadecimal, at one level. */
function kernel(level: number, sockaddr: string) {
  const lengths = new Set<number>();
  return {
    lengths,
    getsockopt(_fd: number, asked: number, _name: number, value: Pointer, length: Pointer): number {
      lengths.add(read.u32(length));
      if (asked !== level) return -1;
      new Uint8Array(toArrayBuffer(value, 0, 28)).set(Buffer.from(sockaddr, "hex"));
      return 0;
    },
  };
}

test("IPv4, IPv6, and IPv4 on a socket of both", () => {
  const v4 = "02001f900ad50164";
  const v6 = "0a001f9000000000fd000000000000000000000000000001";
  expect(openOriginalDst(kernel(SOL_IP, v4).getsockopt)(7, "IPv4")).toEqual({ ip: "10.213.1.100", port: 8080 });
  expect(openOriginalDst(kernel(SOL_IPV6, v6).getsockopt)(7, "IPv6")).toEqual({ ip: "fd00::1", port: 8080 });
  expect(openOriginalDst(kernel(SOL_IP, v4).getsockopt)(7, "IPv6")).toEqual({ ip: "10.213.1.100", port: 8080 });
  expect(openOriginalDst(() => -1)(7, "IPv4")).toBeNull();
});

test("the memory handed over stays where it is, however often it is used and however the reader is compiled", () => {
  const { getsockopt, lengths } = kernel(SOL_IP, "02001f900ad50164");
  const read = openOriginalDst(getsockopt);
  for (let i = 0; i < 60_000; i++) {
    const dst = read(7, "IPv4");
    if (dst?.port !== 8080) throw new Error(`call ${i}: ${JSON.stringify(dst)}`);
  }
  expect([...lengths]).toEqual([28]);
});
