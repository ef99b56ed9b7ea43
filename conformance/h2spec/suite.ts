// h2spec: RFC 9113 (its tests name RFC 7540) and RFC 7541 as a client sees them, 146 cases with the strict ones.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CaseResult, Suite, Target } from "../suite.ts";
import { engine } from "../targets/engine.ts";
import { inboundMeshTls, inboundPlain, outbound } from "../targets/proxy.ts";
import { exceptions } from "./exceptions.ts";
import { install } from "./install.ts";

/** How long a case waits for an answer: long enough for a busy machine. Most cases are answered at once. */
const TIMEOUT_SECONDS = 2;

let binary = "";

export const h2spec: Suite = {
  name: "h2spec",
  source: "[h2spec](https://github.com/summerwind/h2spec), all cases including `--strict`; its version is in `h2spec/go.mod`.",
  async prepare() {
    binary = await install("h2spec");
  },
  targets: {
    engine,
    "proxy-inbound": inboundPlain,
    "proxy-inbound-tls": inboundMeshTls,
    "proxy-outbound": outbound,
  },
  run,
  exceptions,
};

async function run(target: Target): Promise<CaseResult[]> {
  const directory = mkdtempSync(join(tmpdir(), "h2spec-"));
  try {
    const report = join(directory, "report.xml");
    const args = ["--host", "127.0.0.1", "--port", String(target.port), "--strict", "--timeout", String(TIMEOUT_SECONDS)];
    const child = Bun.spawn([binary, ...args, "--junit-report", report], { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
    const [output, messages] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
    await child.exited;
    const file = Bun.file(report);
    if (!(await file.exists())) throw new Error(`h2spec wrote no report: ${(messages || output).trim().slice(-500)}`);
    const results = parseReport(target.name, await file.text());
    if (results.length === 0) throw new Error("h2spec ran no case");
    return results;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Cases of a JUnit report as h2spec writes it. */
export function parseReport(target: string, xml: string): CaseResult[] {
  const results: CaseResult[] = [];
  for (const match of xml.matchAll(/<testcase package="([^"]*)" classname="([^"]*)"[^>]*?(?:\/>|>([\s\S]*?)<\/testcase>)/g)) {
    const body = match[3] ?? "";
    const failed = /<(?:failure|error)/.test(body);
    const outcome = failed ? "failed" : /<skipped/.test(body) ? "skipped" : "passed";
    const detail = outcome === "passed" ? "" : unescapeXml(body.replaceAll(/<[^>]*>/g, " "));
    results.push({ target, case: `${unescapeXml(match[1] ?? "")}: ${unescapeXml(match[2] ?? "")}`, outcome, detail });
  }
  return results;
}

const ENTITIES: Readonly<Record<string, string>> = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" };

function unescapeXml(text: string): string {
  return text
    .replaceAll(/&#x([0-9A-Fa-f]+);/g, (_, code: string) => String.fromCodePoint(Number.parseInt(code, 16)))
    .replaceAll(/&#(\d+);/g, (_, code: string) => String.fromCodePoint(Number(code)))
    .replaceAll(/&(lt|gt|quot|apos|amp);/g, (_, name: string) => ENTITIES[name] as string);
}
