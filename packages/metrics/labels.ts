// Labels as they are printed: `a="1",b="2"`. Values go out verbatim (spec proxy §9.1), except for what would break the line.

export type LabelPairs = ReadonlyArray<readonly [name: string, value: string]>;

/** `` for none. Quotes, backslashes and control characters become `_`: a label must not forge another series. */
export function formatLabels(pairs: LabelPairs): string {
  let text = "";
  for (const [name, value] of pairs) text += `${text === "" ? "" : ","}${name}="${clean(value)}"`;
  return text;
}

/** Joins label texts, leaving out empty ones. */
export function joinLabels(...texts: string[]): string {
  return texts.filter((text) => text !== "").join(",");
}

function clean(value: string): string {
  return /["\\\x00-\x1f\x7f]/.test(value) ? value.replace(/["\\\x00-\x1f\x7f]/g, "_") : value;
}
