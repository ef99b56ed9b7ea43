// Log lines of the controllers: a constant message and fields, as text (logrus's form) or JSON.

export type Level = "debug" | "info" | "warning" | "error";
export type Fields = Readonly<Record<string, string | number | boolean | undefined>>;

export interface Logger {
  debug(message: string, fields?: Fields): void;
  info(message: string, fields?: Fields): void;
  warning(message: string, fields?: Fields): void;
  error(message: string, fields?: Fields): void;
}

const order: readonly Level[] = ["debug", "info", "warning", "error"];

/** `level`: one of the levels, `warn`, `trace`, `panic`, `fatal`, or a filter such as `linkerd=info,warn` whose part for `linkerd` counts. */
export function createLogger({
  level = "info",
  format = "plain",
  component,
  write = (line) => void process.stdout.write(line),
  now = () => new Date(),
}: {
  level?: string;
  format?: string;
  component?: string;
  write?: (line: string) => void;
  now?: () => Date;
} = {}): Logger {
  const least = order.indexOf(parseLevel(level));
  const log = (at: Level, message: string, fields: Fields = {}) => {
    if (order.indexOf(at) < least) return;
    const time = now()
      .toISOString()
      .replace(/\.\d+Z$/, "Z");
    const all = Object.entries({ ...(component ? { component } : {}), ...fields }).filter(([, value]) => value !== undefined);
    if (format === "json") write(`${JSON.stringify({ level: at, msg: message, time, ...Object.fromEntries(all) })}\n`);
    else
      write(
        `time="${time}" level=${at} msg=${quote(message, true)}${all.map(([key, value]) => ` ${key}=${quote(String(value))}`).join("")}\n`,
      );
  };
  return {
    debug: (message, fields) => log("debug", message, fields),
    info: (message, fields) => log("info", message, fields),
    warning: (message, fields) => log("warning", message, fields),
    error: (message, fields) => log("error", message, fields),
  };
}

/** Text that says nothing counts as `info`. */
export function parseLevel(text: string): Level {
  const parts = text.split(",").map((part) => part.trim());
  const wanted =
    parts.find((part) => part.startsWith("linkerd="))?.slice("linkerd=".length) ?? parts.find((part) => !part.includes("=")) ?? "info";
  switch (wanted.toLowerCase()) {
    case "trace":
    case "debug":
      return "debug";
    case "warn":
    case "warning":
      return "warning";
    case "error":
    case "fatal":
    case "panic":
    case "off":
      return "error";
    default:
      return "info";
  }
}

function quote(text: string, always = false): string {
  return always || !/^[A-Za-z0-9_./:@^+-]+$/.test(text) ? JSON.stringify(text) : text;
}
