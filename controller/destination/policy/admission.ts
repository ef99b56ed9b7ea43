// The validating webhook for Server and ServerAuthorization (spec control-plane §5.2). What the API server holds already is handed in.
import type { KubeObject } from "#kube";
import type { AdmissionAnswer, AdmissionRequest } from "../../runtime/index.ts";
import { parseServer, parseServerAuthorization, type Server, selectorsOverlap } from "./resources.ts";

export const policyGroup = "policy.linkerd.io";

/** `listServers`: a fresh list of the Servers of a namespace. */
export async function admitPolicy(
  request: AdmissionRequest,
  listServers: (namespace: string) => Promise<readonly KubeObject[]>,
): Promise<AdmissionAnswer> {
  const { group = "", version = "", kind } = request.kind;
  const supported = group === policyGroup && (kind === "Server" || kind === "ServerAuthorization");
  if (!supported) return refuse(`unsupported resource type: ${group}.${version}.${kind}`);
  const object = request.object as KubeObject | undefined | null;
  if (typeof object !== "object" || object === null || typeof object.metadata !== "object")
    return refuse(`${kind}: the review carries no object`);
  // At CREATE with generateName the name is not known yet, and the namespace may stand in the request only.
  const subject: KubeObject = {
    ...object,
    metadata: { ...object.metadata, namespace: object.metadata.namespace || request.namespace || "" },
  };
  const shown = `${kind} ${subject.metadata.namespace}/${subject.metadata.name ?? subject.metadata.generateName ?? request.name ?? ""}`;
  if (kind === "ServerAuthorization") {
    const { mistakes } = parseServerAuthorization(subject);
    return mistakes ? refuse(`${shown}: ${mistakes.join("; ")}`) : { allowed: true };
  }
  const { value: server, mistakes } = parseServer(subject);
  if (!server) return refuse(`${shown}: ${(mistakes ?? []).join("; ")}`);
  const other = findOverlap(server, await listServers(server.namespace));
  return other
    ? refuse(
        `identical server spec already exists: ${shown}: spec.port and spec.podSelector overlap with those of Server ${server.namespace}/${other.name}`,
      )
    : { allowed: true };
}

function findOverlap(server: Server, others: readonly KubeObject[]): Server | undefined {
  for (const object of others) {
    if (object.metadata.name === server.name) continue;
    const { value: other } = parseServer(object);
    if (other && other.port === server.port && selectorsOverlap(other.podSelector, server.podSelector)) return other;
  }
  return undefined;
}

const refuse = (message: string): AdmissionAnswer => ({ allowed: false, message, code: 422 });
