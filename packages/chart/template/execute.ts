// Runs parsed templates over data, as Go's text/template does with Helm's settings (missing keys are empty).
import { TemplateError } from "./errors.ts";
import type { Command, Expression, Node, Pipeline } from "./parse.ts";
import { compareStrings, display, isMapping, isTrue, kindOf, Native, own, print } from "./value.ts";

/** A function of the template language; throwing gives an error at the place of the call. */
export type TemplateFunction = (args: readonly unknown[], call: CallContext) => unknown;

/** What functions that run templates need. */
export interface CallContext {
  /** The named template run over `data`. */
  include(name: string, data: unknown): string;
  /** `text` parsed and run over `data`. */
  tpl(text: string, data: unknown): string;
}

export type TemplateSet = {
  /** Bodies by the name of file or define. */
  readonly named: ReadonlyMap<string, { readonly file: string; readonly body: readonly Node[] }>;
  readonly functions: Readonly<Record<string, TemplateFunction>>;
  /** Parses a text handed to `tpl` into a set that also sees this one's templates. */
  readonly extend: (text: string) => TemplateSet & { readonly entry: string };
};

/** Deepest chain of includes; a template that includes itself without end stops here. */
export const maxIncludeDepth = 200;
/** Longest text one template may become, in UTF-16 units. */
export const maxOutputLength = 64 * 1024 * 1024;

/** @throws {TemplateError} */
export function execute(set: TemplateSet, name: string, data: unknown): string {
  return new Run(set, 0).named(name, data, undefined);
}

type Scope = { readonly values: Map<string, unknown>; readonly outer: Scope | null };

class LoopSignal {
  readonly kind: "break" | "continue";
  constructor(kind: "break" | "continue") {
    this.kind = kind;
  }
}

class Run {
  readonly #set: TemplateSet;
  readonly #depth: number;
  #file = "";
  #out = "";

  constructor(set: TemplateSet, depth: number) {
    this.#set = set;
    this.#depth = depth;
  }

  named(name: string, data: unknown, at: { file: string; line: number } | undefined): string {
    const found = this.#set.named.get(name);
    if (!found)
      throw new TemplateError({ template: at?.file ?? name, line: at?.line ?? 1, message: `no template ${JSON.stringify(name)}` });
    if (this.#depth > maxIncludeDepth)
      throw new TemplateError({
        template: found.file,
        line: found.body[0]?.line ?? 1,
        message: `template ${JSON.stringify(name)}: included more than ${maxIncludeDepth} deep`,
      });
    this.#file = found.file;
    this.#nodes(found.body, data, { values: new Map([["$", data]]), outer: null });
    return this.#out;
  }

  #fail(line: number, message: string, cause?: unknown): never {
    throw new TemplateError({ template: this.#file, line, message, cause });
  }

  #nodes(nodes: readonly Node[], dot: unknown, scope: Scope): void {
    for (const node of nodes) {
      switch (node.kind) {
        case "text":
          this.#write(node.text, node.line);
          break;
        case "action": {
          const value = this.#pipeline(node.pipeline, dot, scope);
          if (node.pipeline.declares.length === 0) this.#write(print(value), node.line);
          break;
        }
        case "if":
        case "with": {
          const inner: Scope = { values: new Map(), outer: scope };
          const value = this.#pipeline(node.pipeline, dot, inner);
          if (isTrue(value)) this.#nodes(node.body, node.kind === "with" ? value : dot, inner);
          else this.#nodes(node.otherwise, dot, inner);
          break;
        }
        case "range":
          this.#range(node.pipeline, node.body, node.otherwise, dot, scope);
          break;
        case "template": {
          const data = node.pipeline ? this.#pipeline(node.pipeline, dot, scope) : undefined;
          this.#write(new Run(this.#set, this.#depth + 1).named(node.name, data, { file: this.#file, line: node.line }), node.line);
          break;
        }
        case "break":
        case "continue":
          throw new LoopSignal(node.kind);
      }
    }
  }

  #write(text: string, line: number): void {
    this.#out += text;
    if (this.#out.length > maxOutputLength) this.#fail(line, `the output is longer than ${maxOutputLength}`);
  }

  #range(pipeline: Pipeline, body: readonly Node[], otherwise: readonly Node[], dot: unknown, scope: Scope): void {
    const outer: Scope = { values: new Map(), outer: scope };
    const value = this.#pipeline({ ...pipeline, declares: [] }, dot, outer);
    let entries: [unknown, unknown][];
    if (Array.isArray(value)) entries = value.map((one, index) => [index, one]);
    else if (isMapping(value)) {
      entries = Object.keys(value)
        .sort(compareStrings)
        .map((key) => [key, value[key]]);
    } else if (typeof value === "number" && Number.isInteger(value))
      entries = Array.from({ length: Math.max(0, Math.min(value, 100_000)) }, (_, index) => [index, index]);
    else if (value === undefined || value === null) entries = [];
    else this.#fail(pipeline.line, `range can't iterate over ${shown(value)}`);
    if (entries.length === 0) {
      this.#nodes(otherwise, dot, outer);
      return;
    }
    for (const [key, one] of entries) {
      const inner: Scope = { values: new Map(), outer };
      const [first, second] = pipeline.declares;
      if (second !== undefined) {
        inner.values.set(first as string, key);
        inner.values.set(second, one);
      } else if (first !== undefined) inner.values.set(first, one);
      try {
        this.#nodes(body, one, inner);
      } catch (signal) {
        if (!(signal instanceof LoopSignal)) throw signal;
        if (signal.kind === "break") return;
      }
    }
  }

  #pipeline(pipeline: Pipeline, dot: unknown, scope: Scope): unknown {
    let value: unknown;
    let piped = false;
    for (const command of pipeline.commands) {
      value = this.#command(command, dot, scope, piped ? [value] : []);
      piped = true;
    }
    for (const name of pipeline.declares) {
      if (!pipeline.assigns) scope.values.set(name, value);
      else {
        let at: Scope | null = scope;
        while (at && !at.values.has(name)) at = at.outer;
        if (!at) this.#fail(pipeline.line, `undefined variable "${name}"`);
        at.values.set(name, value);
      }
    }
    return value;
  }

  #command({ words, line }: Command, dot: unknown, scope: Scope, piped: readonly unknown[]): unknown {
    const [first, ...rest] = words as [Expression, ...Expression[]];
    if (first.kind === "function") return this.#call(first.name, rest, dot, scope, piped, line);
    if (first.kind === "field") {
      const args = [...rest.map((word) => this.#value(word, dot, scope)), ...piped];
      return this.#fields(first, dot, scope, args);
    }
    if (rest.length > 0 || piped.length > 0) this.#fail(line, `can't give argument to non-function ${text(first)}`);
    return this.#value(first, dot, scope);
  }

  #call(name: string, words: readonly Expression[], dot: unknown, scope: Scope, piped: readonly unknown[], line: number): unknown {
    if (name === "and" || name === "or") {
      // Evaluated only as far as needed.
      let value: unknown;
      for (const word of words) {
        value = this.#value(word, dot, scope);
        if (isTrue(value) === (name === "or")) return value;
      }
      return piped.length > 0 ? piped[0] : value;
    }
    const call = own(this.#set.functions as Record<string, unknown>, name) as TemplateFunction | undefined;
    if (!call) this.#fail(line, `function "${name}" not defined`);
    const args = [...words.map((word) => this.#value(word, dot, scope)), ...piped];
    const context: CallContext = {
      include: (template, data) => new Run(this.#set, this.#depth + 1).named(template, data, { file: this.#file, line }),
      tpl: (source, data) => {
        const extended = this.#set.extend(source);
        return new Run(extended, this.#depth + 1).named(extended.entry, data, { file: this.#file, line });
      },
    };
    try {
      return call(args, context);
    } catch (error) {
      if (error instanceof TemplateError || !(error instanceof Error) || error instanceof PendingValue) throw error;
      const given = words.map(text).join(" ");
      this.#fail(
        line,
        name === "fail" || name === "required"
          ? `${given && name === "required" ? `${text(words[1] ?? (words[0] as Expression))}: ` : ""}${error.message}`
          : `${name}${given ? ` ${given}` : ""}: ${error.message}`,
        error,
      );
    }
  }

  #value(expression: Expression, dot: unknown, scope: Scope): unknown {
    switch (expression.kind) {
      case "literal":
        return expression.value;
      case "dot":
        return dot;
      case "variable":
        return this.#variable(expression.name, scope, expression.line);
      case "pipeline":
        return this.#pipeline(expression.pipeline, dot, { values: new Map(), outer: scope });
      case "function":
        return this.#call(expression.name, [], dot, scope, [], expression.line);
      case "field":
        return this.#fields(expression, dot, scope, []);
    }
  }

  #variable(name: string, scope: Scope, line: number): unknown {
    for (let at: Scope | null = scope; at; at = at.outer) if (at.values.has(name)) return at.values.get(name);
    return this.#fail(line, `undefined variable "${name}"`);
  }

  #fields(expression: Extract<Expression, { kind: "field" }>, dot: unknown, scope: Scope, args: readonly unknown[]): unknown {
    const { on, path, line } = expression;
    let value = on ? this.#value(on, dot, scope) : dot;
    const origin = on ? text(on) : "";
    path.forEach((name, index) => {
      const sofar = () =>
        `${origin}${path
          .slice(0, index)
          .map((one) => `.${one}`)
          .join("")}`;
      const last = index === path.length - 1;
      if (value instanceof Native) {
        const member = value.member(name);
        if (member === undefined) this.#fail(line, `${sofar() || "."} (${value.typeName}) has no field or method "${name}"`);
        value = typeof member === "function" ? this.#method(member as (...given: unknown[]) => unknown, last ? args : [], line) : member;
        return;
      }
      if (value === undefined || value === null) {
        // A missing value on the way; only the last step may be missing.
        if (index === 0 && !on) {
          value = undefined;
          return;
        }
        this.#fail(line, `nil pointer evaluating ${sofar() || origin || "."}.${name}: ${sofar() || origin || "."} is not set`);
      }
      if (!isMapping(value)) this.#fail(line, `can't evaluate field ${name} of ${sofar() || origin || "."}, which is ${shown(value)}`);
      value = own(value, name);
      if (last && args.length > 0) this.#fail(line, `${sofar()}.${name} is not a method but has arguments`);
    });
    return value;
  }

  #method(method: (...given: unknown[]) => unknown, args: readonly unknown[], line: number): unknown {
    try {
      return method(...args);
    } catch (error) {
      return this.#fail(line, (error as Error).message, error);
    }
  }
}

/** Thrown by a function whose value must be awaited outside; the template is run again when it is there. */
export class PendingValue extends Error {
  readonly key: string;
  readonly make: () => Promise<unknown>;
  constructor(key: string, make: () => Promise<unknown>) {
    super(`waiting for ${key}`);
    this.key = key;
    this.make = make;
  }
}

function shown(value: unknown): string {
  const printed = display(value);
  return `the ${kindOf(value)} ${printed.length > 60 ? `${printed.slice(0, 60)}…` : printed}`;
}

/** An expression as it stands in the template, for messages. */
function text(expression: Expression): string {
  switch (expression.kind) {
    case "literal":
      return typeof expression.value === "string" ? JSON.stringify(expression.value) : String(expression.value ?? "nil");
    case "dot":
      return ".";
    case "variable":
    case "function":
      return expression.name;
    case "field":
      return `${expression.on ? text(expression.on) : ""}${expression.path.map((one) => `.${one}`).join("")}`;
    case "pipeline":
      return `(${expression.pipeline.commands.map((command) => command.words.map(text).join(" ")).join(" | ")})`;
  }
}
