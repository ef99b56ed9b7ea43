// Role `proxy-init`: installs the redirect rules of the mesh in a pod's network namespace, as its init container (spec control-plane §9).
import { spawnSync } from "node:child_process";
import { CommanderError, Option, Command as Program } from "commander";
import { type Command, installedState, redirectRules, removalRules } from "./rules.ts";

/** Runs one command to its end. */
export type Execute = (argv: string[]) => { code: number | null; output: string };

interface Flags {
  incomingProxyPort: number;
  outgoingProxyPort: number;
  proxyUid: number;
  portsToRedirect: number[];
  inboundPortsToIgnore: string[];
  outboundPortsToIgnore: string[];
  subnetsToIgnore: string[];
  simulate: boolean;
  netns: string;
  useWaitFlag: boolean;
  timeoutCloseWaitSecs: number;
  logFormat: "plain" | "json";
  logLevel: string;
  iptablesMode: "auto" | "legacy" | "nft";
  firewallBinPath?: string;
  firewallSaveBinPath?: string;
}

const logLevels = ["panic", "fatal", "error", "warning", "info", "debug", "trace"];

/** Exit codes: 0 rules are in place, 1 a command failed, 2 wrong usage. */
export async function main(args: string[], _env: Record<string, string | undefined>): Promise<number> {
  return run(args, { execute: executeCommand, now: Date.now, write: (line) => process.stderr.write(`${line}\n`) });
}

/** As {@link main}, with what it needs of the system handed in. */
export function run(
  args: string[],
  { execute, now, write }: { execute: Execute; now: () => number; write: (line: string) => void },
): number {
  let flags: Flags;
  try {
    flags = parse(args, write);
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    write(`Error: ${(error as Error).message}`);
    return 2;
  }
  const log = (level: "info" | "warning" | "error", message: string) => {
    if (logLevels.indexOf(level) > logLevels.indexOf(flags.logLevel)) return;
    const time = new Date(now()).toISOString().replace(/\.\d+Z$/, "Z");
    write(
      flags.logFormat === "json"
        ? JSON.stringify({ level, msg: message, time })
        : `time=${JSON.stringify(time)} level=${level} msg=${JSON.stringify(message)}`,
    );
  };
  const [iptables, save] = programs(flags);
  const inNamespace = (argv: string[]) => (flags.netns ? ["nsenter", `--net=${flags.netns}`, "--", ...argv] : argv);
  const perform = (argv: string[]): string => {
    const line = inNamespace(argv);
    log("info", line.join(" "));
    if (flags.simulate) return "";
    const { code, output } = execute(line);
    if (output.trim() !== "") log("info", output.trim());
    if (code !== 0) throw new Error(describeFailure(line, code, output));
    return output;
  };
  const iptablesCommand = ({ argv }: Command) => [iptables, ...(flags.useWaitFlag ? ["-w"] : []), ...argv];
  try {
    if (flags.timeoutCloseWaitSecs > 0)
      perform(["sysctl", "-w", `net.netfilter.nf_conntrack_tcp_timeout_close_wait=${flags.timeoutCloseWaitSecs}`]);
    const dump = perform([save, "-t", "nat"]);
    const state = installedState(dump);
    if (state === "complete") {
      log("info", "the redirect rules are in place already");
      return 0;
    }
    if (state === "partial") for (const command of removalRules(dump)) perform(iptablesCommand(command));
    const { commands, skipped } = redirectRules({ ...flags, now: Math.floor(now() / 1000) });
    for (const message of skipped) log("error", `skipped: ${message}`);
    for (const command of commands) perform(iptablesCommand(command));
    perform([save, "-t", "nat"]);
    return 0;
  } catch (error) {
    log("error", (error as Error).message);
    return 1;
  }
}

function programs({ iptablesMode, firewallBinPath, firewallSaveBinPath }: Flags): [string, string] {
  const base = iptablesMode === "auto" ? "iptables" : `iptables-${iptablesMode}`;
  return [firewallBinPath ?? base, firewallSaveBinPath ?? `${base}-save`];
}

function parse(args: string[], write: (line: string) => void): Flags {
  const list = (text: string, before: string[] = []) => [
    ...before,
    ...text
      .split(",")
      .map((item) => item.trim())
      .filter((item) => item !== ""),
  ];
  const program = new Program("proxy-init")
    .description("proxy-init adds the rules to a pod's network that send its traffic through the proxy")
    .exitOverride()
    .configureOutput({ writeOut: (text) => write(text.trimEnd()), writeErr: (text) => write(text.trimEnd()) })
    .requiredOption("-p, --incoming-proxy-port <port>", "port to redirect incoming traffic to", port("--incoming-proxy-port"))
    .requiredOption("-o, --outgoing-proxy-port <port>", "port to redirect outgoing traffic to", port("--outgoing-proxy-port"))
    .option("-u, --proxy-uid <uid>", "user of the proxy: its own traffic is left alone", whole("--proxy-uid", -1), -1)
    .option(
      "-r, --ports-to-redirect <ports>",
      "inbound ports to redirect; all when empty",
      (text: string, before: number[]) => [...before, ...list(text).map(port("--ports-to-redirect"))],
      [] as number[],
    )
    .option("--inbound-ports-to-ignore <ports>", "inbound ports and ranges to leave alone", list, [] as string[])
    .option("--outbound-ports-to-ignore <ports>", "outbound ports and ranges to leave alone", list, [] as string[])
    .option(
      "--subnets-to-ignore <cidrs>",
      "sources whose connections are left alone",
      (text: string, before: string[]) => list(text, before).map(cidr),
      [] as string[],
    )
    .option("--simulate", "print the commands and run none", false)
    .option("--netns <path>", "network namespace to work in", "")
    .option("-w, --use-wait-flag", "wait for the lock of iptables", false)
    .option("--timeout-close-wait-secs <seconds>", "sets nf_conntrack_tcp_timeout_close_wait", whole("--timeout-close-wait-secs", 0), 0)
    .addOption(new Option("--log-format <format>", "log format").choices(["plain", "json"]).default("plain"))
    .addOption(new Option("--log-level <level>", "log level").choices(logLevels).default("info"))
    .addOption(new Option("--iptables-mode <mode>", "variant of iptables").choices(["auto", "legacy", "nft"]).default("auto"))
    .option("--firewall-bin-path <path>", "iptables program")
    .option("--firewall-save-bin-path <path>", "iptables-save program");
  program.parse(args, { from: "user" });
  return program.opts<Flags>();
}

function whole(flag: string, least: number, most = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^-?\d+$/.test(text.trim()) || value < least || value > most)
      throw new Error(
        `${flag}: ${JSON.stringify(text)} must be a whole number ${most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`}`,
      );
    return value;
  };
}

function port(flag: string): (text: string) => number {
  return whole(flag, 0, 65_535);
}

function cidr(text: string): string {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\/(\d{1,2})$/.exec(text);
  if (!match || match.slice(1, 5).some((part) => Number(part) > 255) || Number(match[5]) > 32)
    throw new Error(`--subnets-to-ignore: ${JSON.stringify(text)} is not a valid CIDR`);
  return text;
}

/** Names the command, repeats what it said, and what usually helps. */
function describeFailure(argv: string[], code: number | null, output: string): string {
  const said = output.trim();
  const hints: [RegExp, string][] = [
    [/not found|ENOENT/i, `${argv[0]} is not there: the image needs Debian's package iptables`],
    [/permission denied|must be root|operation not permitted/i, "the container needs the capabilities NET_ADMIN and NET_RAW"],
    [/xtables\.lock|read-only file system/i, "mount a writable volume at /run for the lock of iptables"],
  ];
  const hint = hints.find(([pattern]) => pattern.test(said))?.[1];
  return `${argv.join(" ")} failed (${code === null ? "killed" : `exit ${code}`})${said ? `: ${said}` : ""}${hint ? `; ${hint}` : ""}`;
}

function executeCommand(argv: string[]): { code: number | null; output: string } {
  const { status, stdout, stderr, error } = spawnSync(argv[0]!, argv.slice(1), { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  if (error) return { code: 127, output: (error as NodeJS.ErrnoException).code === "ENOENT" ? `${argv[0]}: not found` : error.message };
  return { code: status, output: `${stdout}${stderr}` };
}
