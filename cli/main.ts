// The command line: `fairlead COMMAND`.
import { type Env, flushed, processIo } from "./io.ts";
import { run } from "./program.ts";

/** Exit status 0 or 1; everything else is said on the streams. */
export async function main(args: string[], env: Env): Promise<number> {
  // A reader that has seen enough, as in `fairlead install | head`, is no failure worth a word.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});
  const status = await run(args, processIo(env));
  // The caller ends the process, and with it what a slow reader of a pipe has not taken yet.
  await Promise.all([flushed(process.stdout), flushed(process.stderr)]);
  return status;
}
