// npm test: every *.test.ts, closing with one line "N passed, N failed[, N skipped]". Arguments are passed to `bun test`.
import { spawn, spawnSync } from "node:child_process";
import { join } from "node:path";
import { bun, root } from "./bun.mjs";

spawnSync(bun(), [join(root, "scripts", "debian.ts")], { stdio: ["ignore", 1, 2] });
// A test that has not ended after half a minute never will; a busy machine may need seconds where a quiet one needs a blink.
const child = spawn(bun(), ["test", "--timeout=30000", ...process.argv.slice(2)], { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
let tail = "";
for (const stream of [child.stdout, child.stderr]) {
  stream.on("data", (chunk) => {
    process.stdout.write(chunk);
    tail = (tail + chunk.toString("latin1")).slice(-65536);
  });
}
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => child.kill(signal));
child.on("close", (code) => {
  const count = (word) => Number([...tail.matchAll(new RegExp(`^\\s*(\\d+) ${word}$`, "gm"))].at(-1)?.[1] ?? 0);
  const passed = count("pass");
  const skipped = count("skip") + count("todo");
  const failed = count("fail") || (code === 0 ? 0 : 1);
  console.log(`${passed} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ""}`);
  process.exit(failed === 0 && passed > 0 ? 0 : 1);
});
