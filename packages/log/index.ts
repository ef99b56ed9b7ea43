// Log lines in the two forms of the reference, with a filter that can change while the process runs (spec proxy §1.9).
// Contract of #log.
import { type Fields, type Filter, LEVELS, type Level, parseFilter, type Span } from "./filter.ts";

export { type Fields, type Filter, LEVELS, type Level, MAX_DIRECTIVES, parseFilter, type Span } from "./filter.ts";
export { LineOutput, type LineStream, MAX_WAITING_LENGTH } from "./output.ts";

export type Format = "plain" | "json";

/** A logger of one target. A level that is off costs one comparison. */
export interface Logger {
  readonly target: string;
  enabled(level: Level): boolean;
  error(message: string, fields?: Fields): void;
  warn(message: string, fields?: Fields): void;
  info(message: string, fields?: Fields): void;
  debug(message: string, fields?: Fields): void;
  trace(message: string, fields?: Fields): void;
  log(level: Level, message: string, fields?: Fields): void;
  /** A logger of the same target within one more span. */
  within(name: string, fields?: Fields): Logger;
}

export type LogOptions = {
  readonly filter: string;
  readonly format: Format;
  /** Takes whole lines. */
  readonly write: (line: string) => void;
  /** Monotonic ms since the process started. */
  readonly uptimeMs: () => number;
  readonly threadId?: number;
};

/** The process's log. Loggers made from it follow its filter. */
export class Log {
  readonly #options: LogOptions;
  readonly #loggers = new Map<string, TargetLogger>();
  #filter: Filter;
  /** Directives of the first filter that were not understood. */
  readonly invalid: readonly string[];

  constructor(options: LogOptions) {
    this.#options = options;
    const { filter, invalid } = parseFilter(options.filter);
    this.#filter = filter;
    this.invalid = invalid;
  }

  get filter(): string {
    return this.#filter.text;
  }

  /** Begun with the filter `off`: there is no log, and none can be had later (spec proxy §1.4). */
  get disabled(): boolean {
    return this.#options.filter.trim().toLowerCase() === "off";
  }

  /** Replaces the filter. @throws {RangeError} naming the directives that are not understood; nothing changes then */
  setFilter(text: string): void {
    const { filter, invalid } = parseFilter(text);
    if (invalid.length > 0) throw new RangeError(`invalid filter directive: ${invalid.join(", ")}`);
    this.#filter = filter;
    for (const logger of this.#loggers.values()) logger.levels.follow(filter);
  }

  /** The logger of a module path such as `linkerd::inbound`. */
  logger(target: string): Logger {
    let logger = this.#loggers.get(target);
    if (!logger) {
      logger = new TargetLogger(new Levels(target, this.#filter), [], this.#options);
      this.#loggers.set(target, logger);
    }
    return logger;
  }
}

const rankOf = (level: Level): number => LEVELS.indexOf(level);

/** What the filter of the moment wants of one target; shared by its loggers. */
class Levels {
  readonly target: string;
  filter: Filter;
  /** Rank of what is wanted by itself. */
  rank = 0;
  /** Rank of what is wanted under some condition; -1: there is none. */
  conditional = -1;

  constructor(target: string, filter: Filter) {
    this.target = target;
    this.filter = filter;
    this.follow(filter);
  }

  follow(filter: Filter): void {
    this.filter = filter;
    this.rank = rankOf(filter.level(this.target));
    const most = filter.mostConditional(this.target);
    this.conditional = most === null ? -1 : rankOf(most);
  }
}

class TargetLogger implements Logger {
  readonly levels: Levels;
  readonly #spans: readonly Span[];
  readonly #options: LogOptions;

  constructor(levels: Levels, spans: readonly Span[], options: LogOptions) {
    this.levels = levels;
    this.#spans = spans;
    this.#options = options;
  }

  get target(): string {
    return this.levels.target;
  }

  within(name: string, fields: Fields = {}): Logger {
    return new TargetLogger(this.levels, [...this.#spans, { name, fields }], this.#options);
  }

  /** True also when the line's own fields are to decide. */
  enabled(level: Level): boolean {
    const rank = rankOf(level);
    return level !== "off" && (rank <= this.levels.rank || rank <= this.levels.conditional);
  }

  error(message: string, fields?: Fields): void {
    this.log("error", message, fields);
  }
  warn(message: string, fields?: Fields): void {
    this.log("warn", message, fields);
  }
  info(message: string, fields?: Fields): void {
    this.log("info", message, fields);
  }
  debug(message: string, fields?: Fields): void {
    this.log("debug", message, fields);
  }
  trace(message: string, fields?: Fields): void {
    this.log("trace", message, fields);
  }

  log(level: Level, message: string, fields: Fields = {}): void {
    if (!this.enabled(level) || !this.#wants(level, fields)) return;
    const { format, write, uptimeMs, threadId = 1 } = this.#options;
    const time = uptime(uptimeMs());
    if (format === "json") {
      const line = {
        timestamp: time,
        level: level.toUpperCase(),
        fields: { message, ...fields },
        target: this.target,
        spans: this.#spans.map((span) => ({ ...span.fields, name: span.name })),
        threadId: `ThreadId(${threadId})`,
      };
      write(`${escapeJson(JSON.stringify(line, (_, value: unknown) => (typeof value === "bigint" ? String(value) : value)))}\n`);
      return;
    }
    const thread = `ThreadId(${String(threadId).padStart(2, "0")})`;
    const spans = this.#spans.map((span) => `${span.name}${braces(span.fields)}:`).join("");
    const shown = pairs(fields).map((pair) => ` ${pair}`);
    write(
      `${time} ${level.toUpperCase().padStart(5)} ${thread} ${spans === "" ? "" : `${spans} `}${this.target}: ${escapeControl(message)}${shown.join("")}\n`,
    );
  }

  #wants(level: Level, fields: Fields): boolean {
    const rank = rankOf(level);
    if (rank <= this.levels.rank) return true;
    const wanted = this.levels.filter.conditional(this.target, this.#spans, fields);
    return wanted !== null && rank <= rankOf(wanted);
  }
}

const pairs = (fields: Fields): string[] => Object.entries(fields).map(([key, value]) => `${key}=${escapeControl(String(value))}`);

/** Fields of a span: `{a=1 b=2}`, nothing without. */
function braces(fields: Fields): string {
  const shown = pairs(fields);
  return shown.length === 0 ? "" : `{${shown.join(" ")}}`;
}

/** `[     1.234567s]`: seconds since the start. */
function uptime(ms: number): string {
  const micros = Math.floor(ms * 1000);
  return `[${String(Math.floor(micros / 1e6)).padStart(6)}.${String(micros % 1e6).padStart(6, "0")}s]`;
}

/** A peer's bytes must not forge lines or drive a terminal: control characters become `\xNN` (spec hardening §3 row 35). */
export function escapeControl(text: string): string {
  return text.replace(/[\x00-\x1f\x7f-\x9f]/g, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`);
}

/** JSON has escaped the lower control characters; a terminal obeys the upper ones too. */
function escapeJson(json: string): string {
  return json.replace(/[\x7f-\x9f]/g, (char) => `\\u00${char.charCodeAt(0).toString(16)}`);
}
