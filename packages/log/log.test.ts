import { describe, expect, test } from "bun:test";
import { type Format, Log, MAX_DIRECTIVES, parseFilter } from "./index.ts";

function logTo(lines: string[], filter: string, format: Format = "plain"): Log {
  return new Log({ filter, format, write: (line) => void lines.push(line), uptimeMs: () => 1234.5678 });
}

describe("filter", () => {
  test.each([
    ["warn,linkerd=info", "linkerd::inbound", "info"],
    ["warn,linkerd=info", "h2", "warn"],
    ["warn,linkerd=info", "linkerd2", "warn"],
    ["info,linkerd::tls=trace", "linkerd::tls::server", "trace"],
    ["linkerd", "linkerd::x", "trace"],
    ["linkerd=debug", "other", "warn"],
    ["DEBUG", "x", "debug"],
    ["off", "x", "off"],
    ["info,linkerd[conn{port=80}]=debug", "linkerd", "debug"],
  ])("%s: %s is %s", (text, target, level) => {
    expect(parseFilter(text).invalid).toEqual([]);
    expect(parseFilter(text).filter.level(target)).toBe(level as never);
  });

  test("what is not understood is named; too many directives are not understood", () => {
    expect(parseFilter("info,=x,linkerd=loud").invalid).toEqual(["=x", "linkerd=loud"]);
    const many = Array.from({ length: MAX_DIRECTIVES + 1 }, (_, i) => `t${i}=info`);
    expect(parseFilter(many.join(",")).invalid).toEqual([`t${MAX_DIRECTIVES}=info`]);
  });
});

test("plain and JSON lines", () => {
  const lines: string[] = [];
  logTo(lines, "info").logger("linkerd::inbound").info("hello", { port: 80 });
  logTo(lines, "info", "json").logger("linkerd::inbound").warn("hello", { port: 80 });
  expect(lines).toEqual([
    "[     1.234567s]  INFO ThreadId(01) linkerd::inbound: hello port=80\n",
    '{"timestamp":"[     1.234567s]","level":"WARN","fields":{"message":"hello","port":80},"target":"linkerd::inbound","spans":[],"threadId":"ThreadId(01)"}\n',
  ]);
});

test("the filter changes for loggers that exist; a bad one changes nothing", () => {
  const lines: string[] = [];
  const log = logTo(lines, "warn");
  const logger = log.logger("linkerd");
  logger.debug("unseen");
  log.setFilter("debug");
  logger.debug("seen");
  expect(() => log.setFilter("debug,x=loud")).toThrow("x=loud");
  logger.debug("seen too");
  expect(lines).toHaveLength(2);
  expect(log.filter).toBe("debug");
});

test("a peer cannot forge a line", () => {
  const lines: string[] = [];
  logTo(lines, "info").logger("x").info("a", { sni: "b\n[ 1s] ERROR\x1b[2J" });
  expect(lines[0]).toBe("[     1.234567s]  INFO ThreadId(01) x: a sni=b\\x0a[ 1s] ERROR\\x1b[2J\n");
});
