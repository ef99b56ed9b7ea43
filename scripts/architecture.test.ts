// The house rules of ARCHITECTURE.md: arrows between folders point one way, and the engines' cores stay pure.
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";

const root = resolve(import.meta.dir, "..");
const aliases = (JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { imports: Record<string, string> }).imports;
const files = [
  ...new Bun.Glob("{api,packages,proxy,proxy-init,controller,cli,extensions,cluster,e2e}/**/*.ts").scanSync({ cwd: root }),
].filter((file) => !file.includes("node_modules"));

/** What a folder may import besides itself. */
const allowed: Record<string, readonly string[]> = {
  api: [],
  packages: ["api"],
  proxy: ["api", "packages"],
  "proxy-init": ["packages"],
  controller: ["api", "packages"],
  cluster: ["packages", "proxy-init"],
  extensions: ["api", "packages"],
  // The CLI carries `local`, whose verbs are the embedded cluster's.
  cli: ["api", "packages", "charts", "cluster", "extensions"],
};
/** Folders of the repository whose files hold no logic. */
const data = ["charts", "package.json"];

function importsOf(file: string): string[] {
  const text = readFileSync(join(root, file), "utf8");
  return [...text.matchAll(/(?:^|\n)\s*(?:import|export)\s[^"'`;]*?from\s*["']([^"']+)["']|import\(\s*["']([^"']+)["']\s*\)/g)].map(
    (m) => (m[1] ?? m[2]) as string,
  );
}

function target(file: string, specifier: string): string | null {
  if (specifier.startsWith(".")) return relative(root, resolve(root, dirname(file), specifier));
  if (!specifier.startsWith("#")) return null;
  const exact = aliases[specifier];
  if (exact) return exact.slice(2);
  const star = Object.keys(aliases).find((key) => key.endsWith("/*") && specifier.startsWith(key.slice(0, -1)));
  if (!star) throw new Error(`${file} imports ${specifier}, which package.json does not name`);
  return (aliases[star] as string).slice(2);
}

test("arrows between folders point one way", () => {
  const wrong: string[] = [];
  for (const file of files) {
    if (file.endsWith(".test.ts") || file.includes("/testing/") || file.startsWith("e2e/")) continue;
    const from = file.split("/")[0] as string;
    for (const specifier of importsOf(file)) {
      const to = target(file, specifier)?.split("/")[0];
      if (to === undefined || to === from || data.includes(to)) continue;
      if (!allowed[from]?.includes(to)) wrong.push(`${file} imports ${specifier}`);
    }
  }
  expect(wrong).toEqual([]);
});

test("the cores of the wire engines know no runtime", () => {
  const pure = /^packages\/(http|http1|http2|hpack|tls-sniff|transport-header|detect|addr|balance|policy|profiles|retry)\//;
  const wrong: string[] = [];
  for (const file of files) {
    if (!pure.test(file) || file.endsWith(".test.ts") || /\/(testdata|testing)\//.test(file)) continue;
    const text = readFileSync(join(root, file), "utf8");
    // node:buffer is text and bytes, no edge: every runtime has it.
    for (const specifier of importsOf(file)) if (/^(node:(?!buffer$)|bun)/.test(specifier)) wrong.push(`${file} imports ${specifier}`);
    for (const word of ["process.", "Bun.", "setTimeout(", "Date.now(", "Math.random("]) {
      const line = text.split("\n").find((l) => l.includes(word) && !/^\s*(\/\/|\*|\/\*)/.test(l));
      if (line) wrong.push(`${file}: ${line.trim()}`);
    }
  }
  expect(wrong).toEqual([]);
});
