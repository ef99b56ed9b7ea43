// Label and field selectors of list, watch and deletecollection requests.
import { isLabelKey, isLabelValue } from "#kube";
import type { ApiObject, Resource } from "./kinds/resource.ts";
import { badRequest } from "./status.ts";

export type Predicate = (object: ApiObject) => boolean;

/** Terms in one selector; more are refused. */
export const maxTerms = 500;

/** @throws {ApiError} 400 naming the term. */
export function labelPredicate(selector: string): Predicate | undefined {
  const terms = splitTerms(selector).map(parseTerm);
  if (terms.length === 0) return undefined;
  return ({ metadata: { labels } }) => terms.every((term) => term(labels ?? {}));
}

/** Commas within parentheses do not split. */
function splitTerms(selector: string): string[] {
  const terms: string[] = [];
  let depth = 0;
  let start = 0;
  for (let i = 0; i <= selector.length; i++) {
    const char = selector[i];
    if (char === "(") depth += 1;
    else if (char === ")") depth -= 1;
    else if ((char === "," && depth === 0) || i === selector.length) {
      const term = selector.slice(start, i).trim();
      if (term !== "") terms.push(term);
      start = i + 1;
    }
  }
  if (terms.length > maxTerms) throw badRequest(`unable to parse selector: more than ${maxTerms} requirements`);
  return terms;
}

function parseTerm(term: string): (labels: Record<string, string>) => boolean {
  const fail = (why: string) => badRequest(`unable to parse requirement: ${why} in ${JSON.stringify(term)}`);
  const checkKey = (key: string) => {
    if (!isLabelKey(key)) throw fail(`invalid label key ${JSON.stringify(key)}`);
    return key;
  };
  const checkValue = (value: string) => {
    if (!isLabelValue(value)) throw fail(`invalid label value ${JSON.stringify(value)}`);
    return value;
  };
  const set = /^(\S+)\s+(in|notin)\s*\(([^()]*)\)$/.exec(term);
  if (set) {
    const key = checkKey(set[1] as string);
    const values = new Set((set[3] as string).split(",").map((value) => checkValue(value.trim())));
    return set[2] === "in" ? (labels) => values.has(own(labels, key) as string) : (labels) => !values.has(own(labels, key) as string);
  }
  const compare = /^([^\s=!<>]+)\s*(==|=|!=|>|<)\s*(\S*)$/.exec(term);
  if (compare) {
    const [, rawKey = "", operator, value = ""] = compare;
    const key = checkKey(rawKey);
    if (operator === ">" || operator === "<") {
      const bound = Number(value);
      if (!/^-?\d+$/.test(value)) throw fail(`for 'Gt', 'Lt' operators, the value must be an integer`);
      return (labels) => (operator === ">" ? Number(own(labels, key)) > bound : Number(own(labels, key)) < bound);
    }
    checkValue(value);
    return operator === "!=" ? (labels) => own(labels, key) !== value : (labels) => own(labels, key) === value;
  }
  if (term.startsWith("!")) {
    const key = checkKey(term.slice(1).trim());
    return (labels) => own(labels, key) === undefined;
  }
  const key = checkKey(term);
  return (labels) => own(labels, key) !== undefined;
}

/** `constructor` is a label key like any other. */
function own(labels: Readonly<Record<string, string>>, key: string): string | undefined {
  return Object.hasOwn(labels, key) ? labels[key] : undefined;
}

/** @throws {ApiError} 400 for a field this kind cannot be selected by. */
export function fieldPredicate(selector: string, resource: Resource): { predicate: Predicate | undefined; name: string | undefined } {
  let name: string | undefined;
  const terms = selector
    .split(/(?<!\\),/)
    .filter((term) => term !== "")
    .map((term): Predicate => {
      const match = /^([^=!]+)(==|=|!=)(.*)$/s.exec(term);
      if (!match) throw badRequest(`invalid field selector: ${JSON.stringify(term)}; can't understand '${term}'`);
      const [, label = "", operator, raw = ""] = match;
      const value = raw.replace(/\\([\\,=])/g, "$1");
      const read =
        label === "metadata.name"
          ? ({ metadata }: ApiObject) => metadata.name ?? ""
          : label === "metadata.namespace"
            ? ({ metadata }: ApiObject) => metadata.namespace ?? ""
            : Object.hasOwn(resource.selectable, label)
              ? resource.selectable[label]
              : undefined;
      if (!read) throw badRequest(`field label not supported: ${label}`);
      if (label === "metadata.name" && operator !== "!=") name = value;
      return operator === "!=" ? (object) => read(object) !== value : (object) => read(object) === value;
    });
  if (terms.length > maxTerms) throw badRequest(`more than ${maxTerms} field requirements`);
  return { predicate: terms.length === 0 ? undefined : (object) => terms.every((term) => term(object)), name };
}
