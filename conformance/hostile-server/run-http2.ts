// Runs the HTTP/2 cases through a door: what the client got, what the server was told, and whether everyone else is well.

import { within } from "../smuggling/recorder.ts";
import type { CaseResult } from "../suite.ts";
import type { HostileCase, Outcome } from "./case.ts";
import type { Door } from "./doors.ts";
import { type HostileServer, startHostile } from "./server.ts";

/** How long a client waits for what must not come. */
const PATIENCE_MS = 60;

export async function runHttp2(door: Door, cases: readonly HostileCase[]): Promise<CaseResult[]> {
  const results: CaseResult[] = [];
  for (const one of cases) {
    if (one.http2Client && door.client === "http1") continue;
    const detail = await runCase(door, one).catch((error: Error) => error.message);
    results.push({
      target: door.name,
      case: `${one.group}: ${one.name} (${one.source})`,
      outcome: detail === null ? "passed" : "failed",
      detail: detail ?? "",
    });
  }
  return results;
}

/** The outcome as this door's client tells it. */
function expected(outcome: Outcome, door: Door): string {
  switch (outcome.kind) {
    case "whole":
      return `${outcome.status} ${outcome.body}`;
    case "none":
      return "502";
    case "reset":
      return door.client === "http1" ? "502" : `RST ${outcome.code}`;
    case "cut":
      return `${outcome.status} cut`;
    case "waiting":
      return "nothing";
    default:
      return outcome satisfies never;
  }
}

async function runCase(door: Door, one: HostileCase): Promise<string | null> {
  const server = await startHostile(one, door.tls);
  try {
    door.point(server.port);
    const started = await door.start(one.method, one.body);
    const neighbour = door.bystander();
    if (one.outcome.kind === "waiting") {
      await within(server.begun, "the request");
      const silence = new Promise<string>((resolve) => setTimeout(() => resolve("nothing"), PATIENCE_MS));
      const got = await Promise.race([started.outcome, silence]);
      started.cancel();
      if (got !== "nothing") return `the client got ${got}`;
    } else {
      const got = await within(started.outcome, "the client's answer");
      // The engine leaves it to its user to send a refused request again.
      const wanted = expected(one.outcome, door);
      const again = got === "refused" && door.client === "engine" && wanted === "200 ok";
      // What was about to be written when the message broke off is dropped with the connection of HTTP/1.
      const dropped = got === "ended" && door.client === "http1" && one.outcome.kind === "cut";
      if (got !== wanted && !again && !dropped) return `the client got ${got}, not ${wanted}`;
    }
    await within(server.script, "the end of the script");
    const told = await check(server, one);
    if (told !== null) return told;
    await neighbour;
    await door.bystander();
    // Blame that nobody deserves has come by then.
    return (await recovered(door, one, server)) ?? (one.told === "nothing" ? await check(server, one) : null);
  } finally {
    server.stop();
  }
}

/** Errors of a stream and of the connection, as the server is told. CANCEL and NO_ERROR blame nobody. */
const BLAME = /^(RST_STREAM \d+ (?!CANCEL|NO_ERROR)|GOAWAY \d+ (?!NO_ERROR))/;

async function check(server: HostileServer, one: HostileCase): Promise<string | null> {
  const { told } = one;
  const { first } = server;
  if (told === null || first === null) return null;
  if (told === "nothing") {
    const blame = first.lines.find((line) => BLAME.test(line));
    return blame === undefined ? null : `the server was told ${blame}`;
  }
  const pattern = "goaway" in told ? new RegExp(`^GOAWAY \\d+ ${told.goaway}$`) : new RegExp(`^RST_STREAM \\d+ ${told.rst}$`);
  const line = await within(
    first.find((own) => BLAME.test(own)),
    "an error for the server",
  );
  if (line === null || !pattern.test(line)) return `the server was told ${line ?? "nothing"}, not ${JSON.stringify(told)}`;
  // A connection error is the end of the connection, a stream error is not.
  if ("goaway" in told) {
    await within(first.over(), "the end of the connection");
    return null;
  }
  return first.ended ? "the connection ended for an error of a stream" : null;
}

/** The next request is answered, and nothing of the bad one is left. */
async function recovered(door: Door, one: HostileCase, server: HostileServer): Promise<string | null> {
  // A request that meets the end of its connection half-way has no answer, and that is right.
  if (server.first?.left === true) await within(server.first.over(), "the end of the connection");
  const next = await door.start("GET", "");
  const got = await within(next.outcome, "the answer to the next request");
  if (got !== "200 ok") return `the next request got ${got}`;
  if ((server.first?.late ?? 0) > 0) return "a request came on a connection that had said GOAWAY";
  const { told } = one;
  if (told !== null && told !== "nothing" && "rst" in told && server.accepted !== 1) return "the next request took another connection";
  for (let i = 0; door.inFlight() > 0; i++) {
    if (i === 100) return `${door.inFlight()} requests are still in flight`;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return null;
}
