// What is wrong with a chart: the template, the line, and the value at fault.

export class TemplateError extends Error {
  override readonly name = "TemplateError";
  /** Path in the chart, e.g. `fairlead-control-plane/templates/identity.yaml`. */
  readonly template: string;
  /** From 1. */
  readonly line: number;

  constructor({ template, line, message, cause }: { template: string; line: number; message: string; cause?: unknown }) {
    super(`${template}:${line}: ${message}`, cause === undefined ? undefined : { cause });
    this.template = template;
    this.line = line;
  }
}
