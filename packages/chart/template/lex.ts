// Cuts the text of a Go template into text and the tokens of its actions (pkg.go.dev/text/template, "Text and spaces").
import { TemplateError } from "./errors.ts";

export type Token = {
  readonly kind: "text" | "open" | "close" | "word" | "field" | "variable" | "string" | "number" | "char" | "op" | "space" | "end";
  readonly value: string;
  readonly line: number;
};

const trimLeft = /[ \t\r\n]+$/;
const trimRight = /^[ \t\r\n]+/;

/**
 * Tokens of a template, ended by `end`. Text is trimmed beside `{{-` and `-}}`; comments are left out.
 * @throws {TemplateError} for an action that does not end or a character that begins no token.
 */
export function lex(name: string, source: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  let line = 1;
  let trimNext = false;
  const fail = (message: string): never => {
    throw new TemplateError({ template: name, line, message });
  };
  const pushText = (text: string, trimEnd: boolean) => {
    let shown = trimNext ? text.replace(trimRight, "") : text;
    if (trimEnd) shown = shown.replace(trimLeft, "");
    if (shown !== "") tokens.push({ kind: "text", value: shown, line });
    line += count(text);
    trimNext = false;
  };
  for (;;) {
    const open = source.indexOf("{{", at);
    if (open < 0) {
      pushText(source.slice(at), false);
      tokens.push({ kind: "end", value: "", line });
      return tokens;
    }
    const trims = source[open + 2] === "-" && /\s/.test(source[open + 3] ?? "");
    pushText(source.slice(at, open), trims);
    at = open + (trims ? 3 : 2);
    const comment = /^\s*\/\*/.exec(source.slice(at, at + 64));
    if (comment) {
      const close = source.indexOf("*/", at);
      if (close < 0) fail("unclosed comment");
      const end = /^\s*(-?)\}\}/.exec(source.slice(close + 2, close + 64));
      if (!end) fail("comment ends before closing delimiter");
      line += count(source.slice(at, close + 2 + (end?.[0].length ?? 0)));
      at = close + 2 + (end?.[0].length ?? 0);
      trimNext = end?.[1] === "-";
      continue;
    }
    tokens.push({ kind: "open", value: "{{", line });
    for (;;) {
      const rest = source.slice(at, at + 4);
      if (rest === "") fail("unclosed action");
      if (/^\s-\}\}/.test(rest) || rest.startsWith("}}")) {
        const trimmed = !rest.startsWith("}}");
        if (trimmed && rest.startsWith("\n")) line++;
        tokens.push({ kind: "close", value: "}}", line });
        at += trimmed ? 4 : 2;
        trimNext = trimmed;
        break;
      }
      const token = next(source, at);
      if (!token) {
        const shown =
          source[at] === '"' || source[at] === "`" ? "unterminated quoted string" : `unexpected ${JSON.stringify(source[at])} in command`;
        fail(shown);
      }
      const { kind, text } = token as { kind: Token["kind"]; text: string };
      tokens.push({ kind, value: text, line });
      line += count(text);
      at += text.length;
    }
  }
}

const patterns: [Token["kind"], RegExp][] = [
  ["space", /\s+(?!-\}\})|\s(?!-\}\})/y],
  ["string", /"(?:[^"\\\n]|\\.)*"|`[^`]*`/y],
  ["char", /'(?:[^'\\\n]|\\.)+'/y],
  [
    "number",
    /[+-]?(?:0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO][0-7_]+|(?:\d[\d_]*)?\.\d+(?:[eE][+-]?\d+)?|\d[\d_]*(?:\.\d*)?(?:[eE][+-]?\d+)?)(?![\p{L}\p{N}_])/uy,
  ],
  ["field", /\.[\p{L}_][\p{L}\p{N}_]*/uy],
  ["variable", /\$(?:[\p{L}_][\p{L}\p{N}_]*)?/uy],
  ["word", /[\p{L}_][\p{L}\p{N}_]*/uy],
  ["op", /:=|[.=|(),]/y],
];

function next(source: string, at: number): { kind: Token["kind"]; text: string } | undefined {
  // White space before "-}}" stays out of the token: it belongs to the delimiter.
  const space = /\s+/y;
  space.lastIndex = at;
  const run = space.exec(source)?.[0];
  if (run) {
    const after = source.slice(at + run.length, at + run.length + 3);
    const text = after === "-}}" ? run.slice(0, -1) : run;
    if (text !== "") return { kind: "space", text };
  }
  for (const [kind, pattern] of patterns) {
    if (kind === "space") continue;
    pattern.lastIndex = at;
    const found = pattern.exec(source);
    if (found) return { kind, text: found[0] };
  }
  return undefined;
}

function count(text: string): number {
  let lines = 0;
  for (let i = text.indexOf("\n"); i >= 0; i = text.indexOf("\n", i + 1)) lines++;
  return lines;
}
