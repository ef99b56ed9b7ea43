// Service profiles: messages of the controller, and the route a request takes, against a naive reading of the message.
import { RE2JS } from "re2js";
import { decode, encode } from "#grpc";
import { matchRoute, type RegexEngine, type Route } from "#profiles";
import { methods } from "../../proxy/control/api.ts";
import { durationMs, profileOf } from "../../proxy/control/convert.ts";
import { Choices } from "../input.ts";
import { attempt, check, same, type Target } from "../target.ts";

const target: Target = {
  name: "profile",
  what: "service profiles: any message is taken, what is wrong in it named; requests take the route and responses the class that the message says",
  maxBytes: 300,
  seeds: [
    "\x01\x01\x00\x01\x00\x03/a*\x00\x00\x02/aa",
    "\x01\x02\x03\x02\x01\x00\x04\x00\x03\x01\x01\x01\x01\xc8\x00\xc8\x00\x01\x01/",
    "\x00\x0a\x12\x0a\x08\x22\x06\x0a\x04/a/b\x12\x04\x0a\x02\x22\x00\x20\x01\x12\x05\x0d\xcd\xcc\x4c\x3e\x2a\x03a.b",
    "\x00\x12\x0b\x0d\x00\x00\x80\x3f\x10\x0a\x1a\x02\x08\x0a\x1a\x09\x0a\x05a.b:1\x10\x05",
  ],
  dictionary: ["/a", ".*", "(a|b)", "[^/]*", "\x0a\x08\x22\x06\x0a\x04", "$", "^"],
  async run(input) {
    if (input.length === 0) return;
    if ((input[0] as number) % 2 === 1) await structured(new Choices(input.subarray(1)));
    else await raw(input.slice(1));
  },
};
export default target;

type Message = Parameters<typeof profileOf>[0];
type Condition = NonNullable<Message["routes"][number]["condition"]>;
type ResponseCondition = NonNullable<Message["routes"][number]["responseClasses"][number]["condition"]>;

const engine = async (): Promise<RegexEngine> => RE2JS;

async function raw(bytes: Uint8Array): Promise<void> {
  const message = attempt(() => decode(methods.getProfile.response, bytes), Error);
  if (message === null) return;
  const problems: string[] = [];
  const profile = await profileOf(message, engine, (problem) => problems.push(problem));
  for (const problem of problems) check(problem !== "", "a problem without words");
  check(
    profile.routes.length <= message.routes.length && profile.targets.length <= message.dstOverrides.length,
    "more than the message has",
  );
  for (const { addr, weight } of profile.targets) check(weight > 0 && addr.port >= 0 && addr.port <= 65_535, "a target out of its range");
  for (const route of profile.routes) check(route.timeoutMs === null || route.timeoutMs > 0, () => `a timeout of ${route.timeoutMs}`);
  const budget = profile.retryBudget;
  if (budget !== null)
    check(budget.ratio >= 0 && budget.ratio <= 1000 && budget.ttlMs >= 1000 && budget.ttlMs <= 60_000, "a budget out of its range");
  const endpoint = profile.endpoint;
  if (endpoint !== null)
    check(
      endpoint.addr.port <= 65_535 && (endpoint.opaqueTransportPort === null || endpoint.opaqueTransportPort > 0),
      "an endpoint out of its range",
    );
}

async function structured(choices: Choices): Promise<void> {
  const routes = Array.from({ length: choices.below(4) }, (_, i) => ({
    condition: condition(choices, 3),
    responseClasses: Array.from({ length: choices.below(3) }, () => ({
      condition: responseCondition(choices, 2),
      isFailure: choices.bool(),
    })),
    metricsLabels: { route: `r${i}` },
    isRetryable: choices.bool(),
    timeout: choices.bool() ? { seconds: BigInt(choices.byte()) - 2n, nanos: choices.byte() * 1_000_000 } : undefined,
  }));
  const given = { routes, dstOverrides: [], opaqueProtocol: false, fullyQualifiedName: "a.b" } as unknown as Message;
  const message = decode(methods.getProfile.response, encode(methods.getProfile.response, given));
  const profile = await profileOf(message, engine, () => {});
  const kept = message.routes.filter((route) => route.condition !== undefined && convertible(route.condition));
  same(
    profile.routes.map(nameOf),
    kept.map(({ metricsLabels }) => metricsLabels["route"]),
    "routes that are kept",
  );
  for (let n = 0; n < 4; n++) {
    const method = choices.of(["GET", "POST", "X"]);
    const path = `/${choices.text(8).replace(/[^a-b/]/g, "a")}`;
    const expected = kept.find((route) => matches(route.condition as Condition, method, path));
    const route = matchRoute(profile.routes, method, path);
    same(route === null ? undefined : nameOf(route), expected?.metricsLabels["route"], `route of ${method} ${path}`);
    if (route === null || expected === undefined) continue;
    const ms = expected.timeout === undefined ? 0 : durationMs(expected.timeout);
    same([route.retryable, route.timeoutMs], [expected.isRetryable, ms > 0 ? ms : null], "properties of the route");
    for (const status of [200, 404, 500, 100 + choices.below(256)]) {
      const usable = expected.responseClasses.filter((one) => one.condition !== undefined && usableResponse(one.condition));
      const first = usable.find((one) => matchesStatus(one.condition as ResponseCondition, status));
      same(route.classes?.classify(status) ?? null, first === undefined ? null : !first.isFailure, `class of ${status}`);
    }
  }
}

const nameOf = (route: Route): string | undefined => route.labels.find(([key]) => key === "route")?.[1];
const METHODS = ["GET", "POST"];
const PIECES = ["a", "b", "/", ".", "a*", "[ab]", "(a|b)", "(", "^", "$", "/a", "\\d", " ", "b+"];

function condition(choices: Choices, depth: number): unknown {
  switch (choices.below(depth > 0 ? 8 : 4)) {
    case 0:
    case 1:
      return { match: { case: "path", value: { regex: Array.from({ length: choices.below(5) }, () => choices.of(PIECES)).join("") } } };
    case 2:
      return {
        match: {
          case: "method",
          value: {
            type: choices.bool()
              ? { case: "registered", value: choices.below(12) }
              : { case: "unregistered", value: choices.of(["X", "GET"]) },
          },
        },
      };
    case 3:
      return choices.bool() ? undefined : { match: { case: undefined } };
    case 4:
      return { match: { case: "not", value: condition(choices, depth - 1) ?? { match: { case: undefined } } } };
    default: {
      const parts = Array.from({ length: choices.below(3) }, () => condition(choices, depth - 1) ?? { match: { case: undefined } });
      return { match: { case: choices.bool() ? "all" : "any", value: { matches: parts } } };
    }
  }
}

/** The text that has to match, or null when it is no regular expression. The pieces above mean the same to RE2 and here. */
function regexOf(pattern: string): RegExp | null {
  const text = pattern.trim();
  try {
    return new RegExp((text.startsWith("^") ? "" : "^") + text + (text.endsWith("$") ? "" : "$"));
  } catch {
    return null;
  }
}

/** Spec proxy §5.1: sequences keep the parts that can be converted, all else is dropped as a whole. */
function convertible({ match }: Condition): boolean {
  switch (match.case) {
    case "path":
      return regexOf(match.value.regex) !== null;
    case "method":
      return match.value.type.case === "unregistered" || (match.value.type.case === "registered" && match.value.type.value < 9);
    case "not":
      return convertible(match.value);
    case "all":
    case "any":
      return true;
    default:
      return false;
  }
}

function matches({ match }: Condition, method: string, path: string): boolean {
  switch (match.case) {
    case "path":
      return regexOf(match.value.regex)?.test(path) === true;
    case "method": {
      const { type } = match.value;
      const names = [...METHODS, "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "HEAD", "TRACE"];
      return (type.case === "registered" ? names[type.value] : type.value) === method;
    }
    case "not":
      return !matches(match.value, method, path);
    case "all":
      return match.value.matches.filter(convertible).every((one) => matches(one, method, path));
    case "any":
      return match.value.matches.filter(convertible).some((one) => matches(one, method, path));
    default:
      return false;
  }
}

function responseCondition(choices: Choices, depth: number): unknown {
  switch (choices.below(depth > 0 ? 6 : 3)) {
    case 0:
    case 1:
      return { match: { case: "status", value: { min: choices.below(256) * 4, max: choices.below(256) * 4 } } };
    case 2:
      return choices.bool() ? undefined : { match: { case: undefined } };
    case 3:
      return { match: { case: "not", value: responseCondition(choices, depth - 1) ?? { match: { case: undefined } } } };
    default: {
      const parts = Array.from({ length: choices.below(3) }, () => responseCondition(choices, depth - 1) ?? { match: { case: undefined } });
      return { match: { case: choices.bool() ? "all" : "any", value: { matches: parts } } };
    }
  }
}

/** Spec proxy §5.2. */
function usableResponse({ match }: ResponseCondition): boolean {
  switch (match.case) {
    case "status":
      return [match.value.min, match.value.max].every((status) => status >= 100 && status <= 999);
    case "not":
      return usableResponse(match.value);
    case "all":
    case "any":
      return match.value.matches.some(usableResponse);
    default:
      return false;
  }
}

function matchesStatus({ match }: ResponseCondition, status: number): boolean {
  switch (match.case) {
    case "status":
      return status >= match.value.min && status <= match.value.max;
    case "not":
      return !matchesStatus(match.value, status);
    case "all":
      return match.value.matches.filter(usableResponse).every((one) => matchesStatus(one, status));
    case "any":
      return match.value.matches.filter(usableResponse).some((one) => matchesStatus(one, status));
    default:
      return false;
  }
}
