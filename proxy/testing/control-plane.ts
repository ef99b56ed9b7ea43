// A control plane out of one JSON file, for proxies that run as processes: `bun control-plane.ts FILE PORT` serves identity,
// destination and policy in plain text on loopback. Messages stand in the file in protobuf's JSON; a change of the file is
// sent to every watch. Says "listening", and "read" whenever it has read a change.
import { readFileSync } from "node:fs";
import { createServer } from "node:http2";
import { create, fromJson, type JsonValue } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { Destination, DestinationProfileSchema, UpdateSchema } from "#api/destination_pb";
import { CertifyResponseSchema, Identity } from "#api/identity_pb";
import { InboundServerPolicies, ServerSchema } from "#api/inbound_pb";
import { createCa, type SavedCa } from "./certificates.ts";

export type ControlPlaneFile = {
  readonly ca: SavedCa;
  /** Life of certificates, ms; default: an hour. */
  readonly lifetimeMs?: number;
  /** DestinationProfile by path; absent = InvalidArgument. */
  readonly profiles: Record<string, JsonValue>;
  /** Update by path; absent = InvalidArgument. */
  readonly updates: Record<string, JsonValue>;
  /** Update by path that a new watch begins with, where `updates` has what changed last. */
  readonly current?: Record<string, JsonValue>;
  /** Server by port; absent = NotFound. */
  readonly servers: Record<string, JsonValue>;
};

const LOOK_MS = 20;
const [file = "", port = ""] = process.argv.slice(2);
let text = readFileSync(file, "utf8");
let state = JSON.parse(text) as ControlPlaneFile;
const waiting = new Set<() => void>();
// Looked at, not watched: events of a file that is being written may tell of its first half only.
setInterval(() => {
  const now = readFileSync(file, "utf8");
  if (now === text) return;
  try {
    state = JSON.parse(now) as ControlPlaneFile;
  } catch {
    return;
  }
  text = now;
  console.log("read");
  for (const wake of [...waiting]) wake();
}, LOOK_MS);

/** One message now, and one whenever its JSON changes. */
async function* follow<T>(
  find: () => JsonValue | undefined,
  parse: (json: JsonValue) => T,
  absent: Code,
  signal: AbortSignal,
  first?: JsonValue,
): AsyncGenerator<T> {
  let sent = "";
  if (first !== undefined) {
    sent = JSON.stringify(find());
    yield parse(first);
  }
  while (!signal.aborted) {
    const json = find();
    if (json === undefined) throw new ConnectError("not in the file", absent);
    const message = JSON.stringify(json);
    if (message !== sent) {
      sent = message;
      yield parse(json);
      // It may have changed while this one was on its way.
      continue;
    }
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        waiting.delete(wake);
        resolve();
      };
      waiting.add(wake);
      signal.addEventListener("abort", wake);
    });
  }
}

const ca = await createCa("root", state.ca);
const routes = (router: ConnectRouter): void => {
  router.service(Identity, {
    async certify(request) {
      const { leaf, validUntilMs } = await ca.sign(request.certificateSigningRequest, state.lifetimeMs);
      return create(CertifyResponseSchema, {
        leafCertificate: leaf,
        intermediateCertificates: [],
        validUntil: timestampFromMs(validUntilMs),
      });
    },
  });
  router.service(Destination, {
    get: (request, { signal }) =>
      follow(
        () => state.updates[request.path],
        (json) => fromJson(UpdateSchema, json),
        Code.InvalidArgument,
        signal,
        state.current?.[request.path],
      ),
    getProfile: (request, { signal }) =>
      follow(
        () => state.profiles[request.path],
        (json) => fromJson(DestinationProfileSchema, json),
        Code.InvalidArgument,
        signal,
      ),
  });
  router.service(InboundServerPolicies, {
    watchPort: (request, { signal }) =>
      follow(
        () => state.servers[request.port],
        (json) => fromJson(ServerSchema, json),
        Code.NotFound,
        signal,
      ),
  });
};

const server = createServer(connectNodeAdapter({ routes }));
server.listen(Number(port), "127.0.0.1", () => console.log("listening"));
