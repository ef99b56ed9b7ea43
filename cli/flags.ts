// Flags as the reference's flag library (pflag 1.0.5) reads and shows them: type words, defaults, refusals (spec cli §1.7).
import { InvalidArgumentError, Option } from "commander";
import { parseGoDuration } from "#inject";

export type FlagSettings = {
  /** The value without the flag. */
  readonly default?: string | undefined;
  /** Help names it as the default, but the value stays undefined, so that giving it can be told from leaving it out. */
  readonly shown?: string | (() => string) | undefined;
  readonly hidden?: boolean | undefined;
  /** What to use instead: the flag still works, is hidden, and each use says so. */
  readonly deprecated?: string | undefined;
};

/** One flag: `-n, --name <type>`; without a type it is a boolean. */
export class Flag extends Option {
  readonly deprecated: string | undefined;
  readonly #shown: FlagSettings["shown"];

  constructor(flags: string, text: string, { default: value, shown, hidden, deprecated }: FlagSettings = {}) {
    super(flags, text);
    if (value !== undefined) this.default(value);
    this.#shown = shown;
    this.deprecated = deprecated;
    if (hidden || deprecated !== undefined) this.hideHelp();
  }

  /** The default that help names. */
  get shownDefault(): unknown {
    return (typeof this.#shown === "function" ? this.#shown() : this.#shown) ?? this.defaultValue;
  }
}

/** False unless given. */
export function bool(flags: string, text: string, settings: Pick<FlagSettings, "hidden"> = {}): Flag {
  const flag = new Flag(flags, text, settings);
  flag.default(false);
  return flag;
}

export function string(flags: string, text: string, settings?: FlagSettings): Flag {
  return new Flag(`${flags} <string>`, text, settings);
}

/** A whole number of at least 0 and at most `most`, default 2^32 - 1. */
export function uint(flags: string, text: string, settings?: FlagSettings, most = 2 ** 32 - 1): Flag {
  return parsed(new Flag(`${flags} <uint>`, text, settings), (value) => whole(value, most, "Uint"));
}

/** A whole number of at least 0 and at most 2^31 - 1: what user ids are. */
export function uid(flags: string, text: string, settings?: FlagSettings): Flag {
  return parsed(new Flag(`${flags} <int>`, text, settings), (value) => whole(value, 2 ** 31 - 1, "Int"));
}

/** A duration of at least 0 as Go writes it, kept as it was written. */
export function duration(flags: string, text: string, settings?: FlagSettings): Flag {
  return parsed(new Flag(`${flags} <duration>`, text, settings), (value) => {
    const ms = parseGoDuration(value);
    if (ms === undefined || ms < 0) throw new InvalidArgumentError(`time: invalid duration ${JSON.stringify(value)}`);
    return value;
  });
}

/** Comma-separated and repeatable: an array of the items. */
export function strings(flags: string, text: string, settings?: FlagSettings): Flag {
  return parsed(new Flag(`${flags} <strings>`, text, settings), (value, before) => [...(before ?? []), ...value.split(",")]);
}

/** Repeatable, each value kept whole: an array. */
export function stringArray(flags: string, text: string, settings?: FlagSettings): Flag {
  return parsed(new Flag(`${flags} <stringArray>`, text, settings), (value, before) => [...(before ?? []), value]);
}

function parsed(flag: Flag, parse: (value: string, before: string[] | undefined) => unknown): Flag {
  flag.argParser((value, before: unknown) => parse(value, before as string[] | undefined));
  return flag;
}

function whole(value: string, most: number, type: string): number {
  const fail = (why: string) => new InvalidArgumentError(`strconv.Parse${type}: parsing ${JSON.stringify(value)}: ${why}`);
  if (!/^\d+$/.test(value)) throw fail("invalid syntax");
  if (Number(value) > most) throw fail("value out of range");
  return Number(value);
}
