// Which log lines are wanted: comma-separated `level`, `target`, `target=level`, and with a condition on spans and fields
// `target[span{field=value}]=level` (spec proxy §1.9). Pure.

export const LEVELS = ["off", "error", "warn", "info", "debug", "trace"] as const;
export type Level = (typeof LEVELS)[number];

export type Fields = Readonly<Record<string, unknown>>;
/** What a line is said within: `inbound`, `accept{client.addr=10.0.0.1:4000}`. */
export type Span = { readonly name: string; readonly fields: Fields };

export type Filter = {
  /** As it was given. */
  readonly text: string;
  /** The least severe level that is wanted of `target` by itself. Longest prefix wins; nothing matches: warn. */
  level(target: string): Level;
  /** The least severe level that is wanted of lines of `target` within these spans or with these fields; null: no condition holds. */
  conditional(target: string, spans: readonly Span[], fields: Fields): Level | null;
  /** The least severe level that some condition on `target` asks for; null: there is none. */
  mostConditional(target: string): Level | null;
};

/** Directives of one filter; a filter is input of the admin port. */
export const MAX_DIRECTIVES = 64;

/** A condition: a span of this name (empty: any span, or the line itself) with these fields. */
type Condition = { readonly span: string; readonly fields: readonly (readonly [name: string, value: string | null])[] };
type Directive = { readonly target: string; readonly condition: Condition | null; readonly level: Level };

const DIRECTIVE = /^([A-Za-z_][\w:-]*)?(\[[^\]]*\])?(?:=(\w+))?$/;
const CONDITION = /^\[([A-Za-z_][\w:.-]*)?(?:\{([^{}]*)\})?\]$/;
const FIELD = /^([A-Za-z_][\w.-]*)(?:=(.+))?$/;

/** The filter and the directives that were not understood. */
export function parseFilter(text: string): { filter: Filter; invalid: string[] } {
  const invalid: string[] = [];
  const directives: Directive[] = [];
  for (const [i, part] of split(text).entries()) {
    const directive = i < MAX_DIRECTIVES ? parseDirective(part) : null;
    if (directive === null) invalid.push(part);
    else directives.push(directive);
  }
  // Of two that say the same the last one counts.
  const plain = new Map(directives.filter(({ condition }) => condition === null).map(({ target, level }) => [target, level]));
  const prefixes = [...plain.keys()].sort((a, b) => b.length - a.length);
  const conditional = directives.filter(({ condition }) => condition !== null);
  return {
    invalid,
    filter: {
      text,
      level(target) {
        for (const prefix of prefixes) if (isUnder(target, prefix)) return plain.get(prefix) as Level;
        return "warn";
      },
      conditional: (target, spans, fields) =>
        least(conditional.filter((one) => isUnder(target, one.target) && holds(one.condition as Condition, spans, fields))),
      mostConditional: (target) => least(conditional.filter((one) => isUnder(target, one.target))),
    },
  };
}

/** At commas outside of conditions. */
function split(text: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let part = "";
  for (const char of text) {
    if (char === "," && depth === 0) {
      parts.push(part);
      part = "";
      continue;
    }
    if (char === "[") depth++;
    else if (char === "]") depth = Math.max(0, depth - 1);
    part += char;
  }
  return [...parts, part].map((one) => one.trim()).filter((one) => one !== "");
}

function parseDirective(part: string): Directive | null {
  const match = DIRECTIVE.exec(part);
  if (match === null) return null;
  const [, name = "", bracket, given] = match;
  if (given !== undefined && (!isLevel(given) || (name === "" && bracket === undefined))) return null;
  const condition = bracket === undefined ? null : parseCondition(bracket);
  if (bracket !== undefined && condition === null) return null;
  // A level alone is for every target.
  if (given === undefined && condition === null && isLevel(name)) return { target: "", condition, level: name.toLowerCase() as Level };
  return { target: name, condition, level: (given ?? "trace").toLowerCase() as Level };
}

function parseCondition(bracket: string): Condition | null {
  const match = CONDITION.exec(bracket);
  if (match === null) return null;
  const [, span = "", list = ""] = match;
  const fields: [string, string | null][] = [];
  for (const text of split(list)) {
    const field = FIELD.exec(text);
    if (field === null) return null;
    fields.push([field[1] as string, field[2]?.replace(/^"(.*)"$/, "$1") ?? null]);
  }
  return span === "" && fields.length === 0 ? null : { span, fields };
}

function isUnder(target: string, prefix: string): boolean {
  return prefix === "" || target === prefix || target.startsWith(`${prefix}::`);
}

function holds({ span, fields }: Condition, spans: readonly Span[], own: Fields): boolean {
  const has = (of: Fields): boolean => fields.every(([name, value]) => name in of && (value === null || String(of[name]) === value));
  return (span === "" && has(own)) || spans.some((one) => (span === "" || one.name === span) && has(one.fields));
}

function least(directives: readonly Directive[]): Level | null {
  let found: Level | null = null;
  for (const { level } of directives) if (found === null || LEVELS.indexOf(level) > LEVELS.indexOf(found)) found = level;
  return found;
}

function isLevel(text: string): boolean {
  return (LEVELS as readonly string[]).includes(text.toLowerCase());
}
