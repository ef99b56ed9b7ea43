// A name server in a pod that a test can break: UDP and port 53 of loopback, messages by dns-packet.
import { decode, encode, type Packet } from "dns-packet";
import type { Pod } from "./namespaces.ts";

/** How every question is answered. */
export type Behaviour =
  | "NXDOMAIN"
  | "SERVFAIL"
  | "REFUSED"
  /** No error, no answer. */
  | "empty"
  /** Bytes of no meaning, with the question's id. */
  | "noise"
  /** The answer is cut off in its middle. */
  | "truncated"
  /** A name that points to itself. */
  | "loop"
  | "silence"
  /** Addresses of every name; no SRV. `ttl` in seconds. */
  | { readonly a: readonly string[]; readonly ttl: number };

const RCODES = { SERVFAIL: 2, NXDOMAIN: 3, REFUSED: 5 } as const;
const RESPONSE = 0x8000;
const HEADER_BYTES = 12;

export class DnsServer {
  behaviour: Behaviour = "SERVFAIL";
  /** That have come. */
  questions = 0;
  #socket: { close(): void } | null = null;

  static async start(pod: Pod): Promise<DnsServer> {
    const server = new DnsServer();
    server.#socket = await pod.within(() =>
      Bun.udpSocket({
        hostname: "127.0.0.1",
        port: 53,
        socket: {
          data(socket, message, port, address) {
            server.questions++;
            const answer = server.#answer(Buffer.from(message));
            if (answer !== null) socket.send(answer, port, address);
          },
        },
      }),
    );
    return server;
  }

  stop(): void {
    this.#socket?.close();
  }

  #answer(message: Buffer): Buffer | null {
    const { behaviour } = this;
    if (behaviour === "silence") return null;
    const question = decode(message);
    const packet: Packet = { type: "response", id: question.id ?? 0, flags: question.flags ?? 0, questions: question.questions ?? [] };
    const first = question.questions?.[0];
    if (first === undefined) return null;
    if (behaviour === "noise") return Buffer.concat([message.subarray(0, 2), Buffer.alloc(40, 0xff)]);
    if (behaviour === "empty") return encode(packet);
    if (behaviour === "loop") {
      // The name of the answer is a pointer to that pointer (RFC 1035 §4.1.4).
      const head = encode(packet);
      head.writeUInt16BE(1, 6);
      const at = head.length;
      return Buffer.concat([head, Buffer.of(0xc0 | (at >> 8), at & 255, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 127, 0, 0, 1)]);
    }
    if (behaviour === "NXDOMAIN" || behaviour === "SERVFAIL" || behaviour === "REFUSED") {
      const answer = encode(packet);
      answer.writeUInt16BE(RESPONSE | RCODES[behaviour], 2);
      return answer;
    }
    const addresses = behaviour === "truncated" ? ["127.0.0.1"] : behaviour.a;
    const ttl = behaviour === "truncated" ? 1 : behaviour.ttl;
    const answers = first.type === "A" ? addresses.map((data) => ({ type: "A" as const, name: first.name, ttl, data })) : [];
    const whole = encode({ ...packet, answers });
    return behaviour === "truncated" ? whole.subarray(0, Math.max(HEADER_BYTES, whole.length - 7)) : whole;
  }
}
