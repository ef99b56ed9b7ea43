// Which log lines are wanted: comma-separated `level`, `target` or `target=level` (spec proxy §1.9). Pure.

export const LEVELS = ["off", "error", "warn", "info", "debug", "trace"] as const;
export type Level = (typeof LEVELS)[number];

export type Filter = {
  /** As it was given. */
  readonly text: string;
  /** The least severe level that is wanted of `target`. Longest prefix wins; nothing matches: warn. */
  level(target: string): Level;
};

/** Directives of one filter; a filter is input of the admin port. */
export const MAX_DIRECTIVES = 64;

/** The filter and the directives that were not understood. */
export function parseFilter(text: string): { filter: Filter; invalid: string[] } {
  const directives = new Map<string, Level>();
  const invalid: string[] = [];
  const parts = text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
  for (const [i, part] of parts.entries()) {
    // Span and field filters select within a target; here only their target and level count.
    const bare = part.replace(/\[[^\]]*\]/, "");
    const match = /^([A-Za-z_][\w:-]*)?(?:=(\w+))?$/.exec(bare);
    const name = match?.[1] ?? "";
    const level = (match?.[2] ?? (isLevel(name) ? name : "trace")).toLowerCase();
    if (!match || !isLevel(level) || i >= MAX_DIRECTIVES || bare === "") invalid.push(part);
    else directives.set(isLevel(name) && match[2] === undefined ? "" : name, level.toLowerCase() as Level);
  }
  const prefixes = [...directives.keys()].sort((a, b) => b.length - a.length);
  return {
    invalid,
    filter: {
      text,
      level(target) {
        for (const prefix of prefixes)
          if (prefix === "" || target === prefix || target.startsWith(`${prefix}::`)) return directives.get(prefix) as Level;
        return "warn";
      },
    },
  };
}

function isLevel(text: string): boolean {
  return (LEVELS as readonly string[]).includes(text.toLowerCase());
}
