// The JSONPath subset of CRD printer columns, selectors and scale paths: `.spec.x`, `['x']`, `[0]`, `[*]`, `[?(@.type=="Ready")]`, `[-1:]`.

type Step =
  | { kind: "field"; name: string }
  | { kind: "index"; index: number }
  | { kind: "all" }
  | { kind: "filter"; path: Step[]; operator: string; value: unknown };

export class JsonPathError extends Error {}

/** Longer paths are refused. */
export const maxSteps = 64;

/** @throws {JsonPathError} naming the place. */
export function parseJsonPath(text: string): Step[] {
  const source = text
    .trim()
    .replace(/^\{(.*)\}$/s, "$1")
    .replace(/^\$/, "");
  const steps: Step[] = [];
  let at = 0;
  const fail = (why: string): never => {
    throw new JsonPathError(`${JSON.stringify(text)}: ${why} at ${at}`);
  };
  while (at < source.length) {
    if (steps.length >= maxSteps) fail("too many steps");
    if (source[at] === ".") {
      at += 1;
      if (source[at] === "[") continue;
      let name = "";
      while (at < source.length && source[at] !== "." && source[at] !== "[") {
        if (source[at] === "\\" && at + 1 < source.length) at += 1;
        name += source[at++];
      }
      if (name === "") {
        if (at >= source.length && steps.length === 0) return steps;
        fail("empty field name");
      }
      steps.push(name === "*" ? { kind: "all" } : { kind: "field", name });
    } else if (source[at] === "[") {
      const rest = source.slice(at);
      let match: RegExpExecArray | null;
      if ((match = /^\[\*\]/.exec(rest))) steps.push({ kind: "all" });
      else if ((match = /^\[(-?\d+)\]/.exec(rest))) steps.push({ kind: "index", index: Number(match[1]) });
      else if ((match = /^\[(-1|0):1?\]/.exec(rest)))
        steps.push(match[1] === "-1" ? { kind: "index", index: -1 } : { kind: "index", index: 0 });
      else if ((match = /^\['((?:[^'\\]|\\.)*)'\]/.exec(rest)) || (match = /^\["((?:[^"\\]|\\.)*)"\]/.exec(rest)))
        steps.push({ kind: "field", name: (match[1] as string).replace(/\\(.)/g, "$1") });
      else if ((match = /^\[\?\(\s*@([^=!<>]*?)\s*(?:(==|!=|<=|>=|<|>)\s*("[^"]*"|'[^']*'|[^)\s]+)\s*)?\)\]/.exec(rest))) {
        const literal = match[3];
        steps.push({
          kind: "filter",
          path: parseJsonPath(match[1] as string),
          operator: match[2] ?? "exists",
          value: literal === undefined ? undefined : literalValue(literal),
        });
      } else fail("unsupported expression");
      at += (match as RegExpExecArray)[0].length;
    } else fail("expected . or [");
  }
  return steps;
}

function literalValue(text: string): unknown {
  if (/^["']/.test(text)) return text.slice(1, -1);
  if (text === "true" || text === "false") return text === "true";
  const number = Number(text);
  return Number.isNaN(number) ? text : number;
}

/** All values along the path. */
export function evaluate(steps: Step[], value: unknown): unknown[] {
  let current: unknown[] = [value];
  for (const step of steps) {
    const next: unknown[] = [];
    for (const one of current) {
      if (typeof one !== "object" || one === null) continue;
      switch (step.kind) {
        case "field": {
          const found = Object.hasOwn(one, step.name) ? (one as Record<string, unknown>)[step.name] : undefined;
          if (found !== undefined) next.push(found);
          break;
        }
        case "index":
          if (Array.isArray(one)) {
            const found: unknown = one.at(step.index);
            if (found !== undefined) next.push(found);
          }
          break;
        case "all":
          next.push(...Object.values(one));
          break;
        case "filter":
          for (const item of Object.values(one)) {
            const [found] = evaluate(step.path, item);
            if (holds(found, step.operator, step.value)) next.push(item);
          }
          break;
        default:
          step satisfies never;
      }
    }
    current = next;
  }
  return current;
}

function holds(found: unknown, operator: string, value: unknown): boolean {
  if (operator === "exists") return found !== undefined;
  if (operator === "==") return found === value;
  if (operator === "!=") return found !== value;
  if (found === undefined || typeof found !== typeof value) return false;
  const [a, b] = [found as number, value as number];
  return operator === "<" ? a < b : operator === "<=" ? a <= b : operator === ">" ? a > b : a >= b;
}
