// The redirect rules of the mesh as data: options → commands in order (spec control-plane §9.1). Pure.

export interface RedirectOptions {
  /** Port of the proxy that takes what comes into the pod; 0–65535. */
  incomingProxyPort: number;
  /** Port of the proxy that takes what leaves the pod. */
  outgoingProxyPort: number;
  /** The proxy's own user: what it sends is not redirected. -1 or 0: no such rule. */
  proxyUid: number;
  /** Only these inbound ports are redirected; empty: all. */
  portsToRedirect: number[];
  /** `N` or `N-M` each. */
  inboundPortsToIgnore: string[];
  outboundPortsToIgnore: string[];
  /** Sources whose inbound connections are not redirected. */
  subnetsToIgnore: string[];
  /** Seconds since the epoch: part of every rule's comment. */
  now: number;
}

export interface Command {
  argv: string[];
  /** What the rule is for: the comment's middle part. */
  name: string;
}

export const redirectChain = "PROXY_INIT_REDIRECT";
export const outputChain = "PROXY_INIT_OUTPUT";

/** Port references in one multiport rule; a range counts as two (xt_multiport). */
export const maxPortsPerRule = 15;

export interface PortRange {
  low: number;
  high: number;
}

/**
 * `N` or `N-M`, 0–65535, upper ≥ lower.
 * @throws {RangeError} naming the item.
 */
export function parsePortRange(text: string): PortRange {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text.trim());
  const low = Number(match?.[1]);
  const high = Number(match?.[2] ?? match?.[1]);
  if (!match || low > 65_535 || high > 65_535) throw new RangeError(`${JSON.stringify(text)} is not a valid port or port range (0-65535)`);
  if (high < low) throw new RangeError(`${JSON.stringify(text)} is not a valid port range: the upper bound is below the lower`);
  return { low, high };
}

/** Valid items, and a message for each of the others, which are skipped. */
export function parsePorts(items: string[]): { ranges: PortRange[]; skipped: string[] } {
  const ranges: PortRange[] = [];
  const skipped: string[] = [];
  for (const item of items) {
    try {
      ranges.push(parsePortRange(item));
    } catch (error) {
      skipped.push((error as Error).message);
    }
  }
  return { ranges, skipped };
}

/** Lists for multiport rules, `low:high` for ranges, each within {@link maxPortsPerRule}. */
export function chunkPorts(ranges: PortRange[]): string[] {
  const chunks: string[] = [];
  let current: string[] = [];
  let count = 0;
  for (const { low, high } of ranges) {
    const size = low === high ? 1 : 2;
    if (count + size > maxPortsPerRule) {
      chunks.push(current.join(","));
      current = [];
      count = 0;
    }
    current.push(low === high ? String(low) : `${low}:${high}`);
    count += size;
  }
  if (current.length > 0) chunks.push(current.join(","));
  return chunks;
}

/** What a dump of the table (iptables-save) shows: `partial` after a run that was cut off, without the last rule. */
export function installedState(dump: string): "none" | "partial" | "complete" {
  if (!dump.includes(redirectChain) && !dump.includes(outputChain)) return "none";
  const lines = dump.split("\n");
  const jumps = (from: string, to: string) => lines.some((line) => line.startsWith(`-A ${from} `) && line.includes(`-j ${to}`));
  return jumps("PREROUTING", redirectChain) && jumps("OUTPUT", outputChain) ? "complete" : "partial";
}

/** Takes away what a run that was cut off has left. */
export function removalRules(dump: string): Command[] {
  const commands: Command[] = [];
  const lines = dump.split("\n");
  for (const line of lines) {
    // The dump quotes as a shell does; our own comments have no spaces.
    if (/^-A (PREROUTING|OUTPUT) .*-j (PROXY_INIT_REDIRECT|PROXY_INIT_OUTPUT)/.test(line))
      commands.push({ name: "remove-jump", argv: ["-t", "nat", ...line.replace(/^-A/, "-D").replaceAll('"', "").split(" ")] });
  }
  for (const flag of ["-F", "-X"])
    for (const chain of [redirectChain, outputChain])
      if (lines.some((line) => line.startsWith(`:${chain} `))) commands.push({ name: "remove-chain", argv: ["-t", "nat", flag, chain] });
  return commands;
}

/**
 * Rules 1–11 of spec control-plane §9.1, each `-t nat …` and its comment; the caller puts the program and its wait flag in front.
 * @returns the commands, and messages about ports that were skipped.
 */
export function redirectRules(options: RedirectOptions): { commands: Command[]; skipped: string[] } {
  const inbound = parsePorts(options.inboundPortsToIgnore);
  const outbound = parsePorts(options.outboundPortsToIgnore);
  const commands: Command[] = [];
  const add = (name: string, ...argv: string[]) =>
    commands.push({ name, argv: ["-t", "nat", ...argv, "-m", "comment", "--comment", `proxy-init/${name}/${options.now}`] });
  const chain = (name: string) => add("redirect-common-chain", "-N", name);

  chain(redirectChain);
  for (const list of chunkPorts(inbound.ranges))
    add(`ignore-port-${list}`, "-A", redirectChain, "-p", "tcp", "--match", "multiport", "--dports", list, "-j", "RETURN");
  for (const cidr of options.subnetsToIgnore) add(`ignore-subnet-${cidr}`, "-A", redirectChain, "-p", "all", "-j", "RETURN", "-s", cidr);
  const toInbound = ["-j", "REDIRECT", "--to-port", String(options.incomingProxyPort)];
  if (options.portsToRedirect.length === 0) add("redirect-all-incoming-to-proxy-port", "-A", redirectChain, "-p", "tcp", ...toInbound);
  for (const port of options.portsToRedirect)
    add(`redirect-port-${port}-to-proxy-port`, "-A", redirectChain, "-p", "tcp", "--destination-port", String(port), ...toInbound);
  add("install-proxy-init-prerouting", "-A", "PREROUTING", "-j", redirectChain);

  chain(outputChain);
  // What the proxy itself sends would come back to it for ever.
  if (options.proxyUid > 0)
    add("ignore-proxy-user-id", "-A", outputChain, "-m", "owner", "--uid-owner", String(options.proxyUid), "-j", "RETURN");
  add("ignore-loopback", "-A", outputChain, "-o", "lo", "-j", "RETURN");
  for (const list of chunkPorts(outbound.ranges))
    add(`ignore-port-${list}`, "-A", outputChain, "-p", "tcp", "--match", "multiport", "--dports", list, "-j", "RETURN");
  add(
    "redirect-all-outgoing-to-proxy-port",
    "-A",
    outputChain,
    "-p",
    "tcp",
    "-j",
    "REDIRECT",
    "--to-port",
    String(options.outgoingProxyPort),
  );
  add("install-proxy-init-output", "-A", "OUTPUT", "-j", outputChain);
  return { commands, skipped: [...inbound.skipped, ...outbound.skipped] };
}
