// Label selectors: as objects (policies, workloads) and as text (queries to the embedded API server).
import { isEmptySelector, isLabelKey, type LabelSelector, matchesSelector, selectorMistakes } from "#kube";
import { labelPredicate } from "../../cluster/apiserver/selectors.ts";
import { ApiError } from "../../cluster/apiserver/status.ts";
import { Choices } from "../input.ts";
import { check, same, type Target } from "../target.ts";

const target: Target = {
  name: "label-selector",
  what: "label selectors: any shape is judged, never thrown; a good one matches as sets of requirements do, as object and as text alike",
  maxBytes: 256,
  seeds: [
    "\0\x01\0\x01\0\x01\0\0\x02\0\x01",
    "\x01\x02\x00\x00\x02\x00\x01\x01\x01\x00\x03\x02",
    "\x02app in (a, b),!c,d!=e",
    "\x02a.b/c==d,x>5",
    "\x02app notin (a),tier",
    "\x03\x05\x04abc",
  ],
  dictionary: ["in (", "notin (", "!=", "==", "app", "__proto__", "constructor", ">", ",", "a.b/c"],
  run(input) {
    const choices = new Choices(input);
    switch (choices.below(4)) {
      case 0:
      case 1:
        good(choices);
        break;
      case 2:
        text(Buffer.from(choices.rest()).toString());
        break;
      default: {
        const mistakes = selectorMistakes(anything(choices, 4), "spec.selector");
        for (const mistake of mistakes) check(mistake.startsWith("spec.selector"), () => `no field is named: ${mistake}`);
      }
    }
  },
};
export default target;

const KEYS = ["app", "tier", "a.b/c", "__proto__", "constructor", "x"];
const VALUES = ["a", "b", "", "5", "10"];
const OPERATORS = ["In", "NotIn", "Exists", "DoesNotExist"] as const;

function good(choices: Choices): void {
  const matchLabels = pairs(choices, 3);
  const matchExpressions = Array.from({ length: choices.below(3) }, () => {
    const operator = choices.of(OPERATORS);
    const values =
      operator === "In" || operator === "NotIn"
        ? [choices.of(VALUES), ...Array.from({ length: choices.below(3) }, () => choices.of(VALUES))]
        : [];
    return { key: choices.of(KEYS), operator, ...(values.length > 0 ? { values } : {}) };
  });
  const selector = { matchLabels, matchExpressions } as LabelSelector;
  const labels = pairs(choices, 5);
  // `__proto__` is no label key, for it begins with an underscore; all else here is good.
  const odd = KEYS.filter((key) => !isLabelKey(key));
  const usesOdd = [...Object.keys(matchLabels), ...matchExpressions.map(({ key }) => key)].some((key) => odd.includes(key));
  const mistakes = selectorMistakes(selector, "s");
  check(usesOdd || mistakes.length === 0, () => `a good selector is refused: ${mistakes[0]}`);
  const requirements: [string, string, readonly string[]][] = [
    ...Object.entries(matchLabels).map(([key, value]): [string, string, readonly string[]] => [key, "In", [value]]),
    ...matchExpressions.map(({ key, operator, values }): [string, string, readonly string[]] => [key, operator, values ?? []]),
  ];
  const own = new Map(Object.entries(labels));
  const expected = requirements.every(([key, operator, values]) => {
    const value = own.get(key);
    if (operator === "Exists") return value !== undefined;
    if (operator === "DoesNotExist") return value === undefined;
    return (value !== undefined && values.includes(value)) === (operator === "In");
  });
  same(matchesSelector(selector, labels), expected, "match");
  same(isEmptySelector(selector), requirements.length === 0, "empty");
  if (usesOdd || requirements.length === 0) return;
  const written = requirements.map(([key, operator, values]) =>
    operator === "Exists" ? key : operator === "DoesNotExist" ? `!${key}` : `${key} ${operator.toLowerCase()} (${values.join(",")})`,
  );
  const predicate = labelPredicate(written.join(","));
  check(predicate !== undefined, "requirements are lost");
  same(predicate({ metadata: { labels } } as unknown as Parameters<typeof predicate>[0]), expected, `as text: ${written.join(",")}`);
}

function pairs(choices: Choices, max: number): Record<string, string> {
  const entries = Array.from({ length: choices.below(max + 1) }, (): [string, string] => [choices.of(KEYS), choices.of(VALUES)]);
  // Own properties, `__proto__` too: so labels come out of JSON.
  return Object.fromEntries(entries);
}

function text(selector: string): void {
  let predicate: ReturnType<typeof labelPredicate>;
  try {
    predicate = labelPredicate(selector);
  } catch (error) {
    check(error instanceof ApiError && error.code === 400, () => `${(error as Error).stack}`);
    return;
  }
  if (predicate === undefined) {
    check(/^[\s,()]*$/.test(selector), "requirements are lost");
    return;
  }
  for (const labels of [undefined, {}, { app: "a" }, { app: "b", tier: "5" }])
    check(typeof predicate({ metadata: { labels } } as unknown as Parameters<typeof predicate>[0]) === "boolean", "a verdict");
}

/** Any JSON. */
function anything(choices: Choices, depth: number): unknown {
  const kind = choices.below(depth > 0 ? 9 : 5);
  switch (kind) {
    case 0:
      return choices.of([null, true, 5, -1.5]);
    case 1:
      return choices.text(12);
    case 2:
      return choices.of([...KEYS, ...OPERATORS]);
    case 3:
      return [];
    case 4:
      return {};
    case 5:
      return Array.from({ length: choices.below(4) }, () => anything(choices, depth - 1));
    default: {
      const names = ["matchLabels", "matchExpressions", "key", "operator", "values", "app", "__proto__", "x y"];
      return Object.fromEntries(Array.from({ length: choices.below(4) }, () => [choices.of(names), anything(choices, depth - 1)]));
    }
  }
}
