// Program-wide behaviour: help, mistakes in the line, streams and exit statuses, extensions (spec cli §1, cases 1–13).
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { VERSION } from "#version";
import { cli } from "./testing/world.ts";

// Processes are started: a busy machine takes its time.
setDefaultTimeout(30_000);

const main = join(import.meta.dir, "..", "main.ts");
let dir: string;

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "fairlead-program-"));
  writeFileSync(join(dir, "linkerd-frob"), '#!/bin/sh\ncat\necho "$@"\necho said >&2\nexit $FROB_STATUS\n', { mode: 0o755 });
  writeFileSync(join(dir, "linkerd-check"), "#!/bin/sh\necho never\n", { mode: 0o755 });
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** The program as a process, for what streams inherit. */
async function process_(words: string[], { stdin = "", env = {} }: { stdin?: string; env?: Record<string, string> } = {}) {
  const child = Bun.spawn([process.execPath, main, ...words], {
    stdin: Buffer.from(stdin),
    stdout: "pipe",
    stderr: "pipe",
    env: { PATH: `${dir}:/usr/bin:/bin`, HOME: dir, ...env },
  });
  const [stdout, stderr, status] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]);
  return { status, stdout, stderr };
}

test("without a command help is printed, commands in alphabetical order", async () => {
  for (const words of [[], ["help"], ["--help"], ["-h"], ["-L", "x", "--help"]]) {
    const { status, stdout, stderr } = await cli(words);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    const listed = [...stdout.matchAll(/^ {2}([a-z-]+) +[A-Z]/gm)].map(([, name]) => name as string);
    expect(listed).toEqual([...listed].sort());
    expect(listed).toContain("authz");
    for (const absent of ["stat", "doc", "alpha"]) expect(listed).not.toContain(absent);
    expect(stdout).toEndWith('Use "fairlead [command] --help" for more information about a command.\n');
  }
});

test("help COMMAND is COMMAND --help, at every depth", async () => {
  for (const [words, path] of [
    [["check"], ["check"]],
    [["diagnostics"], ["dg"]],
    [
      ["diagnostics", "endpoints"],
      ["dg", "ep"],
    ],
    [
      ["install", "config"],
      ["install", "config"],
    ],
  ] as const) {
    const asked = await cli(["help", ...words]);
    expect(asked.status).toBe(0);
    expect(asked).toEqual(await cli([...path, "--help"]));
    expect(asked.stdout).toContain(`Usage:\n  fairlead ${words.join(" ")} `);
  }
  expect((await cli(["diagnostics"])).stdout).toContain("Available Commands:\n  controller-metrics");
});

test("flags in help: shorthand, type, default of what is not zero", async () => {
  const { stdout } = await cli(["check", "--help"]);
  expect(stdout).toContain('  -o, --output string             Output format. One of: table, json, short (default "table")\n');
  expect(stdout).toContain("      --wait duration             Maximum allowed time for all tests to pass (default 5m0s)\n");
  expect(stdout).toContain("      --pre                       Only run pre-installation checks");
  expect(stdout).not.toContain("cli-version-override");
  const install = (await cli(["install", "--help"])).stdout;
  expect(install).toContain("--controller-replicas uint ");
  expect(install).toContain("Replicas of the controller to deploy (default 1)");
  expect(install).not.toContain("--proxy-image");
  expect(install).not.toContain("--proxy-cpu ");
});

const mistakes: [words: string[], message: string][] = [
  [["--version"], "unknown flag: --version"],
  [["check", "--frob"], "unknown flag: --frob"],
  [["check", "--frob=1"], "unknown flag: --frob"],
  [["check", "-xn"], "unknown shorthand flag: 'x' in -xn"],
  [["check", "--wait"], "flag needs an argument: --wait"],
  [["check", "-n"], "flag needs an argument: 'n' in -n"],
  [["check", "--wait", "soon"], 'invalid argument "soon" for "--wait" flag: time: invalid duration "soon"'],
  [["check", "--wait=-5s"], 'invalid argument "-5s" for "--wait" flag: time: invalid duration "-5s"'],
  [["check", "--pre=perhaps"], 'invalid argument "perhaps" for "--pre" flag: strconv.ParseBool: parsing "perhaps": invalid syntax'],
  [["check", "extra"], 'unknown command "extra" for "fairlead check"'],
  [["check", "config", "--pre"], "unknown flag: --pre"],
  [["check", "--pre", "config"], "unknown flag: --pre"],
  [["install", "config", "--ha"], "unknown flag: --ha"],
  [["authz"], "accepts between 1 and 2 arg(s), received 0"],
  [["authz", "a", "b", "c"], "accepts between 1 and 2 arg(s), received 3"],
  [["completion"], "accepts 1 arg(s), received 0"],
  [["completion", "powershell"], 'unsupported shell type "powershell"; must be one of: bash, zsh, fish'],
  [["inject"], "requires at least 1 arg(s), only received 0"],
  [["diagnostics", "endpoints", "-o", "yaml", "a"], '--output: "yaml" is not one of: table, json'],
  [["identity"], "Provide the pod name argument or use the selector flag"],
  [["-L", "bad_ns", "version", "--client"], "bad_ns is not a valid namespace"],
  [["local", "status", "-o", "yaml"], 'invalid argument "yaml" for "-o, --output" flag: Allowed choices are table, json.'],
];
test.each(mistakes)("usage: %j: %s", async (words, message) => {
  const { status, stdout, stderr } = await cli(words);
  expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
  expect(stderr).toStartWith(`Error: ${message}\nUsage:\n  fairlead`);
});

test("an unknown command is named, with what may be meant", async () => {
  expect(await cli(["chek"])).toEqual({
    status: 1,
    stdout: "",
    stderr: 'Error: unknown command "chek" for "fairlead"\n\nDid you mean this?\n\tcheck\n\nRun \'fairlead --help\' for usage.\n',
  });
  expect((await cli(["-L", "x", "nothing-like-it"])).stderr).toBe(
    'Error: unknown command "nothing-like-it" for "fairlead"\nRun \'fairlead --help\' for usage.\n',
  );
  expect((await cli(["diagnostics", "endpoint"])).stderr).toContain(
    "Did you mean this?\n\tendpoints\n\nRun 'fairlead diagnostics --help' for usage.\n",
  );
  expect((await cli(["help", "frob"])).stderr).toStartWith('Error: unknown command "frob" for "fairlead"\n');
  expect((await cli(["local", "frob"])).status).toBe(1);
});

test("flags stand anywhere, carry their value in every form, and turn off", async () => {
  const version = { status: 0, stdout: `${VERSION}\n`, stderr: "" };
  for (const words of [
    ["version", "--client", "--short"],
    ["version", "--client=true", "--short=1"],
    ["--client", "version", "--short"],
    ["-Lx", "version", "--client", "--short", "-nfoo"],
    ["version", "-L=x", "--client", "--short", "-n", "foo"],
    ["--context", "version", "version", "--client", "--short"],
  ])
    expect(await cli(words)).toEqual(version);
  expect((await cli(["version", "--client", "--short=false"])).stdout).toBe(`Client version: ${VERSION}\n`);
});

test("LINKERD_NAMESPACE counts while the flag is at its default", async () => {
  expect((await cli(["version", "--client"], { env: { LINKERD_NAMESPACE: "bad_ns" } })).stderr).toStartWith("Error: bad_ns is not");
  expect((await cli(["version", "--client", "-L", "other"], { env: { LINKERD_NAMESPACE: "bad_ns" } })).status).toBe(0);
});

test("no glyph has colour on a pipe, with NO_COLOR or a dumb terminal", async () => {
  const stdin = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";
  const inject = (env: Record<string, string>, isTty: boolean) => cli(["inject", "--ignore-cluster", "-"], { stdin, env, isTty });
  expect((await inject({}, true)).stderr).toContain("\x1b[33;1m‼\x1b[0m no supported objects found");
  for (const [env, isTty] of [
    [{}, false],
    [{ NO_COLOR: "" }, true],
    [{ TERM: "dumb" }, true],
  ] as const) {
    const { stdout, stderr } = await inject(env, isTty);
    expect(stdout + stderr).not.toContain("\x1b");
    expect(stderr).toContain("‼ no supported objects found");
  }
});

test("an extension's binary takes the rest of the line and the streams", async () => {
  expect(await process_(["frob", "a", "--b", "--help"], { stdin: "in\n" })).toEqual({
    status: 0,
    stdout: "in\na --b --help\n",
    stderr: "said\n",
  });
  expect(await process_(["frob"], { env: { FROB_STATUS: "7" } })).toEqual({ status: 1, stdout: "\n", stderr: "said\nexit status 7\n" });
});

test("flags before an extension's name are refused; built-in names win over PATH", async () => {
  const env = { PATH: dir };
  expect(await cli(["--context", "c", "frob"], { env })).toEqual({
    status: 1,
    stdout: "",
    stderr: 'cannot accept flags before fairlead extension name "frob"\n',
  });
  expect((await cli(["check", "--help"], { env })).stdout).toStartWith("Check the Linkerd installation");
  expect((await cli(["../frob"], { env })).stderr).toContain('unknown command "../frob"');
});

test("an unusable kubeconfig is told by file and field", async () => {
  expect(await cli(["version"], { env: { HOME: dir } })).toEqual({
    status: 1,
    stdout: "",
    stderr: expect.stringContaining(`error configuring Kubernetes API client: kubeconfig ${dir}/.kube/config: cannot be read`),
  });
  const broken = join(dir, "broken.kubeconfig");
  const rows: [text: string, message: string][] = [
    ["a: [", "not valid YAML"],
    ["current-context: a", 'context "a" does not exist'],
    ["current-context: a\ncontexts: [{name: a, context: {}}]", "contexts[a].context.cluster is missing"],
    [
      "current-context: a\ncontexts: [{name: a, context: {cluster: c}}]\nclusters: [{name: c, cluster: {}}]",
      "clusters[c].cluster.server is missing",
    ],
  ];
  for (const [text, message] of rows) {
    writeFileSync(broken, text);
    for (const words of [
      ["version"],
      ["authz", "deploy"],
      ["uninstall"],
      ["identity", "a"],
      ["install"],
      ["inject", "-"],
      ["diagnostics", "proxy-metrics", "po/a"],
    ]) {
      const { status, stdout, stderr } = await cli([...words, "--kubeconfig", broken]);
      expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
      expect(stderr).toStartWith(`error configuring Kubernetes API client: kubeconfig ${broken}: ${message}`);
    }
  }
});

test("the whole output reaches a reader that takes its time", async () => {
  const child = Bun.spawn([process.execPath, main, "install", "--ignore-cluster"], { stdout: "pipe", env: { PATH: "", HOME: dir } });
  // More than a pipe holds; the process must not end before it is read.
  const reader = child.stdout.getReader();
  let text = "";
  const decoder = new TextDecoder();
  for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) text += decoder.decode(chunk.value, { stream: true });
  expect(await child.exited).toBe(0);
  expect(text.length).toBeGreaterThan(65536);
  expect(text).toContain("linkerd-config-overrides");
});
