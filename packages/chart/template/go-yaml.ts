// YAML as Helm's toYaml writes it (sigs.k8s.io/yaml on go-yaml v2): sorted keys, lists not indented, its rules of quoting and folding.
import { isMapping, type Mapping } from "./value.ts";

/** Lines of plain and quoted text are folded at the first space after this column. */
const bestWidth = 80;

/** Text of `value` without a final newline. Undefined values of mappings are left out. */
export function toYaml(value: unknown): string {
  const out: string[] = [];
  if (isMapping(value) && Object.keys(value).length > 0) writeMapping(out, value, 0, "");
  else if (Array.isArray(value) && value.length > 0) writeSequence(out, value, 0, "");
  else return scalar(value, 0, 0, 2);
  return out.join("\n");
}

/** `lead` stands before the first line in place of its indentation: a list's "- ". */
function writeMapping(out: string[], mapping: Mapping, indent: number, lead: string): void {
  const pad = " ".repeat(indent);
  let first = lead;
  for (const key of Object.keys(mapping).sort(compareKeys)) {
    const value = mapping[key];
    if (value === undefined) continue;
    const start = first === "" ? pad : first;
    first = "";
    const name = `${start}${keyText(key)}:`;
    if (isMapping(value) && Object.keys(value).length > 0) {
      out.push(name);
      writeMapping(out, value, indent + 2, "");
    } else if (Array.isArray(value) && value.length > 0) {
      out.push(name);
      writeSequence(out, value, indent, "");
    } else out.push(`${name} ${scalar(value, indent, name.length + 1, indent + 2)}`);
  }
}

function writeSequence(out: string[], list: readonly unknown[], indent: number, lead: string): void {
  const pad = " ".repeat(indent);
  let first = lead;
  for (const value of list) {
    const start = `${first === "" ? pad : first}- `;
    first = "";
    if (isMapping(value) && Object.keys(value).length > 0) writeMapping(out, value, indent + 2, start);
    else if (Array.isArray(value) && value.length > 0) writeSequence(out, value, indent + 2, start);
    else out.push(`${start}${scalar(value, indent, start.length, indent + 2)}`);
  }
}

function scalar(value: unknown, _indent: number, column: number, inner: number): string {
  if (value === null || value === undefined) return "null";
  if (typeof value === "boolean") return String(value);
  if (typeof value === "number") return numberText(value);
  if (Array.isArray(value)) return "[]";
  if (typeof value === "object" && !(value instanceof Date)) return "{}";
  return stringText(value instanceof Date ? value.toISOString() : String(value), column, inner);
}

function numberText(value: number): string {
  if (Number.isInteger(value) && Math.abs(value) < 1e21) return value.toFixed(0);
  return value.toExponential().length < String(value).length && (Math.abs(value) < 1e-4 || Math.abs(value) >= 1e21)
    ? value.toExponential().replace(/e([+-])(\d)$/, "e$10$2")
    : String(value);
}

function keyText(key: string): string {
  return key.includes("\n") || key.length > 128 ? doubleQuoted(key, 0, 0, false) : stringText(key, 0, 0, true);
}

function stringText(text: string, column: number, inner: number, isKey = false): string {
  const found = analyse(text);
  if (text.includes("\n") && !isKey) return found.blockAllowed ? literal(text, inner) : doubleQuoted(text, column, inner, true);
  if (!isString(text)) return doubleQuoted(text, column, inner, !isKey);
  if (found.plainAllowed) return isKey ? text : fold(text, column, inner);
  if (found.singleAllowed) return isKey ? `'${text.replaceAll("'", "''")}'` : singleQuoted(text, column, inner);
  return doubleQuoted(text, column, inner, !isKey);
}

type Analysis = { plainAllowed: boolean; singleAllowed: boolean; blockAllowed: boolean };

/** The emitter's look at a scalar in block context (yaml_emitter_analyze_scalar). */
function analyse(text: string): Analysis {
  let indicators = text.startsWith("---") || text.startsWith("...");
  let special = false;
  let spaceBreak = false;
  let breakSpace = false;
  let lineBreaks = false;
  let previousSpace = false;
  let previousBreak = false;
  let afterWhite = true;
  const chars = [...text];
  chars.forEach((char, i) => {
    const next = chars[i + 1];
    const beforeWhite = next === undefined || /[ \t\r\n]/.test(next);
    if (i === 0) {
      if ("#,[]{}&*!|>'\"%@`".includes(char)) indicators = true;
      else if ((char === "?" || char === ":") && beforeWhite) indicators = true;
      else if (char === "-" && beforeWhite) indicators = true;
    } else if (char === ":" && beforeWhite) indicators = true;
    else if (char === "#" && afterWhite) indicators = true;
    if (!isPrintable(char)) special = true;
    const isSpace = char === " ";
    const isBreak = char === "\n" || char === "\r" || char === "\u0085" || char === "\u2028" || char === "\u2029";
    if (isSpace) {
      if (previousBreak) breakSpace = true;
      previousSpace = true;
      previousBreak = false;
    } else if (isBreak) {
      lineBreaks = true;
      if (previousSpace) spaceBreak = true;
      previousBreak = true;
      previousSpace = false;
    } else {
      previousSpace = false;
      previousBreak = false;
    }
    afterWhite = /[ \t\r\n]/.test(char);
  });
  const edges = /^[ \n\r]/.test(text) || /[ \n\r]$/.test(text);
  const trailingSpace = text.endsWith(" ");
  return {
    plainAllowed: !(indicators || special || spaceBreak || breakSpace || lineBreaks || edges),
    singleAllowed: !(special || spaceBreak || breakSpace),
    blockAllowed: !(special || spaceBreak || trailingSpace),
  };
}

function isPrintable(char: string): boolean {
  const code = char.codePointAt(0) as number;
  if (code === 0x0a || code === 0x85) return true;
  if (code === 0xfeff) return false;
  return (code >= 0x20 && code <= 0x7e) || (code >= 0xa0 && code <= 0xd7ff) || (code >= 0xe000 && code <= 0xfffd);
}

const words = new Set([
  "",
  "~",
  "null",
  "Null",
  "NULL",
  "y",
  "Y",
  "yes",
  "Yes",
  "YES",
  "on",
  "On",
  "ON",
  "n",
  "N",
  "no",
  "No",
  "NO",
  "off",
  "Off",
  "OFF",
  "true",
  "True",
  "TRUE",
  "false",
  "False",
  "FALSE",
  ".nan",
  ".NaN",
  ".NAN",
  ".inf",
  ".Inf",
  ".INF",
  "+.inf",
  "+.Inf",
  "+.INF",
  "-.inf",
  "-.Inf",
  "-.INF",
]);

/** True when the text, unquoted, would be read back as a string (YAML 1.1 as go-yaml v2 reads it). */
function isString(text: string): boolean {
  if (words.has(text)) return false;
  if (!/^[-+.0-9]/.test(text)) return true;
  if (/^\d{4}-\d{1,2}-\d{1,2}([Tt ].*)?$/.test(text))
    return Number.isNaN(Date.parse(text.replace(/^(\d{4})-(\d)-/, "$1-0$2-").replace(/-(\d)$/, "-0$1")));
  const plain = text.replaceAll("_", "");
  if (/^[-+]?(0b[01]+|0x[0-9a-fA-F]+|0o?[0-7]+|\d+)$/.test(plain)) return false;
  if (/^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$/.test(plain)) return false;
  return !/^[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?$/.test(text);
}

function literal(text: string, inner: number): string {
  const hint = /^[ \n]/.test(text) ? "2" : "";
  const chomp = !text.endsWith("\n") ? "-" : text === "\n" || text.endsWith("\n\n") ? "+" : "";
  const pad = " ".repeat(inner);
  const body = text.endsWith("\n") ? text.slice(0, -1) : text;
  return `|${hint}${chomp}\n${body
    .split("\n")
    .map((line) => (line === "" ? "" : pad + line))
    .join("\n")}`;
}

/** A plain scalar, broken at single spaces beyond the best width. */
function fold(text: string, column: number, inner: number): string {
  let out = "";
  let at = column;
  let spaces = false;
  for (let i = 0; i < text.length; i++) {
    const char = text[i] as string;
    if (char === " ") {
      if (!spaces && at > bestWidth && text[i + 1] !== " ") {
        out += `\n${" ".repeat(inner)}`;
        at = inner;
      } else {
        out += char;
        at++;
      }
      spaces = true;
    } else {
      out += char;
      at++;
      spaces = false;
    }
  }
  return out;
}

function singleQuoted(text: string, column: number, inner: number): string {
  let out = "'";
  let at = column + 1;
  let spaces = false;
  for (let i = 0; i < text.length; i++) {
    const char = text[i] as string;
    if (char === " ") {
      if (!spaces && at > bestWidth && i > 0 && i < text.length - 1 && text[i + 1] !== " ") {
        out += `\n${" ".repeat(inner)}`;
        at = inner;
      } else {
        out += char;
        at++;
      }
      spaces = true;
    } else {
      out += char === "'" ? "''" : char;
      at += char === "'" ? 2 : 1;
      spaces = false;
    }
  }
  return `${out}'`;
}

const named: Record<string, string> = {
  "\0": "\\0",
  "\x07": "\\a",
  "\b": "\\b",
  "\t": "\\t",
  "\n": "\\n",
  "\v": "\\v",
  "\f": "\\f",
  "\r": "\\r",
  "\x1b": "\\e",
  '"': '\\"',
  "\\": "\\\\",
  "\u0085": "\\N",
  "\u00a0": "\\_",
  "\u2028": "\\L",
  "\u2029": "\\P",
};

function doubleQuoted(text: string, column: number, inner: number, breaks: boolean): string {
  let out = '"';
  let at = column + 1;
  let spaces = false;
  const chars = [...text];
  chars.forEach((char, i) => {
    if (
      !isPrintable(char) ||
      char === "\n" ||
      char === "\r" ||
      char === '"' ||
      char === "\\" ||
      char === "\u0085" ||
      char === "\u2028" ||
      char === "\u2029"
    ) {
      const code = char.codePointAt(0) as number;
      const escaped =
        named[char] ??
        (code <= 0xff
          ? `\\x${code.toString(16).toUpperCase().padStart(2, "0")}`
          : code <= 0xffff
            ? `\\u${code.toString(16).toUpperCase().padStart(4, "0")}`
            : `\\U${code.toString(16).toUpperCase().padStart(8, "0")}`);
      out += escaped;
      at += escaped.length;
      spaces = false;
    } else if (char === " ") {
      if (breaks && !spaces && at > bestWidth && i > 0 && i < chars.length - 1) {
        out += `\n${" ".repeat(inner)}`;
        at = inner;
        if (chars[i + 1] === " ") {
          out += "\\";
          at++;
        }
      } else {
        out += char;
        at++;
      }
      spaces = true;
    } else {
      out += char;
      at++;
      spaces = false;
    }
  });
  return `${out}"`;
}

const isLetter = (char: string) => /\p{L}/u.test(char);
const isDigit = (char: string | undefined) => char !== undefined && /\p{Nd}/u.test(char);

/** go-yaml's order of keys: letters after others, numbers by value. */
export function compareKeys(left: string, right: string): number {
  const a = [...left];
  const b = [...right];
  for (let i = 0; i < a.length && i < b.length; i++) {
    const x = a[i] as string;
    const y = b[i] as string;
    if (x === y) continue;
    const xl = isLetter(x);
    const yl = isLetter(y);
    if (xl && yl) return x < y ? -1 : 1;
    if (xl || yl) return yl ? -1 : 1;
    let an = 0;
    let bn = 0;
    if (x === "0" || y === "0") {
      for (let j = i - 1; j >= 0 && isDigit(a[j]); j--) {
        if (a[j] !== "0") {
          an = 1;
          bn = 1;
          break;
        }
      }
    }
    let ai = i;
    let bi = i;
    for (; isDigit(a[ai]); ai++) an = an * 10 + Number(a[ai]);
    for (; isDigit(b[bi]); bi++) bn = bn * 10 + Number(b[bi]);
    if (an !== bn) return an < bn ? -1 : 1;
    if (ai !== bi) return ai < bi ? -1 : 1;
    return x < y ? -1 : 1;
  }
  return a.length - b.length;
}
