// Runs a TypeScript program of this checkout with Bun: node scripts/run.mjs FILE [ARGUMENT ...]
import { spawn } from "node:child_process";
import { join } from "node:path";
import { bun, root } from "./bun.mjs";

const [file, ...args] = process.argv.slice(2);
const child = spawn(bun(), [join(root, file), ...args], { stdio: "inherit" });
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
child.on("exit", (code, signal) => process.exit(code ?? (signal ? 1 : 0)));
