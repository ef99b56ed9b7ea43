// The documents tell the truth about what can be typed: every command line in them names scripts, commands, flags and files that
// exist, every YAML parses, every link leads somewhere. The walk of the README is also run for real, by e2e/mesh.test.ts.
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import type { Command } from "commander";
import { parseAllDocuments } from "yaml";
import type { Io } from "../cli/io.ts";
import { buildProgram } from "../cli/program.ts";

const root = resolve(import.meta.dir, "..");
const scripts = (JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { scripts: Record<string, string> }).scripts;
const documents = [...new Bun.Glob("**/*.md").scanSync({ cwd: root })].filter(
  (file) => !/(^|\/)(node_modules|dist|results|\.local|testdata)\//.test(file),
);
const silent: Io = { env: {}, isTty: false, stdin: async () => "", stdout() {}, stderr() {} };
const program = buildProgram(silent);

/** Fenced blocks of a language. */
function blocks(file: string, language: string): string[] {
  const text = readFileSync(join(root, file), "utf8");
  return [...text.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)].filter((match) => match[1] === language).map((match) => match[2] as string);
}

/** The simple commands of a shell block: one a line, pipes taken apart, comments and prompts left out. */
function commands(block: string): string[][] {
  return block
    .split("\n")
    .map((line) =>
      line
        .replace(/\s#.*$/, "")
        .replace(/^\$ /, "")
        .trim(),
    )
    .filter((line) => line !== "" && !line.startsWith("#"))
    .flatMap((line) => line.split(/\s*(?:\||&&|;)\s*/))
    .map((command) => (command.match(/'[^']*'|"[^"]*"|\S+/g) ?? []).map((word) => word.replace(/^['"]|['"]$/g, "")))
    .map((words) => (words[0] === "sudo" ? words.slice(1) : words));
}

/** What is wrong with a command line of ours; undefined when it can be typed. */
function mistake(words: readonly string[]): string | undefined {
  const [name = "", ...args] = words;
  if (name === "npm") {
    const script = args[0] === "run" ? args[1] : args[0];
    return script !== undefined && script in scripts ? undefined : `package.json has no script ${script}`;
  }
  if (!/(^|\/)fairlead$/.test(name)) return undefined;
  let command: Command = program;
  for (const arg of args) {
    const child = command.commands.find((one) => one.name() === arg || one.aliases().includes(arg));
    if (child) {
      command = child;
      continue;
    }
    if (!arg.startsWith("-") || arg === "-") {
      if (command === program) return `no command ${arg}`;
      continue;
    }
    const flag = arg.split("=")[0];
    const known = [...command.options, ...(command.parent?.options ?? []), ...program.options].some(
      (option) => option.long === flag || option.short === flag,
    );
    if (!known && flag !== "--help" && flag !== "-h") return `${command.name()} has no flag ${flag}`;
  }
  return undefined;
}

describe.each(documents)("%s", (file) => {
  test("its command lines can be typed", () => {
    const wrong = blocks(file, "sh")
      .flatMap(commands)
      .flatMap((words) => {
        const problem = mistake(words);
        return problem ? [`${words.join(" ")}: ${problem}`] : [];
      });
    expect(wrong).toEqual([]);
  });

  test("its YAML parses", () => {
    for (const block of blocks(file, "yaml"))
      for (const document of parseAllDocuments(block)) if ("errors" in document) expect(document.errors).toEqual([]);
  });

  test("its links lead somewhere", () => {
    const text = readFileSync(join(root, file), "utf8").replace(/^```[\s\S]*?^```$/gm, "");
    const wrong = [...text.matchAll(/\]\(([^)\s#]+)(?:#[^)]*)?\)/g)]
      .map((match) => match[1] as string)
      .filter((link) => !/^[a-z]+:/.test(link) && !existsSync(join(root, dirname(file), link)));
    expect(wrong).toEqual([]);
  });
});

test("there are documents", () => {
  for (const name of ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "TESTING.md", "SECURITY.md", "CHANGELOG.md", "docs/adr/README.md"])
    expect(documents).toContain(name);
});
