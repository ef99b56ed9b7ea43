// Fields that concern one connection only (RFC 9110 §7.6.1, spec proxy §3.6 item 1). Pure; callers keep the result with the head.
import type { Fields } from "./head.ts";

/** Fields of framing and routing that Connection cannot take away: a message without them would be read differently by the next hop. */
const KEPT: ReadonlySet<string> = new Set(["content-length", "transfer-encoding", "host"]);

/**
 * Without `connection`, every field it names, `upgrade`, `proxy-connection` and `keep-alive`. The same list when there is
 * nothing to take away. Not for messages that upgrade the connection ({@link wantsUpgrade}, 101): those keep them.
 */
export function stripHopByHop(fields: Fields): Fields {
  let nominated: Set<string> | null = null;
  let found = false;
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string;
    if (name === "connection") {
      found = true;
      for (const part of (fields[i + 1] as string).split(",")) {
        const option = part.trim().toLowerCase();
        if (option !== "" && !KEPT.has(option)) {
          nominated ??= new Set();
          nominated.add(option);
        }
      }
    } else if (isHopByHop(name)) found = true;
  }
  if (!found) return fields;
  const kept: string[] = [];
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string;
    if (!isHopByHop(name) && nominated?.has(name) !== true) kept.push(name, fields[i + 1] as string);
  }
  return kept;
}

/** Connection-specific fields, which HTTP/2 forbids (RFC 9113 §8.2.2) and HTTP/1 hops must not pass on; transfer-encoding is framing and not one of them. */
export function isHopByHop(name: string): boolean {
  return name === "connection" || name === "keep-alive" || name === "proxy-connection" || name === "upgrade";
}

/** Without the fields of one name; the same list when there are none. */
export function withoutField(fields: Fields, name: string): Fields {
  let found = false;
  for (let i = 0; i < fields.length && !found; i += 2) found = fields[i] === name;
  if (!found) return fields;
  const kept: string[] = [];
  for (let i = 0; i < fields.length; i += 2) if (fields[i] !== name) kept.push(fields[i] as string, fields[i + 1] as string);
  return kept;
}

/** With one field of that name, in place of all there were. */
export function withField(fields: Fields, name: string, value: string): Fields {
  return [...withoutField(fields, name), name, value];
}
