// Asks the control plane where a service's name leads, as a proxy does (spec cli §3.2, endpoints).
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { Destination, type WeightedAddr } from "#api/destination_pb";
import { messageOf } from "./context.ts";

/** One address of a service. */
export type Endpoint = {
  readonly namespace: string;
  readonly ip: string;
  readonly port: number;
  readonly pod: string;
  readonly service: string;
};

/** A Destination answers at once what it knows; silence this long is a failure. */
const ANSWER_TIMEOUT_MS = 15_000;

/** The first answer for every authority, sorted by service. `port` of 127.0.0.1 leads to the destination's. @throws {Error} the first that failed, in the server's words */
export async function endpointsOf(port: number, authorities: readonly string[]): Promise<Endpoint[]> {
  const destination = createClient(Destination, createGrpcTransport({ baseUrl: `http://127.0.0.1:${port}` }));
  const abort = new AbortController();
  try {
    const answers = await Promise.all(
      authorities.map(async (path) => {
        try {
          for await (const { update } of destination.get(
            { scheme: "http:", path },
            { signal: abort.signal, timeoutMs: ANSWER_TIMEOUT_MS },
          )) {
            if (update.case !== "add") return [];
            const { addrs, metricLabels } = update.value;
            return addrs.flatMap((address) => endpointOf(address, metricLabels) ?? []);
          }
          return [];
        } catch (error) {
          const { code, rawMessage } = ConnectError.from(error);
          throw new Error(
            code === Code.DeadlineExceeded ? `${path}: no answer within ${ANSWER_TIMEOUT_MS / 1000} s` : rawMessage || messageOf(error),
          );
        }
      }),
    );
    return answers.flat().sort((a, b) => (a.service < b.service ? -1 : a.service > b.service ? 1 : 0));
  } finally {
    abort.abort();
  }
}

/** IPv4 only, as in the reference; undefined for another. */
function endpointOf({ addr, metricLabels }: WeightedAddr, setLabels: Readonly<Record<string, string>>): Endpoint | undefined {
  const ip = addr?.ip?.ip;
  if (ip?.case !== "ipv4") return undefined;
  const { namespace = "", pod = "", service = "" } = { ...setLabels, ...metricLabels } as Record<string, string>;
  const bytes = [24, 16, 8, 0].map((shift) => (ip.value >>> shift) & 255);
  return { namespace, ip: bytes.join("."), port: addr?.port ?? 0, pod, service: `${service}.${namespace}` };
}
