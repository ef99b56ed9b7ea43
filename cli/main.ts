// The command line: `fairlead COMMAND`.
import { complete } from "./commands/completion.ts";
import { type Env, processIo } from "./io.ts";
import { buildProgram, run } from "./program.ts";

/** Exit status 0 or 1; everything else is said on the streams. */
export async function main(args: string[], env: Env): Promise<number> {
  const io = processIo(env);
  if (args[0] === "__complete") {
    io.stdout(await complete(buildProgram(io), args.slice(1), io));
    return 0;
  }
  return run(args, io);
}
