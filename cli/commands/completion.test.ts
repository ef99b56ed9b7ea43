// `completion` and `__complete`: candidates for every place on a line, and bash really asking for them (spec cli §5, cases 75–81).
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { Resources } from "#kube";
import { startWorld, type World, writeIn } from "../testing/world.ts";

// Processes are started: a busy machine takes its time.
setDefaultTimeout(30_000);

let world: World;
beforeAll(async () => {
  world = await startWorld();
  await world.kubectl(["create", "namespace", "shop"]);
  for (const name of ["web", "web-db", "vote"])
    await world.client.create(
      { ...Resources.deployments, namespace: "shop" },
      {
        apiVersion: "apps/v1",
        kind: "Deployment",
        metadata: { name, namespace: "shop" },
        spec: {
          selector: { matchLabels: { a: name } },
          template: { metadata: { labels: { a: name } }, spec: { containers: [{ name: "a", image: "a" }] } },
        },
      },
    );
  for (const name of ["p-1", "p-2", "q"])
    await world.client.create(
      { ...Resources.pods, namespace: "default" },
      { apiVersion: "v1", kind: "Pod", metadata: { name, namespace: "default" }, spec: { containers: [{ name: "a", image: "a" }] } },
    );
});
afterAll(() => world.close());

/** The lines of an answer, the directive last. */
async function complete(...words: string[]): Promise<string[]> {
  const { status, stdout } = await world.cli(["__complete", ...words]);
  expect(status).toBe(0);
  expect(stdout).toEndWith("\n");
  return stdout.slice(0, -1).split("\n");
}
const names = async (...words: string[]) => (await complete(...words)).map((line) => line.split("\t")[0]);

const types = [
  "namespace",
  "daemonset",
  "statefulset",
  "job",
  "deployment",
  "replicationcontroller",
  "pod",
  "service",
  "trafficsplit",
  "authority",
  "cronjob",
  "replicaset",
];

describe("arguments", () => {
  const rows: [words: string[], answer: string[]][] = [
    [
      ["authz", ""],
      [...types, ":0"],
    ],
    [
      ["authz", "rep"],
      ["replicationcontroller", "replicaset", ":0"],
    ],
    [
      ["authz", "-n", "shop", "deploy", "w"],
      ["web", "web-db", ":0"],
    ],
    [
      ["authz", "-nshop", "deploy", "web", ""],
      ["vote", "web-db", ":0"],
    ],
    [
      ["authz", "--namespace=shop", "deployments", ""],
      ["vote", "web", "web-db", ":0"],
    ],
    [["authz", "deploy", ""], [":0"]],
    [["authz", "deploy/"], [":0"]],
    [["authz", "deploy/web", ""], [":0"]],
    [
      ["authz", "ns", "sh"],
      ["shop", ":0"],
    ],
    [["authz", "authority", ""], [":1"]],
    [["authz", "all", ""], [":1"]],
    [["authz", "frob", ""], [":1"]],
    [
      ["identity", ""],
      ["p-1", "p-2", "q", ":0"],
    ],
    [
      ["identity", "p-1", "p"],
      ["p-2", ":0"],
    ],
    [["identity", "-n", "shop", ""], [":0"]],
    [
      ["completion", ""],
      ["bash", "zsh", "fish", ":4"],
    ],
    [["completion", "bash", ""], [":4"]],
    [["inject", ""], [":0"]],
    [["diagnostics", "proxy-metrics", ""], [":0"]],
  ];
  test.each(rows)("%j", async (words, answer) => expect(await complete(...words)).toEqual(answer));
});

describe("flags", () => {
  const rows: [words: string[], answer: string[]][] = [
    [
      ["check", "-n", "sh"],
      ["shop", ":4"],
    ],
    [
      ["check", "--namespace", "sh"],
      ["shop", ":4"],
    ],
    [
      ["check", "--namespace=sh"],
      ["--namespace=shop", ":4"],
    ],
    [
      ["-L", "sh"],
      ["shop", ":4"],
    ],
    [["--cni-namespace=kube-s"], ["--cni-namespace=kube-system", ":4"]],
    [
      ["check", "-o", ""],
      ["table", "json", "short", ":4"],
    ],
    [
      ["check", "config", "--output", "s"],
      ["short", ":4"],
    ],
    [
      ["diagnostics", "endpoints", "--output="],
      ["--output=table", "--output=json", ":4"],
    ],
    [
      ["check", "--context", ""],
      ["test", ":4"],
    ],
    [["check", "--wait", ""], [":4"]],
  ];
  test.each(rows)("%j", async (words, answer) => expect(await complete(...words)).toEqual(answer));

  test("names of flags, the command's and the global ones, with what they do", async () => {
    expect(await names("version", "--")).toEqual([
      "--client",
      "--help",
      "--namespace",
      "--proxy",
      "--short",
      "--api-addr",
      "--as",
      "--as-group",
      "--cni-namespace",
      "--context",
      "--kubeconfig",
      "--linkerd-namespace",
      "--verbose",
      ":4",
    ]);
    expect(await complete("version", "--cl")).toEqual(["--client\tPrint the client version only", ":4"]);
    expect(await names("install", "--proxy-im")).toEqual([":4"]);
  });

  test("flags on the line say which cluster is asked", async () => {
    const other = writeIn(
      world,
      "other.kubeconfig",
      "current-context: a\ncontexts: [{name: a, context: {cluster: c1}}, {name: dev, context: {cluster: c1}}]\nclusters: [{name: c1, cluster: {server: 'http://127.0.0.1:1'}}]\n",
    );
    // Contexts, not clusters, which --context does not take.
    expect(await complete("--kubeconfig", other, "check", "--context", "")).toEqual(["a", "dev", ":4"]);
    expect(await complete("--kubeconfig", other, "identity", "")).toEqual([":1"]);
    expect(await complete("--context", "none", "identity", "")).toEqual([":1"]);
    expect(await complete("--as", "eve", "identity", "")).toEqual([":1"]);
    expect(await complete("--kubeconfig", other, "authz", "pod")).toEqual(["pod", ":0"]);
  });
});

test("commands, and aliases on the way to them", async () => {
  expect(await names("")).toEqual([
    "authz",
    "check",
    "completion",
    "diagnostics",
    "help",
    "identity",
    "inject",
    "install",
    "local",
    "uninject",
    "uninstall",
    "version",
    ":4",
  ]);
  expect(await names("un")).toEqual(["uninject", "uninstall", ":4"]);
  expect(await names("dg", "")).toEqual(["controller-metrics", "endpoints", "proxy-metrics", ":4"]);
  expect(await complete("install", "c")).toEqual([
    "config\tOutput Kubernetes cluster-wide resources to install Linkerd",
    "control-plane\tOutput Kubernetes control plane resources to install Linkerd",
    ":4",
  ]);
});

test("__completeNoDesc leaves descriptions out; standard error explains the directive", async () => {
  const { stdout, stderr } = await world.cli(["__completeNoDesc", "ver"]);
  expect({ stdout, stderr }).toEqual({
    stdout: "version\n:4\n",
    stderr: "Completion ended with directive: ShellCompDirectiveNoFileComp\n",
  });
  expect((await world.cli(["__complete", "authz", "frob", ""])).stderr).toBe(
    "cannot find Kubernetes canonical name from friendly name [frob]\nCompletion ended with directive: ShellCompDirectiveError\n",
  );
  expect((await world.cli(["__complete"])).stdout).toContain("authz\t");
});

test("scripts name their shell in the first line", async () => {
  for (const [shell, first] of [
    ["bash", "# bash completion for fairlead"],
    ["zsh", "#compdef _fairlead fairlead"],
    ["fish", "# fish completion for fairlead"],
  ] as const)
    expect((await world.cli(["completion", shell])).stdout.split("\n")[0]).toBe(first);
});

describe("bash", () => {
  beforeAll(() => {
    writeIn(world, "fairlead", `#!/bin/sh\nexec ${process.execPath} ${join(import.meta.dir, "../../main.ts")} "$@"\n`, 0o755);
  });
  const env = () => ({ PATH: `${world.dir}:/usr/bin:/bin`, KUBECONFIG: world.kubeconfig, HOME: world.dir, TERM: "dumb", PS1: "$ " });

  test("the script completes at the cursor, past `=` and `:`", async () => {
    const contexts = writeIn(world, "arn.kubeconfig", "contexts: [{name: 'arn:aws:a'}, {name: 'arn:aws:b'}]\n");
    const lines: [line: string, replies: string][] = [
      ["fairlead un", "uninject uninstall"],
      ["fairlead authz -n shop deploy web ", "vote web-db"],
      ["fairlead check --output=s", "short"],
      [`fairlead --kubeconfig ${contexts} check --context arn:a`, "aws:a aws:b"],
    ];
    const script = `source <(fairlead completion bash)
while IFS= read -r COMP_LINE; do
  COMP_POINT=\${#COMP_LINE} COMP_WORDS=(x) COMP_CWORD=0
  __fairlead_complete
  printf '%s\\n' "\${COMPREPLY[*]}"
done`;
    const child = Bun.spawn(["bash", "--norc", "-c", script], {
      env: env(),
      stdin: Buffer.from(lines.map(([line]) => `${line}\n`).join("")),
      stdout: "pipe",
      stderr: "inherit",
    });
    const replies = (await new Response(child.stdout).text()).split("\n").slice(0, -1);
    expect(replies).toEqual(lines.map(([, reply]) => reply));
  });

  test("the TAB key, in an interactive shell on a terminal", async () => {
    const typed = "source <(fairlead completion bash)\nfairlead vers\t --client --sh\t\nexit\n";
    const child = Bun.spawn(["script", "-qec", "bash --norc --noprofile -i", "/dev/null"], {
      env: env(),
      stdin: Buffer.from(typed),
      stdout: "pipe",
      stderr: "inherit",
    });
    const screen = await new Response(child.stdout).text();
    expect(screen).toContain("fairlead version  --client --short ");
    expect(screen).toMatch(/\r\nstable-\d+\.\d+\.\d+\r\n/);
  });
});
