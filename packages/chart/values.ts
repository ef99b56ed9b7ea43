// A chart's values: files, --set and its like, merged as Helm merges them (helm.sh/docs/intro/using_helm, "The Format and Limitations of --set").
import { fromYaml } from "./template/functions.ts";
import { deepCopy, isMapping, own, put } from "./template/value.ts";

export type Values = Record<string, unknown>;

/** Values that cannot be read: names the source and the key. */
export class ValuesError extends Error {
  override readonly name = "ValuesError";
}

/** Highest index a `--set a[N]=` may name. */
export const maxSetIndex = 65_536;
/** Most steps in one key of `--set`. */
export const maxSetDepth = 30;

/** What a command line gives, in the order Helm applies it: files, then `--set`, `--set-string`, `--set-file`. */
export type ValueSources = {
  /** Contents of `--values` files with the names they were given by. */
  readonly files?: readonly { readonly name: string; readonly text: string }[];
  readonly set?: readonly string[];
  readonly setString?: readonly string[];
  /** `key=path` pairs. */
  readonly setFile?: readonly string[];
  /** Reads a file of `setFile`. */
  readonly readFile?: (path: string) => string;
};

/**
 * The overrides that the sources make together; `null` values are kept: they remove a default.
 * @throws {ValuesError} naming the flag or file and the key.
 */
export function readValues({ files = [], set = [], setString = [], setFile = [], readFile }: ValueSources): Values {
  let values: Values = {};
  for (const { name, text } of files) {
    let parsed: unknown;
    try {
      parsed = fromYaml(text);
    } catch (error) {
      throw new ValuesError(`${name}: ${(error as Error).message.split("\n")[0]}`);
    }
    if (parsed === null) continue;
    if (!isMapping(parsed)) throw new ValuesError(`${name}: expected a mapping of values`);
    values = overlay(values, parsed);
  }
  for (const text of set) applySet(values, text, { flag: "--set", typed: true });
  for (const text of setString) applySet(values, text, { flag: "--set-string", typed: false });
  for (const text of setFile) {
    applySet(values, text, {
      flag: "--set-file",
      typed: false,
      map: (path) => {
        if (!readFile) throw new ValuesError("--set-file: files cannot be read here");
        try {
          return readFile(path);
        } catch (error) {
          throw new ValuesError(`--set-file ${text}: ${(error as Error).message}`);
        }
      },
    });
  }
  return values;
}

/** `over` laid upon `base`, mapping by mapping; `null` stays as a mark of removal. Neither argument changes. */
export function overlay(base: Values, over: Values): Values {
  const out: Values = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const have = own(out, key);
    put(out, key, isMapping(have) && isMapping(value) ? overlay(have, value) : deepCopy(value));
  }
  return out;
}

/** Defaults with overrides upon them; an override of `null` removes a default; where there is none it stays. */
export function mergeValues(defaults: Values, overrides: Values): Values {
  const out = deepCopy(defaults);
  for (const [key, value] of Object.entries(overrides)) {
    const have = own(out, key);
    if (value === null && have !== undefined) delete out[key];
    else if (isMapping(value)) put(out, key, mergeValues(isMapping(have) ? have : {}, value));
    else put(out, key, deepCopy(value));
  }
  return out;
}

/** Where `value` differs from `base`, as overrides: spec control-plane §8.4. A key that is missing from `value` becomes `null`. */
export function differenceOf(value: Values, base: Values): Values {
  const out: Values = {};
  for (const key of new Set([...Object.keys(value), ...Object.keys(base)])) {
    const [now, before] = [own(value, key), own(base, key)];
    if (now === undefined) {
      if (before !== null && before !== undefined) put(out, key, null);
    } else if (isMapping(now) && isMapping(before)) {
      const inner = differenceOf(now, before);
      if (Object.keys(inner).length > 0) put(out, key, inner);
    } else if (JSON.stringify(now) !== JSON.stringify(before)) put(out, key, deepCopy(now));
  }
  return out;
}

type SetOptions = { flag: string; typed: boolean; map?: (value: string) => unknown };

/** Applies one argument of `--set` (`a.b=1,c[0]=x,d={e,f}`) to `values`. */
export function applySet(values: Values, argument: string, options: SetOptions): void {
  const parser = new SetParser(argument, options);
  parser.apply(values);
}

class SetParser {
  readonly #text: string;
  readonly #options: SetOptions;
  #at = 0;

  constructor(text: string, options: SetOptions) {
    this.#text = text;
    this.#options = options;
  }

  #fail(message: string): never {
    throw new ValuesError(`${this.#options.flag} ${this.#text}: ${message}`);
  }

  apply(values: Values): void {
    while (this.#at < this.#text.length) {
      const path = this.#path();
      const value = this.#value();
      this.#assign(values, path, value);
    }
  }

  /** Keys and indexes up to `=`. */
  #path(): (string | number)[] {
    const path: (string | number)[] = [];
    let key = "";
    let hasKey = false;
    for (;;) {
      const char = this.#text[this.#at++];
      if (char === undefined || char === ",") this.#fail(`key "${[...path, key].join(".")}" has no value`);
      if (char === "\\") key += this.#text[this.#at++] ?? "";
      else if (char === "." || char === "=" || char === "[") {
        if (key !== "") path.push(key);
        else if (!hasKey && path.length === 0) this.#fail("a key is empty");
        hasKey = char === "[";
        key = "";
        if (path.length > maxSetDepth) this.#fail(`a key has more than ${maxSetDepth} steps`);
        if (char === "=") return path;
        if (char === "[") {
          const end = this.#text.indexOf("]", this.#at);
          const index = end < 0 ? "" : this.#text.slice(this.#at, end);
          if (!/^\d+$/.test(index)) this.#fail(`"[${index}" is not an index`);
          if (Number(index) > maxSetIndex) this.#fail(`index ${index} is greater than ${maxSetIndex}`);
          path.push(Number(index));
          this.#at = end + 1;
        }
      } else key += char;
    }
  }

  #value(): unknown {
    if (this.#options.map) {
      const rest = this.#until(",");
      return this.#options.map(rest.text);
    }
    if (this.#text[this.#at] === "{") {
      this.#at++;
      const items: unknown[] = [];
      for (;;) {
        const { text, quoted, end } = this.#until(",}");
        if (end === undefined) this.#fail("a list must end with '}'");
        items.push(this.#typed(text, quoted));
        if (end === "}") break;
      }
      if (this.#at < this.#text.length && this.#text[this.#at++] !== ",") this.#fail("expected ',' after a list");
      return items;
    }
    const { text, quoted } = this.#until(",");
    return this.#typed(text, quoted);
  }

  #until(stops: string): { text: string; quoted: boolean; end: string | undefined } {
    let text = "";
    let quoted = false;
    for (;;) {
      const char = this.#text[this.#at++];
      if (char === undefined || stops.includes(char)) return { text, quoted, end: char };
      if (char === "\\") {
        quoted = true;
        text += this.#text[this.#at++] ?? "";
      } else text += char;
    }
  }

  #typed(text: string, _quoted: boolean): unknown {
    if (!this.#options.typed) return text;
    if (text === "true") return true;
    if (text === "false") return false;
    if (text === "null") return null;
    if (text === "0") return 0;
    if (/^-?[1-9]\d*$/.test(text) && Number.isSafeInteger(Number(text))) return Number(text);
    return text;
  }

  #assign(values: Values, path: readonly (string | number)[], value: unknown): void {
    let at: unknown = values;
    path.forEach((step, index) => {
      const last = index === path.length - 1;
      const shown = path
        .slice(0, index + 1)
        .map(String)
        .join(".");
      const container = (): unknown => (typeof path[index + 1] === "number" ? [] : {});
      if (typeof step === "number") {
        const array = at as unknown[];
        while (array.length < step) array.push(null);
        if (last) array[step] = value;
        else {
          if (array[step] === undefined || array[step] === null) array[step] = container();
          at = array[step];
        }
      } else {
        if (!isMapping(at)) this.#fail(`${shown}: its parent is not a mapping`);
        if (last) put(at, step, value);
        else {
          const have = own(at, step);
          const next = typeof path[index + 1] === "number" ? (Array.isArray(have) ? have : []) : isMapping(have) ? have : {};
          put(at, step, next);
          at = next;
        }
      }
    });
  }
}
