// Annotations of the injector: lists of ports, and values as Go and Kubernetes write them.
import { isCidr, parseGoBool, parseGoDuration, parsePortList, parseQuantity } from "#inject";
import { parseNetwork } from "#policy";
import { check, same, type Target, utf8 } from "../target.ts";

const target: Target = {
  name: "port-list",
  what: "port lists: each item is a port, a range or named as invalid, as a set of numbers has it; durations and quantities as parts",
  maxBytes: 256,
  seeds: [
    "25,443,587,3306,11211",
    "80-90, 4444 ,mysql,",
    "0-65535",
    "5-3,70000,-1",
    "",
    "1h2m3.5s",
    "-300ms",
    "100Mi",
    "1.5e3",
    "10.0.0.0/8",
    "fd00::/8",
    "true",
  ],
  dictionary: ["65535", "mysql", "-", ", ", "ms", "Ki", "::", "/32"],
  run(input) {
    const text = utf8(input);
    ports(text);
    const ms = parseGoDuration(text);
    if (ms !== undefined) {
      check(Number.isFinite(ms) || text.length > 300, () => `duration ${ms}`);
      const body = text.replace(/^[+-]/, "");
      if (/^\d{1,6}ms$/.test(body)) same(Math.abs(ms), Number.parseInt(body, 10), "milliseconds");
      same(parseGoDuration(text.startsWith("-") ? text.slice(1) : `-${body}`), ms === 0 ? ms : -ms, "the other sign");
    }
    const quantity = parseQuantity(text);
    if (quantity !== undefined && /^\d{1,9}$/.test(text)) same(quantity, Number(text), "a whole number is itself");
    if (quantity !== undefined) check(!Number.isNaN(quantity), "not a number");
    check(parseGoBool(text) === undefined || text.length <= 5, "bool");
    // The injector's check is about form; whatever it lets through the policy must be able to read, but for dotted tails of IPv6.
    if (isCidr(text) && /^(?:(?:0|[1-9]\d{0,2})\.){3}(?:0|[1-9]\d{0,2})(?:\/\d+)?$/.test(text))
      check(parseNetwork(text) !== null, "a CIDR that is no network");
  },
};
export default target;

const NAMES = new Map([
  ["mysql", [3306]],
  ["web", [80, 8080]],
]);

function ports(text: string): void {
  const { ports: set, invalid } = parsePortList(text, (name) => NAMES.get(name) ?? []);
  const expected = new Set<number>();
  const wrong: string[] = [];
  const items = text.split(",").map((item) => item.trim());
  if (items.at(-1) === "") items.pop();
  for (const item of items) {
    const named = NAMES.get(item);
    const ends = item.split("-");
    const [low, high] = [Number(ends[0]), Number(ends[1] ?? ends[0])];
    const digits = ends.length <= 2 && ends.every((end) => /^[0-9]{1,5}$/.test(end));
    if (named !== undefined) for (const port of named) expected.add(port);
    else if (digits && low <= high && high <= 65535) for (let port = low; port <= high; port++) expected.add(port);
    else wrong.push(item);
  }
  same(invalid, wrong, "invalid items");
  const listed = set.expand();
  check(listed.length === expected.size && listed.every((port) => expected.has(port)), "other ports than the text has");
  for (const port of [0, 25, 80, 3306, 65535]) same(set.has(port), expected.has(port), `port ${port}`);
  same(set.isEmpty, expected.size === 0, "empty");
}
