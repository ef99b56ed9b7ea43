// Runs the spellings: the route that a request was counted under must be the one of the target that the application got.
import { NAME } from "../../proxy/testing/mesh.ts";
import type { CaseResult } from "../suite.ts";
import { show } from "./case.ts";
import { type Door, ROUTES } from "./doors.ts";
import { HOSTS, OTHER_HOSTS, PATHS, type PathCase } from "./paths.ts";
import { within } from "./recorder.ts";

export async function runPaths(door: Door): Promise<CaseResult[]> {
  const results: CaseResult[] = [];
  const push = (name: string, detail: string | null): void => {
    results.push({ target: door.name, case: name, outcome: detail === null ? "passed" : "failed", detail: detail ?? "" });
    door.recorder.take();
  };
  // The profile must be known before a request can have a route.
  while ((await send(door, "/", NAME)).route === null) await new Promise((resolve) => setTimeout(resolve, 5));
  for (const one of PATHS) push(`path: ${show(one.name)} (${one.source})`, await path(door, one).catch((error: Error) => error.message));
  // Whose requests they are is told by the peer's proxy where there is one, and by the address on the way out.
  if (door.hostRoutes) {
    for (const host of HOSTS)
      push(`host: ${host} is the service's (CVE-2021-39155)`, await spelt(door, host, "admin").catch((error: Error) => error.message));
    for (const host of OTHER_HOSTS)
      push(
        `host: ${host || "empty"} is not the service's (ISTIO-SECURITY-2021-008)`,
        await spelt(door, host, null).catch((error: Error) => error.message),
      );
  }
  return results;
}

type Sent = { readonly status: string; readonly target: string | null; readonly host: string | null; readonly route: string | null };

/** One request on a connection of its own. */
async function send(door: Door, target: string, host: string): Promise<Sent> {
  const { recorder, routing } = door;
  const counts = (): number[] => ROUTES.map(([name]) => routing.proxy.ledger.sum(routing.side, "route", `route=${name}`, "request"));
  const client = await within(door.dial(), "the connection");
  try {
    let before = 0;
    if (door.detects) {
      client.write(`OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n`);
      await within(client.until("\r\n\r\nok"), "the first request");
      before = client.text().length;
    }
    recorder.take();
    const counted = counts();
    client.write(`GET ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
    const text = (await within(client.closed, "the end of the connection")).slice(before);
    const after = counts();
    const routes = ROUTES.filter((_, i) => after[i] !== counted[i]).map(([name]) => name);
    if (routes.length > 1) throw new Error(`counted under ${routes.join(", ")}`);
    const record = recorder.take();
    if (record.requests.length > 1) throw new Error(`the application got ${record.requests.length} requests`);
    const [request] = record.requests;
    return {
      status: text.slice(9, 12),
      target: request === undefined ? null : (request.start.split(" ")[1] ?? ""),
      host: request?.fields.find(([name]) => name === "host")?.[1] ?? null,
      route: routes[0] ?? null,
    };
  } finally {
    client.socket.destroy();
  }
}

/** The route of a target, worked out here: the first whose pattern is the whole of its path without query. */
function routeOf(target: string): string {
  const path = target.replace(/^http:\/\/[^/?]*/, "").replace(/\?.*$/, "") || "/";
  for (const [name, pattern] of ROUTES) if (new RegExp(`^${pattern}$`).test(path)) return name;
  return "other";
}

async function path(door: Door, one: PathCase): Promise<string | null> {
  const sent = await send(door, one.target, NAME);
  if (one.refused) return sent.status === "400" && sent.target === null ? null : `${sent.status}, the application got ${sent.target}`;
  if (sent.status !== "200") return `answered ${sent.status}`;
  if (sent.target !== one.target) return `the application got ${sent.target}`;
  const expected = routeOf(sent.target);
  return sent.route === expected ? null : `counted as ${sent.route}, but ${expected} was forwarded`;
}

async function spelt(door: Door, host: string, route: string | null): Promise<string | null> {
  const sent = await send(door, "/admin", host);
  if (sent.status !== "200") return `answered ${sent.status}`;
  if (sent.host !== host) return `the application got the host ${sent.host}`;
  return sent.route === route ? null : `counted as ${sent.route}`;
}
