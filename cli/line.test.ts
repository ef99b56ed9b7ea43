// Reading command lines: tables of forms, and properties of any line.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { canonicalWords, pathOf, readLine } from "./line.ts";
import { buildProgram } from "./program.ts";

const program = buildProgram({ env: {}, stdout: () => {}, stderr: () => {}, stdin: async () => "", isTty: false });

function read(...words: string[]) {
  const { command, operands, flags, isHelp, pending, mistake } = readLine(program, words);
  return {
    path: pathOf(command).slice(1).join(" "),
    operands,
    flags: flags.map(({ option, value }) => (value === null ? option.long : `${option.long}=${value}`)),
    ...(isHelp ? { isHelp } : {}),
    ...(pending ? { pending: pending.long } : {}),
    ...(mistake ? { mistake: mistake.message } : {}),
  };
}

test.each<[words: string[], line: ReturnType<typeof read>]>([
  [["check"], { path: "check", operands: [], flags: [] }],
  [["dg", "ep", "a:1", "b:2"], { path: "diagnostics endpoints", operands: ["a:1", "b:2"], flags: [] }],
  [["-n", "check", "check"], { path: "check", operands: [], flags: ["--namespace=check"] }],
  [["identity", "check"], { path: "identity", operands: ["check"], flags: [] }],
  [["check", "-fx"], { path: "check", operands: [], flags: [], mistake: "unknown shorthand flag: 'f' in -fx" }],
  [["uninstall", "-fL", "x"], { path: "uninstall", operands: [], flags: ["--force", "--linkerd-namespace=x"] }],
  [["uninstall", "-fLx"], { path: "uninstall", operands: [], flags: ["--force", "--linkerd-namespace=x"] }],
  [["uninstall", "-L=x", "-f=false"], { path: "uninstall", operands: [], flags: ["--linkerd-namespace=x"] }],
  [["install", "--set=a=b", "--set", "c=d"], { path: "install", operands: [], flags: ["--set=a=b", "--set=c=d"] }],
  [["inject", "-"], { path: "inject", operands: ["-"], flags: [] }],
  [["inject", "--", "--manual", "-"], { path: "inject", operands: ["--manual", "-"], flags: [] }],
  [["inject", "--registry", "-x", "f"], { path: "inject", operands: ["f"], flags: ["--registry=-x"] }],
  [["inject", "--skip-inbound-ports="], { path: "inject", operands: [], flags: ["--skip-inbound-ports="] }],
  [["install", "--ha", "config"], { path: "install config", operands: [], flags: [], mistake: "unknown flag: --ha" }],
  [["install", "--ignore-cluster", "config"], { path: "install config", operands: [], flags: ["--ignore-cluster"] }],
  [["check", "-h"], { path: "check", operands: [], flags: [], isHelp: true }],
  [["check", "--context"], { path: "check", operands: [], flags: [], pending: "--context" }],
  [["frob", "--context=c", "x"], { path: "", operands: ["frob", "x"], flags: ["--context=c"] }],
])("%j", (words, line) => expect(read(...words)).toEqual(line));

/** Words that mean something, and any others. */
const word = fc.oneof(
  fc.constantFrom(
    "check",
    "config",
    "install",
    "diagnostics",
    "dg",
    "endpoints",
    "-",
    "--",
    "-h",
    "--help",
    "-n",
    "-n=x",
    "-Lx",
    "-f",
    "--force",
    "--force=false",
    "--wait",
    "--wait=1s",
    "--set",
    "--context",
    "--output=json",
    "--frob",
  ),
  fc.string({ maxLength: 6 }),
);

test("any line is read; what was understood is understood the same in canonical form", () => {
  fc.assert(
    fc.property(fc.array(word, { maxLength: 8 }), (words) => {
      const line = readLine(program, words);
      if (line.mistake || line.pending) return;
      const again = readLine(program, canonicalWords(program, line));
      const flags = (of: typeof line) => of.flags.map(({ option, value }) => [option.long, value]).sort();
      expect([again.mistake, again.pending, again.operands, flags(again)]).toEqual([null, null, line.operands, flags(line)]);
      // An operand that is a command's name is none after `--`.
      expect(pathOf(again.command)).toEqual(pathOf(line.command));
    }),
  );
});
