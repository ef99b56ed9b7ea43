// Redirect rules: golden command lines, chunks, idempotence.
import { describe, expect, test } from "bun:test";
import { run } from "./main.ts";
import { chunkPorts, installedState, maxPortsPerRule, parsePortRange, parsePorts, redirectRules, removalRules } from "./rules.ts";

const base = {
  incomingProxyPort: 4143,
  outgoingProxyPort: 4140,
  proxyUid: 2102,
  portsToRedirect: [],
  inboundPortsToIgnore: [],
  outboundPortsToIgnore: [],
  subnetsToIgnore: [],
  now: 1,
};

describe("redirectRules", () => {
  test("the default pod's rules, in the order of the reference", () => {
    const { commands, skipped } = redirectRules({
      ...base,
      inboundPortsToIgnore: ["4190", "4191", "4567", "4568"],
      outboundPortsToIgnore: ["4567", "4568"],
      subnetsToIgnore: ["10.0.0.0/8"],
    });
    expect(skipped).toEqual([]);
    expect(commands.map(({ argv }) => argv.join(" "))).toEqual([
      "-t nat -N PROXY_INIT_REDIRECT -m comment --comment proxy-init/redirect-common-chain/1",
      "-t nat -A PROXY_INIT_REDIRECT -p tcp --match multiport --dports 4190,4191,4567,4568 -j RETURN -m comment --comment proxy-init/ignore-port-4190,4191,4567,4568/1",
      "-t nat -A PROXY_INIT_REDIRECT -p all -j RETURN -s 10.0.0.0/8 -m comment --comment proxy-init/ignore-subnet-10.0.0.0/8/1",
      "-t nat -A PROXY_INIT_REDIRECT -p tcp -j REDIRECT --to-port 4143 -m comment --comment proxy-init/redirect-all-incoming-to-proxy-port/1",
      "-t nat -A PREROUTING -j PROXY_INIT_REDIRECT -m comment --comment proxy-init/install-proxy-init-prerouting/1",
      "-t nat -N PROXY_INIT_OUTPUT -m comment --comment proxy-init/redirect-common-chain/1",
      "-t nat -A PROXY_INIT_OUTPUT -m owner --uid-owner 2102 -j RETURN -m comment --comment proxy-init/ignore-proxy-user-id/1",
      "-t nat -A PROXY_INIT_OUTPUT -o lo -j RETURN -m comment --comment proxy-init/ignore-loopback/1",
      "-t nat -A PROXY_INIT_OUTPUT -p tcp --match multiport --dports 4567,4568 -j RETURN -m comment --comment proxy-init/ignore-port-4567,4568/1",
      "-t nat -A PROXY_INIT_OUTPUT -p tcp -j REDIRECT --to-port 4140 -m comment --comment proxy-init/redirect-all-outgoing-to-proxy-port/1",
      "-t nat -A OUTPUT -j PROXY_INIT_OUTPUT -m comment --comment proxy-init/install-proxy-init-output/1",
    ]);
  });

  test("listed ports are redirected one by one; no user, no rule for it", () => {
    const lines = redirectRules({ ...base, proxyUid: -1, portsToRedirect: [80, 443] }).commands.map(({ argv }) => argv.join(" "));
    expect(lines).toContain(
      "-t nat -A PROXY_INIT_REDIRECT -p tcp --destination-port 80 -j REDIRECT --to-port 4143 -m comment --comment proxy-init/redirect-port-80-to-proxy-port/1",
    );
    expect(lines).toContain(
      "-t nat -A PROXY_INIT_REDIRECT -p tcp --destination-port 443 -j REDIRECT --to-port 4143 -m comment --comment proxy-init/redirect-port-443-to-proxy-port/1",
    );
    expect(lines.join("\n")).not.toContain("uid-owner");
    expect(lines.join("\n")).not.toContain("redirect-all-incoming");
  });

  test("invalid ports are skipped and named", () => {
    const { ranges, skipped } = parsePorts(["80", "70000", "9-8", "x", "1-2", "-1"]);
    expect(ranges).toEqual([
      { low: 80, high: 80 },
      { low: 1, high: 2 },
    ]);
    expect(skipped).toHaveLength(4);
    expect(skipped[0]).toContain('"70000"');
    expect(parsePortRange("0-65535")).toEqual({ low: 0, high: 65_535 });
  });

  test("a rule takes fifteen ports, a range counting two", () => {
    const single = (count: number) => Array.from({ length: count }, (_, index) => ({ low: index + 1, high: index + 1 }));
    expect(chunkPorts(single(maxPortsPerRule))).toHaveLength(1);
    expect(chunkPorts(single(maxPortsPerRule + 1)).map((chunk) => chunk.split(",").length)).toEqual([15, 1]);
    const ranges = Array.from({ length: 8 }, (_, index) => ({ low: index * 10, high: index * 10 + 5 }));
    expect(chunkPorts(ranges)).toEqual(["0:5,10:15,20:25,30:35,40:45,50:55,60:65", "70:75"]);
    expect(chunkPorts([])).toEqual([]);
  });
});

describe("run", () => {
  const complete = [
    ":PROXY_INIT_OUTPUT - [0:0]",
    ":PROXY_INIT_REDIRECT - [0:0]",
    '-A PREROUTING -m comment --comment "proxy-init/x/1" -j PROXY_INIT_REDIRECT',
    "-A OUTPUT -j PROXY_INIT_OUTPUT",
  ].join("\n");
  const harness = (dump: string, failOn?: string, output = "") => {
    const executed: string[] = [];
    const lines: string[] = [];
    const code = (args: string[]) =>
      run(args, {
        execute: (argv) => {
          executed.push(argv.join(" "));
          if (failOn && argv.join(" ").includes(failOn)) return { code: 4, output };
          return { code: 0, output: argv[0]!.includes("save") ? dump : "" };
        },
        now: () => 1_000,
        write: (line) => lines.push(line),
      });
    return { executed, lines, code };
  };
  const ports = ["-p", "4143", "-o", "4140"];

  test("does nothing when the rules are there", () => {
    const { executed, code } = harness(complete);
    expect(code(ports)).toBe(0);
    expect(executed).toEqual(["iptables-save -t nat"]);
    expect(installedState(complete)).toBe("complete");
  });

  test("repairs what a run that was cut off has left", () => {
    const partial = complete.split("\n").slice(0, 3).join("\n");
    expect(installedState(partial)).toBe("partial");
    expect(removalRules(partial).map(({ argv }) => argv.join(" "))).toEqual([
      "-t nat -D PREROUTING -m comment --comment proxy-init/x/1 -j PROXY_INIT_REDIRECT",
      "-t nat -F PROXY_INIT_REDIRECT",
      "-t nat -F PROXY_INIT_OUTPUT",
      "-t nat -X PROXY_INIT_REDIRECT",
      "-t nat -X PROXY_INIT_OUTPUT",
    ]);
    const { executed, code } = harness(partial);
    expect(code(ports)).toBe(0);
    expect(executed.filter((line) => line.includes(" -N "))).toHaveLength(2);
  });

  test("passes wait flag, mode and namespace; sets the time of CLOSE_WAIT first", () => {
    const { executed, code } = harness("");
    expect(
      code([...ports, "-w", "--netns", "/run/netns/x", "--iptables-mode", "legacy", "--timeout-close-wait-secs", "60", "-u", "2102"]),
    ).toBe(0);
    expect(executed[0]).toBe("nsenter --net=/run/netns/x -- sysctl -w net.netfilter.nf_conntrack_tcp_timeout_close_wait=60");
    expect(executed[1]).toBe("nsenter --net=/run/netns/x -- iptables-legacy-save -t nat");
    expect(executed[2]).toStartWith("nsenter --net=/run/netns/x -- iptables-legacy -w -t nat -N PROXY_INIT_REDIRECT");
  });

  test("--simulate runs nothing", () => {
    const { executed, lines, code } = harness("");
    expect(code([...ports, "--simulate"])).toBe(0);
    expect(executed).toEqual([]);
    expect(lines.filter((line) => line.includes("iptables -t nat -A"))).toHaveLength(5);
  });

  test("a failing command is named, with what helps", () => {
    const { lines, code } = harness("", "-A PREROUTING", "iptables: Permission denied (you must be root)");
    expect(code([...ports, "--log-format", "json"])).toBe(1);
    const last = JSON.parse(lines.at(-1)!) as { level: string; msg: string };
    expect(last.level).toBe("error");
    expect(last.msg).toContain("iptables -t nat -A PREROUTING -j PROXY_INIT_REDIRECT");
    expect(last.msg).toContain("exit 4");
    expect(last.msg).toContain("NET_ADMIN");
  });

  test.each([
    [["-p", "4143"], "outgoing-proxy-port"],
    [["-p", "70000", "-o", "1"], "--incoming-proxy-port"],
    [[...ports, "--subnets-to-ignore", "10.0.0.0"], "--subnets-to-ignore"],
    [[...ports, "extra"], "too many arguments"],
  ])("wrong usage %j names the flag", (args, word) => {
    const { lines, executed, code } = harness("");
    expect(code(args)).toBe(2);
    expect(lines.join("\n")).toContain(word);
    expect(executed).toEqual([]);
  });
});
