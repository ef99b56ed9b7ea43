// npm run build: dist/fairlead, one self-contained executable (Bun's runtime and every role), and dist/emojivoto, the sample.
import { mkdirSync, statSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dir, "..");

/** Entry points and what they become. */
const programs = { fairlead: "main.ts", emojivoto: "examples/emojivoto/main.ts" } as const;

/** Compiles one program into a directory, `dist/` by default; returns its path. Throws with the compiler's messages. */
export function compile(program: keyof typeof programs, directory: string = join(root, "dist")): string {
  mkdirSync(directory, { recursive: true });
  const out = join(directory, program);
  // Split and precompiled, a role starts in tens of milliseconds and loads only its own code. Not --smol: it collects so often that large
  // bodies cost 70 % more CPU and the slowest requests 4 ms (bench, P5 and P6).
  const args = [
    "build",
    "--compile",
    "--splitting",
    "--bytecode",
    "--format=esm",
    "--minify-syntax",
    "--minify-whitespace",
    "--sourcemap=none",
  ];
  // A mesh's executable takes its settings from flags and documented variables only.
  args.push("--no-compile-autoload-dotenv", "--no-compile-autoload-bunfig", "--target=bun", `--outfile=${out}`, programs[program]);
  const built = Bun.spawnSync([process.execPath, ...args], { cwd: root, stdout: "pipe", stderr: "pipe" });
  if (built.exitCode !== 0) throw new Error(`bun ${args.join(" ")}\n${built.stderr}${built.stdout}`);
  return out;
}

if (import.meta.main) {
  const only = process.argv.slice(2);
  for (const program of Object.keys(programs) as (keyof typeof programs)[]) {
    if (only.length > 0 && !only.includes(program)) continue;
    const out = compile(program);
    console.log(`dist/${program}  ${(statSync(out).size / 1e6).toFixed(0)} MB`);
  }
}
