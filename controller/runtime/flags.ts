// Flags of the controllers: Go's and clap's habits in one (`-name=value`, `--name value`, booleans without a value).

export type FlagSpec = { readonly default: string; readonly help: string /** True: may stand without a value. */; readonly bool?: boolean };

export class FlagError extends Error {
  override readonly name = "FlagError";
}

/**
 * Values by flag name, defaults filled in.
 * @throws {FlagError} naming the flag.
 */
export function parseFlags<const S extends Record<string, FlagSpec>>(specs: S, args: readonly string[]): Record<keyof S, string> {
  const values: Record<string, string> = Object.fromEntries(Object.entries(specs).map(([name, spec]) => [name, spec.default]));
  for (let i = 0; i < args.length; i++) {
    const arg = args[i] as string;
    const found = /^--?([A-Za-z0-9][A-Za-z0-9-]*)(?:=([\s\S]*))?$/.exec(arg);
    if (!found) throw new FlagError(`unexpected argument ${JSON.stringify(arg)}`);
    const name = found[1] as string;
    const spec = Object.hasOwn(specs, name) ? specs[name] : undefined;
    if (!spec) throw new FlagError(`flag provided but not defined: -${name}`);
    if (found[2] !== undefined) values[name] = found[2];
    else if (spec.bool) values[name] = "true";
    else {
      const next = args[++i];
      if (next === undefined) throw new FlagError(`flag needs an argument: -${name}`);
      values[name] = next;
    }
    if (spec.bool && !["true", "false"].includes(values[name] as string))
      throw new FlagError(`invalid boolean value ${JSON.stringify(values[name])} for -${name}`);
  }
  return values as Record<keyof S, string>;
}

/** `host:port` or `:port`; @throws {FlagError} naming the flag. */
export function parseAddress(flag: string, value: string): { host: string; port: number } {
  const found = /^([^:]*):(\d{1,5})$/.exec(value);
  if (!found || Number(found[2]) > 65535) throw new FlagError(`-${flag}: ${JSON.stringify(value)} is not an address (host:port)`);
  return { host: found[1] || "0.0.0.0", port: Number(found[2]) };
}
