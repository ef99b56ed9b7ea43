// Go's template language as a tree: actions, pipelines, and the named templates of a file.
import { TemplateError } from "./errors.ts";
import { lex, type Token } from "./lex.ts";

export type Expression = { readonly line: number } & (
  | { readonly kind: "literal"; readonly value: string | number | boolean | null }
  | { readonly kind: "dot" }
  | { readonly kind: "variable"; readonly name: string }
  | { readonly kind: "field"; readonly on: Expression | null; readonly path: readonly string[] }
  | { readonly kind: "function"; readonly name: string }
  | { readonly kind: "pipeline"; readonly pipeline: Pipeline }
);

/** One command: a value, or a function (method) with its arguments. */
export type Command = { readonly line: number; readonly words: readonly Expression[] };

export type Pipeline = {
  readonly line: number;
  readonly declares: readonly string[];
  readonly assigns: boolean;
  readonly commands: readonly Command[];
};

export type Node = { readonly line: number } & (
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "action"; readonly pipeline: Pipeline }
  | {
      readonly kind: "if" | "with" | "range";
      readonly pipeline: Pipeline;
      readonly body: readonly Node[];
      readonly otherwise: readonly Node[];
    }
  | { readonly kind: "template"; readonly name: string; readonly pipeline: Pipeline | null }
  | { readonly kind: "break" | "continue" }
);

export type ParsedTemplate = { readonly body: readonly Node[]; readonly defines: ReadonlyMap<string, readonly Node[]> };

/** Deepest nesting of actions and parentheses in one template. */
export const maxParseDepth = 200;

/** @throws {TemplateError} naming template, line and what was found. */
export function parseTemplate(name: string, source: string): ParsedTemplate {
  return new Parser(name, lex(name, source)).parse();
}

class Parser {
  readonly #name: string;
  readonly #tokens: Token[];
  readonly #defines = new Map<string, readonly Node[]>();
  #at = 0;
  #depth = 0;
  #loops = 0;

  constructor(name: string, tokens: Token[]) {
    this.#name = name;
    this.#tokens = tokens;
  }

  parse(): ParsedTemplate {
    const { nodes, stop } = this.#nodes();
    if (stop !== "end") this.#fail(`unexpected ${stop}`);
    return { body: nodes, defines: this.#defines };
  }

  get #token(): Token {
    return this.#tokens[this.#at] as Token;
  }

  #fail(message: string): never {
    throw new TemplateError({ template: this.#name, line: this.#token.line, message });
  }

  #skip(): void {
    while (this.#token.kind === "space") this.#at++;
  }

  /** Nodes up to `{{end}}`, `{{else …}}` or the end of the text; the keyword is consumed, what follows it is not. */
  #nodes(): { nodes: Node[]; stop: "end" | "{{end}}" | "{{else}}" } {
    if (++this.#depth > maxParseDepth) this.#fail(`nested deeper than ${maxParseDepth}`);
    const nodes: Node[] = [];
    for (;;) {
      const token = this.#token;
      if (token.kind === "end") {
        this.#depth--;
        return { nodes, stop: "end" };
      }
      this.#at++;
      if (token.kind === "text") {
        nodes.push({ kind: "text", text: token.value, line: token.line });
        continue;
      }
      this.#skip();
      const word = this.#token;
      if (word.kind === "word") {
        switch (word.value) {
          case "end":
          case "else":
            this.#at++;
            this.#depth--;
            return { nodes, stop: word.value === "end" ? "{{end}}" : "{{else}}" };
          case "if":
          case "with":
          case "range":
            this.#at++;
            nodes.push(this.#control(word.value, word.line));
            continue;
          case "define":
            this.#at++;
            this.#define();
            continue;
          case "block": {
            this.#at++;
            const name = this.#quoted("block");
            const pipeline = this.#pipeline();
            this.#close();
            this.#defines.set(name, this.#body("block"));
            nodes.push({ kind: "template", name, pipeline, line: word.line });
            continue;
          }
          case "template": {
            this.#at++;
            const name = this.#quoted("template");
            this.#skip();
            const pipeline = this.#token.kind === "close" ? null : this.#pipeline();
            this.#close();
            nodes.push({ kind: "template", name, pipeline, line: word.line });
            continue;
          }
          case "break":
          case "continue":
            if (this.#loops === 0) this.#fail(`{{${word.value}}} outside {{range}}`);
            this.#at++;
            this.#close();
            nodes.push({ kind: word.value, line: word.line });
            continue;
        }
      }
      const pipeline = this.#pipeline();
      this.#close();
      nodes.push({ kind: "action", pipeline, line: token.line });
    }
  }

  #define(): void {
    const name = this.#quoted("define");
    this.#close();
    this.#defines.set(name, this.#body("define"));
  }

  /** The body of a define or block, which takes no else. */
  #body(what: string): readonly Node[] {
    const loops = this.#loops;
    this.#loops = 0;
    const { nodes, stop } = this.#nodes();
    this.#loops = loops;
    if (stop !== "{{end}}") this.#fail(stop === "end" ? `{{${what}}} without {{end}}` : `unexpected ${stop} in {{${what}}}`);
    this.#close();
    return nodes;
  }

  #control(kind: "if" | "with" | "range", line: number): Node {
    const pipeline = this.#pipeline(kind === "range");
    this.#close();
    if (kind === "range") this.#loops++;
    const { nodes: body, stop } = this.#nodes();
    if (kind === "range") this.#loops--;
    if (stop === "end") this.#fail(`{{${kind}}} of line ${line} without {{end}}`);
    let otherwise: readonly Node[] = [];
    if (stop === "{{else}}") {
      this.#skip();
      const next = this.#token;
      if (next.kind === "word" && (next.value === "if" || next.value === "with") && kind !== "range") {
        this.#at++;
        // The nested action takes the one {{end}} that closes both.
        return { kind, pipeline, body, otherwise: [this.#control(next.value, next.line)], line };
      }
      this.#close();
      const rest = this.#nodes();
      if (rest.stop !== "{{end}}")
        this.#fail(rest.stop === "end" ? `{{${kind}}} of line ${line} without {{end}}` : "expected {{end}} after {{else}}");
      otherwise = rest.nodes;
    }
    this.#close();
    return { kind, pipeline, body, otherwise, line };
  }

  #close(): void {
    this.#skip();
    if (this.#token.kind !== "close") this.#fail(`unexpected ${JSON.stringify(this.#token.value)} in action`);
    this.#at++;
  }

  #quoted(what: string): string {
    this.#skip();
    const token = this.#token;
    if (token.kind !== "string") this.#fail(`{{${what}}} needs the name of a template in quotes`);
    this.#at++;
    return unquote(token.value);
  }

  #pipeline(range = false): Pipeline {
    if (++this.#depth > maxParseDepth) this.#fail(`nested deeper than ${maxParseDepth}`);
    this.#skip();
    const line = this.#token.line;
    const { declares, assigns } = this.#declaration(range);
    const commands: Command[] = [];
    for (;;) {
      commands.push(this.#command());
      this.#skip();
      if (this.#token.kind === "op" && this.#token.value === "|") {
        this.#at++;
        continue;
      }
      this.#depth--;
      return { line, declares, assigns, commands };
    }
  }

  /** `$a :=`, `$a =`, and in a range `$k, $v :=`. */
  #declaration(range: boolean): { declares: string[]; assigns: boolean } {
    const start = this.#at;
    const names: string[] = [];
    while (this.#token.kind === "variable") {
      names.push(this.#token.value);
      this.#at++;
      this.#skip();
      const op = this.#token;
      if (op.kind === "op" && (op.value === ":=" || op.value === "=")) {
        this.#at++;
        return { declares: names, assigns: op.value === "=" };
      }
      if (range && names.length === 1 && op.kind === "op" && op.value === ",") {
        this.#at++;
        this.#skip();
        continue;
      }
      break;
    }
    this.#at = start;
    return { declares: [], assigns: false };
  }

  #command(): Command {
    this.#skip();
    const line = this.#token.line;
    const words: Expression[] = [];
    for (;;) {
      const expression = this.#operand();
      if (expression) words.push(expression);
      if (this.#token.kind === "space") {
        this.#skip();
        if (expression) continue;
      }
      const { kind, value } = this.#token;
      if (kind === "close" || (kind === "op" && (value === "|" || value === ")"))) break;
      this.#fail(`unexpected ${JSON.stringify(value)} in operand`);
    }
    if (words.length === 0) this.#fail("missing value for command");
    return { line, words };
  }

  #operand(): Expression | undefined {
    const token = this.#token;
    const { line } = token;
    let base: Expression | undefined;
    switch (token.kind) {
      case "string":
        base = { kind: "literal", value: unquote(token.value), line };
        break;
      case "char":
        base = { kind: "literal", value: unquote(`"${token.value.slice(1, -1)}"`).codePointAt(0) ?? 0, line };
        break;
      case "number":
        base = { kind: "literal", value: Number(token.value.replaceAll("_", "").replace(/^\+/, "")), line };
        break;
      case "word":
        if (token.value === "true" || token.value === "false") base = { kind: "literal", value: token.value === "true", line };
        else if (token.value === "nil") base = { kind: "literal", value: null, line };
        else base = { kind: "function", name: token.value, line };
        break;
      case "variable":
        base = { kind: "variable", name: token.value, line };
        break;
      case "field":
        return this.#fields(null, line);
      case "op":
        if (token.value === ".") {
          base = { kind: "dot", line };
          break;
        }
        if (token.value === "(") {
          this.#at++;
          const pipeline = this.#pipeline();
          this.#skip();
          if (!(this.#token.kind === "op" && this.#token.value === ")")) this.#fail("unclosed left paren");
          base = { kind: "pipeline", pipeline, line };
          break;
        }
        return undefined;
      default:
        return undefined;
    }
    this.#at++;
    return this.#token.kind === "field" ? this.#fields(base, line) : base;
  }

  #fields(on: Expression | null, line: number): Expression {
    const path: string[] = [];
    while (this.#token.kind === "field") {
      path.push(this.#token.value.slice(1));
      this.#at++;
    }
    return { kind: "field", on, path, line };
  }
}

const escapes: Record<string, string> = { n: "\n", t: "\t", r: "\r", '"': '"', "'": "'", "\\": "\\", a: "\x07", b: "\b", f: "\f", v: "\v" };

function unquote(text: string): string {
  if (text.startsWith("`")) return text.slice(1, -1);
  return text.slice(1, -1).replace(/\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|.)/g, (whole, code: string) => {
    if (/^[xuU]./.test(code)) return String.fromCodePoint(Number.parseInt(code.slice(1), 16));
    if (/^[0-7]{3}$/.test(code)) return String.fromCodePoint(Number.parseInt(code, 8));
    return escapes[code] ?? whole;
  });
}
