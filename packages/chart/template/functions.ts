// The functions of a chart's templates: Go's own, those Helm adds, and the ones of Sprig that charts use.
import { createHash, generateKeyPairSync, randomBytes } from "node:crypto";
import { RE2JS } from "re2js";
import { parse } from "yaml";
import { type CallContext, PendingValue, type TemplateFunction } from "./execute.ts";
import { toYaml } from "./go-yaml.ts";
import { compareStrings, deepCopy, display, isMapping, isTrue, kindOf, type Mapping, Native, own, put } from "./value.ts";

/** A self-signed certificate for a webhook, as `genSelfSignedCert` gives it. */
export type MakeCertificate = (request: {
  commonName: string;
  dnsNames: readonly string[];
  days: number;
  keyPem: string | undefined;
}) => Promise<{ certPem: string; keyPem: string }>;

export type FunctionOptions = {
  /** The time of this rendering. */
  readonly now: Date;
  readonly makeCertificate: MakeCertificate;
  /** Values made by earlier runs of the same rendering, by the order of the calls that want them. */
  readonly made: Map<string, unknown>;
};

/** Longest list that `until` and its like make, longest text that `repeat` makes. */
export const maxGenerated = 100_000;

const str = (value: unknown): string => (value === undefined || value === null ? "" : display(value));
function text(value: unknown): string {
  if (typeof value !== "string")
    throw new Error(
      `expected a string, found ${value === undefined || value === null ? "nothing" : `the ${kindOf(value)} ${display(value)}`}`,
    );
  return value;
}
function num(value: unknown): number {
  if (typeof value === "number") return value;
  if (typeof value === "string") {
    const parsed = /^\s*0[xX]/.test(value) ? Number(value) : Number.parseFloat(value);
    return Number.isNaN(parsed) ? 0 : parsed;
  }
  return value === true ? 1 : 0;
}
const int = (value: unknown): number => Math.trunc(num(value));
function map(value: unknown): Mapping {
  if (!isMapping(value))
    throw new Error(
      `expected a mapping, found ${value === undefined || value === null ? "nothing" : `the ${kindOf(value)} ${display(value)}`}`,
    );
  return value;
}
function list(value: unknown): unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw new Error(`expected a list, found the ${kindOf(value)} ${display(value)}`);
  return value;
}
const lines = (value: string, pad: number) => " ".repeat(pad) + value.replaceAll("\n", `\n${" ".repeat(pad)}`);
const regex = (pattern: unknown): RE2JS => RE2JS.compile(text(pattern));

function basicKind(value: unknown): string {
  const kind = kindOf(value);
  return kind === "float64" ? "int" : kind;
}

function equal(a: unknown, b: unknown): boolean {
  if (a === undefined || a === null || b === undefined || b === null) return (a ?? null) === (b ?? null);
  if (basicKind(a) !== basicKind(b)) throw new Error(`incompatible types for comparison: ${kindOf(a)} and ${kindOf(b)}`);
  if (typeof a === "object") throw new Error(`non-comparable type ${kindOf(a)}`);
  return a === b;
}

function less(a: unknown, b: unknown): boolean {
  if (basicKind(a) !== basicKind(b)) throw new Error(`incompatible types for comparison: ${kindOf(a)} and ${kindOf(b)}`);
  if (typeof a === "number") return a < (b as number);
  if (typeof a === "string") return compareStrings(a, b as string) < 0;
  throw new Error(`invalid type for comparison: ${kindOf(a)}`);
}

function mergeInto(target: Mapping, source: Mapping, overwrite: boolean): Mapping {
  for (const [key, value] of Object.entries(source)) {
    const have = own(target, key);
    if (isMapping(have) && isMapping(value)) mergeInto(have, value, overwrite);
    else if (overwrite ? isTrue(value) || have === undefined : !isTrue(have)) put(target, key, value);
  }
  return target;
}

/** Keys in the order of the others: sorted, as a JSON encoder of Go writes them. */
function toJson(value: unknown, indent?: string): string {
  const sorted = (one: unknown): unknown => {
    if (Array.isArray(one)) return one.map(sorted);
    if (!isMapping(one)) return one ?? null;
    const out: Mapping = {};
    for (const key of Object.keys(one).sort(compareStrings)) if (one[key] !== undefined) put(out, key, sorted(one[key]));
    return out;
  };
  return JSON.stringify(sorted(value), null, indent).replace(
    /[<>&\u2028\u2029]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** Reads YAML as Helm does: 1.1 words for booleans, timestamps left as text. */
export function fromYaml(source: string): unknown {
  return (
    parse(source, {
      version: "1.1",
      merge: true,
      maxAliasCount: 100,
      customTags: (tags) =>
        tags.filter(
          (tag) =>
            typeof tag === "string" || !(tag.tag === "tag:yaml.org,2002:timestamp" || (tag as { format?: string }).format === "TIME"),
        ),
    }) ?? null
  );
}

/** Go's Printf for the verbs charts use. */
export function sprintf(format: string, args: readonly unknown[]): string {
  let used = 0;
  const out = format.replace(
    /%(%|([-+# 0]*)(\d+|\*)?(?:\.(\d+))?([a-zA-Z]))/g,
    (whole, all: string, flags = "", width = "", precision = "", verb = "") => {
      if (all === "%") return "%";
      let wide = width;
      if (width === "*") wide = String(int(args[used++]));
      if (used >= args.length) return `%!${verb}(MISSING)`;
      const value = args[used++];
      let shown: string;
      switch (verb) {
        case "v":
        case "s":
          shown =
            verb === "s" && typeof value !== "string" && !(typeof value === "object")
              ? `%!s(${goType(value)}=${display(value)})`
              : display(value);
          if (precision !== "") shown = shown.slice(0, Number(precision));
          break;
        case "q":
          shown = JSON.stringify(str(value));
          break;
        case "d":
          shown = typeof value === "number" && Number.isInteger(value) ? String(value) : `%!d(${goType(value)}=${display(value)})`;
          break;
        case "f":
          shown = num(value).toFixed(precision === "" ? 6 : Number(precision));
          break;
        case "x":
          shown = typeof value === "number" ? value.toString(16) : Buffer.from(str(value)).toString("hex");
          break;
        case "t":
          shown = String(value);
          break;
        case "T":
          shown = goType(value);
          break;
        default:
          return whole;
      }
      if (flags.includes("+") && typeof value === "number" && value >= 0) shown = `+${shown}`;
      const size = Number(wide || 0);
      if (shown.length >= size) return shown;
      if (flags.includes("-")) return shown.padEnd(size);
      return shown.padStart(size, flags.includes("0") ? "0" : " ");
    },
  );
  return used < args.length
    ? `${out}%!(EXTRA ${args
        .slice(used)
        .map((value) => `${goType(value)}=${display(value)}`)
        .join(", ")})`
    : out;
}

function goType(value: unknown): string {
  const kind = kindOf(value);
  return kind === "map"
    ? "map[string]interface {}"
    : kind === "slice"
      ? "[]interface {}"
      : kind === "invalid"
        ? "<nil>"
        : kind === "struct" && value instanceof Native
          ? value.typeName
          : kind;
}

/** Version constraints: comparisons, `^`, `~`, ranges with spaces or commas, alternatives with `||`. */
export function semverMatches(constraint: string, version: string): boolean {
  const parse3 = (value: string): [number, number, number, string] => {
    const found = /^v?(\d+)(?:\.(\d+|x|\*))?(?:\.(\d+|x|\*))?(?:-([0-9A-Za-z.-]+))?(?:\+.*)?$/.exec(value.trim());
    if (!found) throw new Error(`"${value}" is not a version`);
    const part = (one: string | undefined) => (one === undefined || one === "x" || one === "*" ? 0 : Number(one));
    return [Number(found[1]), part(found[2]), part(found[3]), found[4] ?? ""];
  };
  const compare = (a: ReturnType<typeof parse3>, b: ReturnType<typeof parse3>): number => {
    for (let i = 0; i < 3; i++) if (a[i] !== b[i]) return (a[i] as number) - (b[i] as number);
    if (a[3] === b[3]) return 0;
    if (a[3] === "") return 1;
    if (b[3] === "") return -1;
    const x = a[3].split(".");
    const y = b[3].split(".");
    for (let i = 0; i < Math.max(x.length, y.length); i++) {
      const [l, r] = [x[i], y[i]];
      if (l === r) continue;
      if (l === undefined) return -1;
      if (r === undefined) return 1;
      const [ln, rn] = [/^\d+$/.test(l), /^\d+$/.test(r)];
      if (ln && rn) return Number(l) - Number(r);
      if (ln !== rn) return ln ? -1 : 1;
      return l < r ? -1 : 1;
    }
    return 0;
  };
  const have = parse3(version);
  return constraint.split("||").some((alternative) =>
    [...alternative.matchAll(/(>=|<=|!=|=|>|<|\^|~)?\s*([^\s,<>=!^~]+)/g)].every(([, op = "=", wanted = ""]) => {
      if (wanted === "*") return true;
      const want = parse3(wanted);
      // A pre-release matches only a constraint that names one.
      if (have[3] !== "" && want[3] === "") return false;
      const order = compare(have, want);
      switch (op) {
        case ">=":
          return order >= 0;
        case "<=":
          return order <= 0;
        case ">":
          return order > 0;
        case "<":
          return order < 0;
        case "!=":
          return order !== 0;
        case "^":
          return order >= 0 && (want[0] > 0 ? have[0] === want[0] : have[0] === 0 && have[1] === want[1]);
        case "~":
          return order >= 0 && have[0] === want[0] && (!wanted.includes(".") || have[1] === want[1]);
        default:
          return /\.(x|\*)/.test(wanted) || wanted.split(".").length < 3
            ? have[0] === want[0] && (wanted.split(".").length < 2 || /^\d+\.(x|\*)/.test(wanted) || have[1] === want[1])
            : order === 0;
      }
    }),
  );
}

/** Go's reference time layouts in UTC, as far as charts print dates. */
export function formatDate(layout: string, date: Date): string {
  const two = (value: number) => String(value).padStart(2, "0");
  const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
  const days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
  return layout.replace(/2006|Jan|Mon|MST|Z07:00|01|02|15|04|05/g, (part) => {
    switch (part) {
      case "2006":
        return String(date.getUTCFullYear());
      case "Jan":
        return months[date.getUTCMonth()] as string;
      case "Mon":
        return days[date.getUTCDay()] as string;
      case "MST":
        return "UTC";
      case "Z07:00":
        return "Z";
      case "01":
        return two(date.getUTCMonth() + 1);
      case "02":
        return two(date.getUTCDate());
      case "15":
        return two(date.getUTCHours());
      case "04":
        return two(date.getUTCMinutes());
      default:
        return two(date.getUTCSeconds());
    }
  });
}

function goDurationMs(value: string): number {
  const units: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
  const found = [...value.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)];
  if (found.length === 0 || found.map((one) => one[0]).join("") !== value.replace(/^[+-]/, ""))
    throw new Error(`"${value}" is not a duration`);
  const sum = found.reduce((total, [, amount, unit]) => total + Number(amount) * (units[unit as string] as number), 0);
  return value.startsWith("-") ? -sum : sum;
}

/** The functions of one rendering. */
export function templateFunctions({ now, makeCertificate, made }: FunctionOptions): Record<string, TemplateFunction> {
  let calls = 0;
  const once = (make: () => unknown): unknown => {
    const key = `value ${calls++}`;
    if (!made.has(key)) made.set(key, make());
    return made.get(key);
  };
  const awaited = (make: () => Promise<unknown>): unknown => {
    const key = `value ${calls++}`;
    if (!made.has(key)) throw new PendingValue(key, make);
    return made.get(key);
  };
  const certificate = ([cn, _ips, names, days, key]: readonly unknown[]) =>
    awaited(async () => {
      const request = {
        commonName: text(cn),
        dnsNames: list(names).map(str),
        days: int(days),
        keyPem: key === undefined ? undefined : text(key),
      };
      const { certPem, keyPem } = await makeCertificate(request);
      return { Cert: certPem, Key: keyPem };
    });
  const truthy = (args: readonly unknown[]) => args.find(isTrue);
  return {
    // Go
    not: ([value]) => !isTrue(value),
    eq: ([first, ...others]) => others.some((other) => equal(first, other)),
    ne: ([a, b]) => !equal(a, b),
    lt: ([a, b]) => less(a, b),
    le: ([a, b]) => less(a, b) || equal(a, b),
    gt: ([a, b]) => less(b, a),
    ge: ([a, b]) => less(b, a) || equal(a, b),
    len: ([value]) => {
      if (typeof value === "string") return Buffer.byteLength(value);
      if (Array.isArray(value)) return value.length;
      if (isMapping(value)) return Object.keys(value).length;
      throw new Error(`no length of ${value === undefined || value === null ? "nothing" : kindOf(value)}`);
    },
    index: ([value, ...path]) =>
      path.reduce<unknown>((at, key) => {
        if (Array.isArray(at)) {
          const place = int(key);
          if (typeof key !== "number" || place < 0 || place >= at.length) throw new Error(`index out of range: ${display(key)}`);
          return at[place];
        }
        if (isMapping(at)) return own(at, text(key));
        if (at === undefined || at === null) throw new Error("index of nothing");
        throw new Error(`can't index the ${kindOf(at)} ${display(at)}`);
      }, value),
    slice: ([value, from, to]) =>
      typeof value === "string"
        ? value.slice(from === undefined ? 0 : int(from), to === undefined ? undefined : int(to))
        : list(value).slice(from === undefined ? 0 : int(from), to === undefined ? undefined : int(to)),
    print: (args) => args.map(display).join(""),
    println: (args) => `${args.map(display).join(" ")}\n`,
    printf: ([format, ...args]) => sprintf(text(format), args),
    html: ([value]) => str(value).replace(/[<>&'"]/g, (char) => `&#${char.charCodeAt(0)};`),
    js: ([value]) => JSON.stringify(str(value)).slice(1, -1),
    urlquery: ([value]) => encodeURIComponent(str(value)),

    // Helm
    include: ([name, data], call: CallContext) => call.include(text(name), data),
    tpl: ([source, data], call: CallContext) => call.tpl(text(source), data),
    required: ([message, value]) => {
      if (value === undefined || value === null || value === "") throw new Error(text(message));
      return value;
    },
    fail: ([message]) => {
      throw new Error(text(message));
    },
    lookup: () => ({}),
    toYaml: ([value]) => toYaml(value),
    fromYaml: ([value]) => {
      const parsed = fromYaml(text(value));
      return isMapping(parsed) ? parsed : {};
    },
    fromYamlArray: ([value]) => {
      const parsed = fromYaml(text(value));
      return Array.isArray(parsed) ? parsed : [];
    },
    toJson: ([value]) => toJson(value),
    toPrettyJson: ([value]) => toJson(value, "  "),
    fromJson: ([value]) => JSON.parse(text(value)),

    // Sprig: defaults and control
    default: ([fallback, value]) => (isTrue(value) ? value : fallback),
    empty: ([value]) => !isTrue(value),
    coalesce: truthy,
    all: (args) => args.every(isTrue),
    any: (args) => args.some(isTrue),
    ternary: ([yes, no, test]) => (test === true ? yes : no),

    // Sprig: strings
    quote: (args) =>
      args
        .filter((value) => value !== undefined && value !== null)
        .map((value) => goQuote(str(value)))
        .join(" "),
    squote: (args) =>
      args
        .filter((value) => value !== undefined && value !== null)
        .map((value) => `'${str(value)}'`)
        .join(" "),
    toString: ([value]: readonly unknown[]) => display(value),
    toStrings: ([value]) => list(value).map(str),
    trim: ([value]) => text(value).trim(),
    trimAll: ([cut, value]) => trimSet(text(value), text(cut), true, true),
    trimSuffix: ([suffix, value]) =>
      text(value).endsWith(text(suffix)) && suffix !== "" ? text(value).slice(0, -text(suffix).length) : value,
    trimPrefix: ([prefix, value]) => (text(value).startsWith(text(prefix)) ? text(value).slice(text(prefix).length) : value),
    upper: ([value]) => text(value).toUpperCase(),
    lower: ([value]) => text(value).toLowerCase(),
    title: ([value]) =>
      text(value).replace(/(^|[^\p{L}\p{N}])(\p{Ll})/gu, (_, before: string, letter: string) => before + letter.toUpperCase()),
    untitle: ([value]) => text(value).replace(/(^|\s)(\p{Lu})/gu, (_, before: string, letter: string) => before + letter.toLowerCase()),
    replace: ([from, to, value]) => text(value).replaceAll(text(from), text(to)),
    contains: ([part, value]) => text(value).includes(text(part)),
    hasPrefix: ([prefix, value]) => text(value).startsWith(text(prefix)),
    hasSuffix: ([suffix, value]) => text(value).endsWith(text(suffix)),
    repeat: ([times, value]) => {
      if (int(times) * text(value).length > maxGenerated) throw new Error(`the result is longer than ${maxGenerated}`);
      return text(value).repeat(Math.max(0, int(times)));
    },
    indent: ([pad, value]) => lines(text(value), int(pad)),
    nindent: ([pad, value]) => `\n${lines(text(value), int(pad))}`,
    trunc: ([length, value]) => (int(length) >= 0 ? text(value).slice(0, int(length)) : text(value).slice(int(length))),
    substr: ([from, to, value]) => text(value).slice(Math.max(0, int(from)), int(to) < 0 ? undefined : int(to)),
    nospace: ([value]) => text(value).replace(/\s/g, ""),
    cat: (args) =>
      args
        .filter((value) => value !== undefined && value !== null)
        .map(display)
        .join(" "),
    split: ([separator, value]) =>
      Object.fromEntries(
        text(value)
          .split(text(separator))
          .map((part, index) => [`_${index}`, part]),
      ),
    splitList: ([separator, value]) => text(value).split(text(separator)),
    splitn: ([separator, count, value]) => {
      const parts = text(value).split(text(separator));
      const most = int(count);
      const kept = parts.length > most ? [...parts.slice(0, most - 1), parts.slice(most - 1).join(text(separator))] : parts;
      return Object.fromEntries(kept.map((part, index) => [`_${index}`, part]));
    },
    join: ([separator, value]) => (Array.isArray(value) ? value.map(str).join(text(separator)) : str(value)),
    snakecase: ([value]) =>
      text(value)
        .replace(/([a-z0-9])([A-Z])/g, "$1_$2")
        .replace(/[-\s]+/g, "_")
        .toLowerCase(),
    kebabcase: ([value]) =>
      text(value)
        .replace(/([a-z0-9])([A-Z])/g, "$1-$2")
        .replace(/[_\s]+/g, "-")
        .toLowerCase(),
    camelcase: ([value]) => text(value).replace(/(^|[-_\s])(\w)/g, (_, __, letter: string) => letter.toUpperCase()),
    b64enc: ([value]) => Buffer.from(text(value)).toString("base64"),
    b64dec: ([value]) => Buffer.from(text(value), "base64").toString(),
    sha256sum: ([value]) => createHash("sha256").update(text(value)).digest("hex"),
    sha1sum: ([value]) => createHash("sha1").update(text(value)).digest("hex"),
    regexMatch: ([pattern, value]) => regex(pattern).matcher(text(value)).find(),
    regexFind: ([pattern, value]) => {
      const matcher = regex(pattern).matcher(text(value));
      return matcher.find() ? matcher.group() : "";
    },
    regexReplaceAll: ([pattern, value, by]) =>
      regex(pattern)
        .matcher(text(value))
        .replaceAll(text(by).replace(/\$\{(\d+)\}/g, "$$$1")),
    regexReplaceAllLiteral: ([pattern, value, by]) =>
      regex(pattern)
        .matcher(text(value))
        .replaceAll(RE2JS.quoteReplacement?.(text(by)) ?? text(by)),
    semverCompare: ([constraint, version]) => semverMatches(text(constraint), text(version)),

    // Sprig: numbers
    int: ([value]) => int(value),
    int64: ([value]) => int(value),
    float64: ([value]) => num(value),
    atoi: ([value]) => int(value),
    add: (args) => args.reduce<number>((sum, value) => sum + int(value), 0),
    add1: ([value]) => int(value) + 1,
    sub: ([a, b]) => int(a) - int(b),
    mul: ([first, ...others]) => others.reduce<number>((product, value) => product * int(value), int(first)),
    div: ([a, b]) => {
      if (int(b) === 0) throw new Error("division by zero");
      return Math.trunc(int(a) / int(b));
    },
    mod: ([a, b]) => {
      if (int(b) === 0) throw new Error("division by zero");
      return int(a) % int(b);
    },
    max: (args) => Math.max(...args.map(int)),
    min: (args) => Math.min(...args.map(int)),
    floor: ([value]) => Math.floor(num(value)),
    ceil: ([value]) => Math.ceil(num(value)),
    round: ([value, digits]) => Number(num(value).toFixed(int(digits))),
    until: ([count]) => steps(0, int(count), 1),
    untilStep: ([from, to, step]) => steps(int(from), int(to), int(step)),

    // Sprig: lists and mappings
    list: (args) => [...args],
    tuple: (args) => [...args],
    first: ([value]) => list(value)[0],
    last: ([value]) => list(value).at(-1),
    rest: ([value]) => list(value).slice(1),
    initial: ([value]) => list(value).slice(0, -1),
    append: ([value, item]) => [...list(value), item],
    prepend: ([value, item]) => [item, ...list(value)],
    concat: (args) => args.flatMap(list),
    reverse: ([value]) => [...list(value)].reverse(),
    uniq: ([value]) => list(value).filter((one, index, all) => all.findIndex((other) => toJson(other) === toJson(one)) === index),
    without: ([value, ...out]) => list(value).filter((one) => !out.some((other) => toJson(other) === toJson(one))),
    has: ([item, value]) => list(value).some((one) => toJson(one) === toJson(item)),
    compact: ([value]) => list(value).filter(isTrue),
    sortAlpha: ([value]) => list(value).map(str).sort(compareStrings),
    dict: (args) => {
      const out: Mapping = {};
      for (let i = 0; i < args.length; i += 2) put(out, str(args[i]), i + 1 < args.length ? args[i + 1] : "");
      return out;
    },
    get: ([value, key]) => own(map(value), text(key)) ?? "",
    set: ([value, key, to]) => {
      put(map(value), text(key), to);
      return value;
    },
    unset: ([value, key]) => {
      delete map(value)[text(key)];
      return value;
    },
    hasKey: ([value, key]) => Object.hasOwn(map(value), text(key)),
    keys: (args) => args.flatMap((value) => Object.keys(map(value))),
    values: ([value]) => Object.values(map(value)),
    pluck: ([key, ...maps]) => maps.map((value) => own(map(value), text(key))).filter((value) => value !== undefined),
    pick: ([value, ...keys]) => Object.fromEntries(Object.entries(map(value)).filter(([key]) => keys.includes(key))),
    omit: ([value, ...keys]) => Object.fromEntries(Object.entries(map(value)).filter(([key]) => !keys.includes(key))),
    dig: (args) => {
      const path = args.slice(0, -2).map(text);
      let at: unknown = args.at(-1);
      for (const key of path) {
        at = isMapping(at) ? own(at, key) : undefined;
        if (at === undefined) return args.at(-2);
      }
      return at;
    },
    merge: ([target, ...sources]) => sources.reduce<Mapping>((into, source) => mergeInto(into, map(source), false), map(target)),
    mergeOverwrite: ([target, ...sources]) => sources.reduce<Mapping>((into, source) => mergeInto(into, map(source), true), map(target)),
    deepCopy: ([value]) => deepCopy(value),
    kindOf: ([value]) => kindOf(value),
    kindIs: ([kind, value]) => kindOf(value) === kind,
    typeOf: ([value]) => goType(value),
    typeIs: ([type, value]) => goType(value) === type,

    // Sprig: time, randomness, certificates
    now: () => now,
    date: ([layout, when]) => formatDate(text(layout), dateOf(when)),
    dateInZone: ([layout, when]) => formatDate(text(layout), dateOf(when)),
    dateModify: ([by, when]) => new Date(dateOf(when).getTime() + goDurationMs(text(by))),
    mustDateModify: ([by, when]) => new Date(dateOf(when).getTime() + goDurationMs(text(by))),
    unixEpoch: ([when]) => String(Math.floor(dateOf(when).getTime() / 1000)),
    randAlphaNum: ([length]) => once(() => randomBytes(int(length)).toString("base64url").replace(/[-_]/g, "0").slice(0, int(length))),
    genPrivateKey: ([kind]) =>
      once(() => {
        if (kind !== "ecdsa") throw new Error(`unsupported kind of key ${display(kind)}: only "ecdsa"`);
        return generateKeyPairSync("ec", { namedCurve: "prime256v1" }).privateKey.export({ type: "sec1", format: "pem" });
      }),
    genSelfSignedCert: certificate,
    genSelfSignedCertWithKey: certificate,
  };
}

function dateOf(value: unknown): Date {
  if (!(value instanceof Date)) throw new Error(`expected a time, found ${kindOf(value)}`);
  return value;
}

function goQuote(value: string): string {
  return JSON.stringify(value).replace(/[\u007f-\u009f]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

function steps(from: number, to: number, step: number): number[] {
  const out: number[] = [];
  if (step === 0) return out;
  for (let at = from; step > 0 ? at < to : at > to; at += step) {
    if (out.length >= maxGenerated) throw new Error(`more than ${maxGenerated} items`);
    out.push(at);
  }
  return out;
}

function trimSet(value: string, cut: string, left: boolean, right: boolean): string {
  let from = 0;
  let to = value.length;
  while (left && from < to && cut.includes(value[from] as string)) from++;
  while (right && to > from && cut.includes(value[to - 1] as string)) to--;
  return value.slice(from, to);
}
