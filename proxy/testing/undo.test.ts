// What is left when a test is stopped half way.
import { expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

test.each(["by itself", "SIGTERM", "SIGINT"] as const)("a process that ends %s takes along what it made, the latest first", async (how) => {
  const directory = mkdtempSync(join(tmpdir(), "fairlead-undo-"));
  const script = join(directory, "script.ts");
  writeFileSync(
    script,
    `import { appendFileSync } from "node:fs";
     import { undoAtExit } from ${JSON.stringify(join(import.meta.dir, "undo.ts"))};
     const note = (text: string) => () => appendFileSync(${JSON.stringify(join(directory, "undone"))}, text);
     undoAtExit(note("first"));
     undoAtExit(note("early"))();
     undoAtExit(note("second "));
     ${how === "by itself" ? "" : "setInterval(() => {}, 1000);"}
     console.log("ready");`,
  );
  try {
    const child = Bun.spawn([process.execPath, script], { stdout: "pipe" });
    await child.stdout.getReader().read();
    if (how !== "by itself") child.kill(how);
    expect(await child.exited).toBe(how === "by itself" ? 0 : how === "SIGTERM" ? 143 : 130);
    expect(await Bun.file(join(directory, "undone")).text()).toBe("earlysecond first");
  } finally {
    rmSync(directory, { recursive: true });
  }
  expect(existsSync(directory)).toBe(false);
});
