// Log lines in the two forms of the reference, with a filter that can change while the process runs (spec proxy §1.9).
// Contract of #log.
import { type Filter, LEVELS, type Level, parseFilter } from "./filter.ts";

export { type Filter, LEVELS, type Level, MAX_DIRECTIVES, parseFilter } from "./filter.ts";

export type Fields = Readonly<Record<string, unknown>>;
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
    for (const logger of this.#loggers.values()) logger.rank = rankOf(filter.level(logger.target));
  }

  /** The logger of a module path such as `linkerd::inbound`. */
  logger(target: string): Logger {
    let logger = this.#loggers.get(target);
    if (!logger) {
      logger = new TargetLogger(target, rankOf(this.#filter.level(target)), this.#options);
      this.#loggers.set(target, logger);
    }
    return logger;
  }
}

const rankOf = (level: Level): number => LEVELS.indexOf(level);

class TargetLogger implements Logger {
  readonly target: string;
  rank: number;
  readonly #options: LogOptions;

  constructor(target: string, rank: number, options: LogOptions) {
    this.target = target;
    this.rank = rank;
    this.#options = options;
  }

  enabled(level: Level): boolean {
    return rankOf(level) <= this.rank && level !== "off";
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
    if (!this.enabled(level)) return;
    const { format, write, uptimeMs, threadId = 1 } = this.#options;
    const thread = `ThreadId(${String(threadId).padStart(2, "0")})`;
    const time = uptime(uptimeMs());
    if (format === "json") {
      write(
        `${JSON.stringify({ timestamp: time, level: level.toUpperCase(), fields: { message, ...fields }, target: this.target, spans: [], threadId: thread })}\n`,
      );
      return;
    }
    const shown = Object.entries(fields).map(([key, value]) => ` ${key}=${escapeControl(String(value))}`);
    write(`${time} ${level.toUpperCase().padStart(5)} ${thread} ${this.target}: ${escapeControl(message)}${shown.join("")}\n`);
  }
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
