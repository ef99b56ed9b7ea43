// What kind of exchange a head begins, where the proxy treats kinds differently.
import type { RequestHead, ResponseHead } from "./head.ts";

/** An error is told to this client in gRPC's way: HTTP/2 and `content-type` beginning `application/grpc` (spec proxy §3.8). */
export function isGrpc(head: RequestHead): boolean {
  return head.version === "HTTP/2" && head.get("content-type")?.startsWith("application/grpc") === true;
}

/** The outcome is read from `grpc-status`: `content-type` beginning `application/grpc+` (spec proxy §12, with the plus). */
export function isClassifiedAsGrpc(head: RequestHead): boolean {
  return head.get("content-type")?.startsWith("application/grpc+") === true;
}

/**
 * The client asks for another protocol on this connection: CONNECT, or HTTP/1.1 with an Upgrade that does not offer h2c, which
 * is never honoured (spec proxy §3.6, §16 item 28).
 */
export function wantsUpgrade(head: RequestHead): boolean {
  if (head.version !== "HTTP/1.1") return false;
  if (head.method === "CONNECT") return true;
  const upgrades = head.all("upgrade");
  return upgrades.length > 0 && !upgrades.some((value) => value.split(",").some((member) => member.trim().toLowerCase() === "h2c"));
}

/** The connection stops being HTTP with this response (RFC 9110 §9.3.6, §15.2.2). */
export function isTunnel(request: RequestHead, response: ResponseHead): boolean {
  return response.status === 101 || (request.method === "CONNECT" && response.status >= 200 && response.status < 300);
}
