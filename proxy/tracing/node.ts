// Who sends the spans (spec proxy §11): host, process, service, and what the pod says of itself in a file of the downward API.
import { type Node, timestampOf } from "./api.ts";

const SERVICE_NAME = "linkerd-proxy";

export function describeNode(of: { hostname: string; pid: number; startMs: number; attributes: Readonly<Record<string, string>> }): Node {
  return {
    identifier: { hostName: of.hostname, pid: of.pid, startTimestamp: timestampOf(of.startMs) },
    serviceInfo: { name: SERVICE_NAME },
    attributes: of.attributes,
  };
}

/** `key="value"` lines; quotes are trimmed, other lines are passed over. */
export function parseAttributes(text: string): Record<string, string> {
  const attributes: Record<string, string> = {};
  for (const line of text.split("\n")) {
    const equals = line.indexOf("=");
    if (equals <= 0) continue;
    attributes[line.slice(0, equals).trim()] = line
      .slice(equals + 1)
      .trim()
      .replace(/^"+|"+$/g, "");
  }
  return attributes;
}
