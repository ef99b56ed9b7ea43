// What a GetDestination names: `host:port` and the client's context (spec control-plane §3.1).
import { parseIpv4 } from "#addr";

export type Target =
  | { readonly kind: "ip"; readonly ip: string; readonly port: number }
  | {
      readonly kind: "service";
      readonly name: string;
      readonly namespace: string;
      readonly hostname: string | null;
      readonly port: number /** Host as asked for. */;
      readonly host: string;
    };

/** Longest path, in characters: a DNS name and a port. Also bounds what an error says back in a header. */
export const maxPathLength = 512;

/** A path that names nothing this controller serves. */
export class TargetError extends Error {
  override readonly name = "TargetError";
}

/**
 * `<ip>[:port]`, `<svc>.<ns>.svc.<domain>[:port]` or `<hostname>.<svc>.<ns>.svc.<domain>[:port]`; port 80 when absent.
 * @throws {TargetError}
 */
export function parseTarget(path: string, clusterDomain: string): Target {
  if (path.length > maxPathLength) throw new TargetError(`invalid authority: longer than ${maxPathLength} characters`);
  const parts = path.split(":");
  if (parts.length > 2) throw new TargetError(`invalid authority: ${path}`);
  const [host = "", portText] = parts;
  if (portText !== undefined && !(/^\d{1,5}$/.test(portText) && Number(portText) >= 1 && Number(portText) <= 65535))
    throw new TargetError(`invalid authority: ${path}: ${JSON.stringify(portText)} is not a port`);
  const port = portText === undefined ? 80 : Number(portText);
  if (parseIpv4(host) !== null) return { kind: "ip", ip: host, port };
  const labels = host.split(".");
  const domain = clusterDomain.split(".");
  const own = labels.length - domain.length - 1;
  const suffix = labels.slice(Math.max(0, own));
  if (own < 2 || own > 3 || suffix[0] !== "svc" || suffix.slice(1).join(".") !== clusterDomain || labels.some((label) => label === ""))
    throw new TargetError(`invalid service: ${path}: not a name below svc.${clusterDomain}`);
  const [namespace = "", name = "", hostname = null] = labels.slice(0, own).reverse();
  return { kind: "service", name, namespace, hostname, port, host };
}

export type Context = { readonly namespace: string; readonly nodeName: string };

/** JSON `{"ns", "nodeName"}` or the older `ns:<namespace>`; anything else is empty and reported. */
export function parseContext(token: string, report: (message: string) => void = () => {}): Context {
  const text = token.trim();
  if (text === "") return { namespace: "", nodeName: "" };
  if (text.startsWith("ns:")) {
    report("context token of the old form ns:<namespace>");
    return { namespace: text.slice(3), nodeName: "" };
  }
  try {
    const parsed = JSON.parse(text) as { ns?: unknown; nodeName?: unknown } | null;
    return {
      namespace: typeof parsed?.ns === "string" ? parsed.ns : "",
      nodeName: typeof parsed?.nodeName === "string" ? parsed.nodeName : "",
    };
  } catch {
    report("context token that is no JSON");
    return { namespace: "", nodeName: "" };
  }
}
