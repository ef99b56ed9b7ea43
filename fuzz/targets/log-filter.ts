// Log filters, which the admin port takes from anyone in the pod, and the lines they let through.
import { type Filter, LEVELS, Log, MAX_DIRECTIVES, parseFilter } from "#log";
import { check, same, type Target, utf8 } from "../target.ts";

const target: Target = {
  name: "log-filter",
  what: "log filters: each directive is understood or named; levels as a naive reading has them; no value breaks a line",
  maxBytes: 512,
  seeds: [
    "warn,linkerd=info",
    "linkerd::inbound=debug,trace",
    "off",
    "linkerd[{name=a,b}]=info",
    "a=b=c",
    "INFO,  x::y ,",
    "=info",
    "a::=warn\n\x1b[31m",
  ],
  dictionary: ["linkerd", "::", "=info", "=debug", "trace", "error", "[{", "}]", ",off"],
  run(input) {
    const text = utf8(input);
    const { filter, invalid } = parseFilter(text);
    for (const part of invalid) check(part !== "" && text.includes(part), () => `${JSON.stringify(part)} is no part of the filter`);
    same(filter.text, text, "text");
    for (const name of NAMES) {
      const level: string = filter.level(name);
      check((LEVELS as readonly string[]).includes(level), () => `level ${level}`);
      const most = filter.mostConditional(name);
      for (const fields of [{}, { a: "b" }, { name: 1 }]) {
        const asked = filter.conditional(name, [{ name: "a", fields }], fields);
        check(
          asked === null || (most !== null && LEVELS.indexOf(asked) <= LEVELS.indexOf(most)),
          () => `${asked} is asked for, at most ${most} ever`,
        );
      }
    }
    // Conditions in brackets have a grammar of their own.
    if (!/[[\]{}]/.test(text)) plain(text, filter, invalid);
    lines(text);
  },
};
export default target;

const NAMES = ["linkerd", "linkerd::inbound", "linkerd_app", "x::y::z", "a"];

function plain(text: string, filter: Filter, invalid: readonly string[]): void {
  const parts = text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
  const isValid = (part: string): boolean => parseFilter(part).invalid.length === 0;
  // What is beyond the bound is told as well.
  const valid = parts.slice(0, MAX_DIRECTIVES).filter(isValid);
  same(invalid.length, parts.length - valid.length, "invalid directives");
  for (const name of [...NAMES, ...valid.map((part) => part.split("=")[0] as string)])
    same(filter.level(name), naive(valid, name), `level of ${name}`);
}

/** The longest directive that is the target or a module around it; among equals the last. */
function naive(parts: readonly string[], name: string): string {
  let level = "warn";
  let longest = -1;
  for (const part of parts) {
    const [left = "", right] = part.split("=");
    const alone = right === undefined && (LEVELS as readonly string[]).includes(left.toLowerCase());
    const module = alone ? "" : left;
    const around = module === "" || name === module || name.startsWith(`${module}::`);
    if (!around || module.length < longest) continue;
    longest = module.length;
    level = (alone ? left : (right ?? "trace")).toLowerCase();
  }
  return level;
}

function lines(text: string): void {
  for (const format of ["plain", "json"] as const) {
    let out = "";
    const log = new Log({ filter: "trace", format, write: (line) => (out += line), uptimeMs: () => 1.5 });
    log.logger("linkerd").info(text, { value: text });
    check(/^[^\n]*\n$/.test(out), "one line");
    if (format === "plain") check(!/[\x00-\x09\x0b-\x1f\x7f-\x9f]/.test(out), "control characters in a line");
    else same((JSON.parse(out) as { fields: unknown }).fields, { message: text, value: text }, "fields");
  }
}
