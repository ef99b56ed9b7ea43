// h2specd: the counterpart of h2spec. It is a server, well-meant and hostile, to a client that it starts for each case.
import { join, relative, resolve } from "node:path";
import type { CaseResult, Suite, Target } from "../suite.ts";
import { install } from "./install.ts";

const root = resolve(import.meta.dir, "../..");
/** h2specd listens on one port a case from here on; below the ephemeral ports. */
const FIRST_PORT = 21_000;
const PORT_SPREAD = 5000;
/** A case takes at most three seconds. */
const DEADLINE_MS = 240_000;

let binary = "";

export const h2specd: Suite = {
  name: "h2specd",
  source: "[h2specd](https://github.com/summerwind/h2spec), the part of h2spec for clients; its version is in `h2spec/go.mod`.",
  async prepare() {
    binary = await install("h2specd");
  },
  targets: {
    "engine-client": async () => ({ name: "engine-client", what: "the HTTP/2 client engine over plain TCP", port: 0, stop() {} }),
  },
  run,
  exceptions: [],
};

async function run(target: Target): Promise<CaseResult[]> {
  // h2specd splits the command at spaces, so both paths are relative to the checkout.
  const command = `${relative(root, process.execPath)} ${relative(root, join(import.meta.dir, "client.ts"))}`;
  const port = FIRST_PORT + (process.pid % PORT_SPREAD);
  const child = Bun.spawn([binary, "--strict", "--from-port", String(port), "--exec", command], {
    cwd: root,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "ignore",
  });
  const timer = setTimeout(() => child.kill("SIGKILL"), DEADLINE_MS);
  try {
    const output = await new Response(child.stdout).text();
    const results = parseOutput(target.name, output);
    if (!/\d+ tests, /.test(output) || results.length === 0) throw new Error(`h2specd did not finish: ${output.trim().slice(-300)}`);
    return results;
  } finally {
    clearTimeout(timer);
    child.kill("SIGKILL");
    await child.exited;
  }
}

/** Cases of what h2specd prints: headings with section numbers, `✔ 1: title` and `× 1: title` under them. */
export function parseOutput(target: string, output: string): CaseResult[] {
  const results: CaseResult[] = [];
  let section = "";
  for (const raw of output.split("\n")) {
    // Colours, and the line that a result overwrites.
    const line = (Bun.stripANSI(raw).split("\r").at(-1) ?? "").trim();
    if (line === "Failures:") break;
    const heading = /^(\d+(?:\.\d+)*)\. /.exec(line);
    if (heading !== null) section = heading[1] as string;
    const found = /^([✔×]) \d+: (.*)$/.exec(line);
    if (found !== null) {
      results.push({ target, case: `client/${section}: ${found[2]}`, outcome: found[1] === "✔" ? "passed" : "failed", detail: "" });
    } else {
      // What was expected stands below a failure.
      const last = results.at(-1);
      if (last?.outcome === "failed" && heading === null && line !== "")
        results[results.length - 1] = { ...last, detail: `${last.detail} ${line}` };
    }
  }
  return results;
}
