// `uri-host [":" port]` (RFC 3986 §3.2 without userinfo), as it stands in Host, :authority and request targets.

/** A valid authority, not empty. */
export function isAuthority(text: string): boolean {
  const bracket = text.charCodeAt(0) === 0x5b;
  const hostEnd = bracket ? text.indexOf("]") + 1 : text.indexOf(":");
  if (bracket && hostEnd === 0) return false;
  const host = hostEnd < 0 ? text : text.slice(0, hostEnd);
  const port = hostEnd < 0 ? "" : text.slice(hostEnd);
  if (bracket ? !/^\[[0-9A-Fa-f:.]{2,45}\]$/.test(host) : !/^[A-Za-z0-9\-._~%!$&'()*+,;=]+$/.test(host)) return false;
  if (port === "") return true;
  return /^:[0-9]{1,5}$/.test(port) && Number(port.slice(1)) <= 65535;
}

/** Digits of the port of a valid authority, "" when there is none. */
export function portOf(authority: string): string {
  const colon = authority.lastIndexOf(":");
  return colon > authority.lastIndexOf("]") && colon >= 0 ? authority.slice(colon + 1) : "";
}

/** Whether two valid authorities mean the same: case of the host aside, an absent port being `defaultPort`. */
export function sameAuthority(a: string, b: string, defaultPort: string): boolean {
  if (a === b) return true;
  const portA = portOf(a);
  const portB = portOf(b);
  const hostA = portA === "" ? a : a.slice(0, -portA.length - 1);
  const hostB = portB === "" ? b : b.slice(0, -portB.length - 1);
  return hostA.toLowerCase() === hostB.toLowerCase() && Number(portA || defaultPort) === Number(portB || defaultPort);
}
