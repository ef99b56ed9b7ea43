// One line per record on standard error: time, level, constant message, fields.

export type Level = "debug" | "info" | "warn" | "error";
export type Log = (level: Level, message: string, fields?: Record<string, unknown>) => void;

/** Longest value of a field; what is longer is cut. */
const maxValueChars = 1_000;

export function lineLog({
  write,
  now = Date.now,
  debug = false,
}: {
  write: (line: string) => void;
  now?: () => number;
  debug?: boolean;
}): Log {
  return (level, message, fields = {}) => {
    if (level === "debug" && !debug) return;
    const parts = Object.entries(fields)
      .filter(([, value]) => value !== undefined)
      .map(
        ([name, value]) =>
          `${name}=${quote(value instanceof Error ? value.message : typeof value === "string" ? value : JSON.stringify(value))}`,
      );
    write(`${new Date(now()).toISOString()} ${level.toUpperCase().padEnd(5)} ${[message, ...parts].join(" ")}\n`);
  };
}

function quote(value: string | undefined): string {
  const text = (value ?? "").slice(0, maxValueChars);
  return /^[\w./:@+-]+$/.test(text) ? text : JSON.stringify(text);
}
