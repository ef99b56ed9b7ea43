// A link between two network namespaces that a test can make bad: a TUN device at either end, and this process carrying IP packets
// between them, late, twice, in another order, with a bit turned, or not at all. What `tc netem` does where the kernel has it.
//   bun packet-relay.ts NAMESPACE NAMESPACE     says "ready"; each line of standard input is a JSON `Impairment`
import { dlopen, FFIType, ptr } from "bun:ffi";
import { closeSync, openSync, read, writeSync } from "node:fs";
import { createInterface } from "node:readline";

export type Impairment = {
  /** Each packet is this late, ms, give or take `jitterMs`: with jitter, packets overtake each other. */
  readonly delayMs?: number;
  readonly jitterMs?: number;
  /** Shares of packets, 0 to 1. */
  readonly loss?: number;
  readonly duplicate?: number;
  /** One bit of the packet is turned. */
  readonly corrupt?: number;
  /** This share goes at once, past what is delayed. */
  readonly reorder?: number;
  /** Of the die that decides. */
  readonly seed?: number;
};

export const DEVICE = "eth0";
/** <linux/if_tun.h> */
const TUNSETIFF = 0x400454ca;
const IFF_TUN = 0x0001;
const IFF_NO_PI = 0x1000;
const CLONE_NEWNET = 0x40000000;
const IFREQ_BYTES = 40;
const MAX_PACKET_BYTES = 65_536;
/** Packets that may be late at a time; more are lost, as in a full router. */
const MAX_LATE = 10_000;

if (import.meta.main) {
  const [from = "", to = ""] = process.argv.slice(2);
  const libc = dlopen("libc.so.6", {
    setns: { args: [FFIType.i32, FFIType.i32], returns: FFIType.i32 },
    ioctl: { args: [FFIType.i32, FFIType.u64, FFIType.ptr], returns: FFIType.i32 },
  });

  /** A TUN device in a namespace; its file descriptor. */
  const device = (namespace: string): number => {
    const fd = openSync(`/run/netns/${namespace}`, "r");
    if (libc.symbols.setns(fd, CLONE_NEWNET) !== 0) throw new Error(`cannot enter ${namespace}`);
    closeSync(fd);
    const tun = openSync("/dev/net/tun", "r+");
    const request = Buffer.alloc(IFREQ_BYTES);
    request.write(DEVICE, "latin1");
    request.writeUInt16LE(IFF_TUN | IFF_NO_PI, 16);
    if (libc.symbols.ioctl(tun, TUNSETIFF, ptr(request)) !== 0) throw new Error(`no TUN device in ${namespace}`);
    return tun;
  };
  const ends = [device(from), device(to)] as const;

  let now: Impairment = {};
  let state = 1;
  /** Uniform in [0, 1) (Lehmer). */
  const die = (): number => {
    state = (state * 48271) % 2147483647;
    return state / 2147483647;
  };
  const chance = (share = 0): boolean => share > 0 && die() < share;
  let late = 0;

  const deliver = (fd: number, packet: Buffer): void => {
    try {
      writeSync(fd, packet);
    } catch {
      // The device is down: the packet is lost.
    }
  };
  const carry = (fd: number, packet: Buffer): void => {
    if (chance(now.loss)) return;
    if (chance(now.corrupt)) {
      const bit = Math.floor(die() * packet.length * 8);
      packet[bit >> 3] = (packet[bit >> 3] as number) ^ (1 << (bit & 7));
    }
    for (let copies = chance(now.duplicate) ? 2 : 1; copies > 0; copies--) {
      const ms = chance(now.reorder) ? 0 : (now.delayMs ?? 0) + (now.jitterMs ?? 0) * (2 * die() - 1);
      if (ms < 1) deliver(fd, packet);
      else if (late < MAX_LATE) {
        late++;
        setTimeout(() => {
          late--;
          deliver(fd, packet);
        }, ms);
      }
    }
  };
  const follow = (source: number, sink: number): void => {
    const buffer = Buffer.alloc(MAX_PACKET_BYTES);
    const next = (): void =>
      read(source, buffer, 0, buffer.length, null, (error, bytes) => {
        if (error) {
          // Not up yet, or no more.
          setTimeout(next, 5);
          return;
        }
        carry(sink, Buffer.from(buffer.subarray(0, bytes)));
        next();
      });
    next();
  };
  follow(ends[0], ends[1]);
  follow(ends[1], ends[0]);

  createInterface({ input: process.stdin })
    .on("line", (line) => {
      now = JSON.parse(line) as Impairment;
      state = now.seed ?? 1;
      console.log("changed");
    })
    // The test is over, or gone.
    .on("close", () => process.exit(0));
  console.log("ready");
}
