// How Go sees values: truth, kinds, printing.

/** A value with methods, such as `.Files` or `.Capabilities.APIVersions`. A member is a value, or a function of the arguments. */
export abstract class Native {
  /** Go's name of its type, for messages and `typeOf`. */
  abstract readonly typeName: string;
  /** `undefined`: there is no such member. */
  abstract member(name: string): unknown;
}

export type Mapping = Record<string, unknown>;

export function isMapping(value: unknown): value is Mapping {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Native) && !(value instanceof Date);
}

export function isTrue(value: unknown): boolean {
  if (value === undefined || value === null || value === false || value === 0 || value === "") return false;
  if (Array.isArray(value)) return value.length > 0;
  if (isMapping(value)) return Object.keys(value).length > 0;
  return true;
}

/** Kinds as `kindOf` names them. */
export function kindOf(value: unknown): string {
  if (value === undefined || value === null) return "invalid";
  if (Array.isArray(value)) return "slice";
  switch (typeof value) {
    case "string":
      return "string";
    case "boolean":
      return "bool";
    case "number":
      return Number.isInteger(value) ? "int" : "float64";
    default:
      return isMapping(value) ? "map" : "struct";
  }
}

/** What `{{ value }}` writes; absent values write nothing, as Helm has it. */
export function print(value: unknown): string {
  return value === undefined || value === null ? "" : display(value);
}

/** Go's `%v`. */
export function display(value: unknown): string {
  if (value === undefined || value === null) return "<nil>";
  if (typeof value === "string") return value;
  if (typeof value === "number") return number(value);
  if (Array.isArray(value)) return `[${value.map(display).join(" ")}]`;
  if (isMapping(value)) {
    return `map[${Object.keys(value)
      .sort(compareStrings)
      .map((key) => `${key}:${display(value[key])}`)
      .join(" ")}]`;
  }
  if (value instanceof Date) return value.toISOString();
  return value instanceof Native ? value.typeName : String(value);
}

/** Whole numbers in digits, others as Go's `%g` with the shortest form. */
function number(value: number): string {
  if (Number.isInteger(value)) return Math.abs(value) < 1e21 ? value.toFixed(0) : exponent(value);
  const magnitude = Math.floor(Math.log10(Math.abs(value)));
  return magnitude < -4 || magnitude >= 21 ? exponent(value) : String(value);
}

function exponent(value: number): string {
  return value.toExponential().replace(/e([+-])(\d)$/, "e$10$2");
}

/** Order by code point, as Go sorts strings. */
export function compareStrings(a: string, b: string): number {
  return a === b ? 0 : Buffer.compare(Buffer.from(a), Buffer.from(b));
}

export function deepCopy<T>(value: T): T {
  if (Array.isArray(value)) return value.map(deepCopy) as T;
  if (!isMapping(value)) return value;
  const copy: Mapping = {};
  for (const [key, one] of Object.entries(value)) put(copy, key, deepCopy(one));
  return copy as T;
}

/** Assigns an own property also when the key is `__proto__`. */
export function put(target: Mapping, key: string, value: unknown): void {
  if (key === "__proto__") Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true });
  else target[key] = value;
}

export function own(target: Mapping, key: string): unknown {
  return Object.hasOwn(target, key) ? target[key] : undefined;
}
