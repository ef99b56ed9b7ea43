import { describe, expect, test } from "bun:test";
import fc from "fast-check";
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
    ["info,linkerd[conn{port=80}]=debug", "linkerd", "info"],
    ["[conn]=debug", "linkerd", "warn"],
    ["", "linkerd", "warn"],
    [" ,,info,", "x", "info"],
    ["info,linkerd=debug,linkerd=error", "linkerd", "error"],
  ])("%s: %s is %s", (text, target, level) => {
    expect(parseFilter(text).invalid).toEqual([]);
    expect(parseFilter(text).filter.level(target)).toBe(level as never);
  });

  test("what is not understood is named; too many directives are not understood", () => {
    expect(parseFilter("info,=x,linkerd=loud").invalid).toEqual(["=x", "linkerd=loud"]);
    const wrong = ["=info", "a[", "a[]", "a[b{c]", "a[b{=1}]", "a b", "[x]=loud", "é=info"];
    for (const one of wrong) expect(parseFilter(one).invalid).toEqual([one]);
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
    '{"timestamp":"[     1.234567s]","level":"WARN","fields":{"message":"hello","port":80},"target":"linkerd::inbound","spans":[],"threadId":"ThreadId(1)"}\n',
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

test("JSON is one line that no terminal obeys, whatever is in it", () => {
  const lines: string[] = [];
  logTo(lines, "info", "json")
    .logger("x")
    .info("a\n\x1b[2J", { sni: "\x9b31m\x7f", bytes: 2n ** 63n, none: undefined });
  expect(lines[0]).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f-\x9f]/);
  expect(lines[0]?.indexOf("\n")).toBe((lines[0]?.length ?? 0) - 1);
  expect(JSON.parse(lines[0] as string).fields).toEqual({ message: "a\n\x1b[2J", sni: "\x9b31m\x7f", bytes: "9223372036854775808" });
});

describe("spans", () => {
  const said = (filter: string, format: Format = "plain"): string[] => {
    const lines: string[] = [];
    const inbound = logTo(lines, filter, format).logger("linkerd::app").within("inbound");
    inbound.info("begun");
    const accept = inbound.within("accept", { "client.addr": "10.0.0.1:4000", port: 80 });
    accept.debug("read", { bytes: 5 });
    accept.info("closed\x07", { reason: "done" });
    return lines;
  };

  test("stand before the target, or in their own list", () => {
    expect(said("info")).toEqual([
      "[     1.234567s]  INFO ThreadId(01) inbound: linkerd::app: begun\n",
      "[     1.234567s]  INFO ThreadId(01) inbound:accept{client.addr=10.0.0.1:4000 port=80}: linkerd::app: closed\\x07 reason=done\n",
    ]);
    expect(JSON.parse(said("info", "json")[1] as string).spans).toEqual([
      { name: "inbound" },
      { "client.addr": "10.0.0.1:4000", port: 80, name: "accept" },
    ]);
  });

  test.each([
    ["warn", []],
    ["warn,[accept]=debug", ["read", "closed"]],
    ["warn,[accept]=info", ["closed"]],
    ["warn,[inbound]=info", ["begun", "closed"]],
    ["warn,linkerd[{port=80}]=debug", ["read", "closed"]],
    ["warn,[accept{port=80,client.addr=10.0.0.1:4000}]=debug", ["read", "closed"]],
    ["warn,[accept{port}]=debug", ["read", "closed"]],
    ["warn,[accept{port=8}]=debug", []],
    ["warn,[accept{port=8080}]=debug", []],
    ["warn,other[accept]=debug", []],
    ['warn,[{reason="done"}]=trace', ["closed"]],
    ["info,[{bytes=5}]=debug", ["begun", "read", "closed"]],
    ["info,[accept]=error", ["begun", "closed"]],
    ["off,[accept]", ["read", "closed"]],
  ] as [string, string[]][])("%s: %p", (filter, expected) => {
    expect(parseFilter(filter).invalid).toEqual([]);
    expect(said(filter).map((line) => /app: ([a-z]+)/.exec(line)?.[1] as string)).toEqual(expected);
  });

  test("loggers within spans follow the filter too", () => {
    const lines: string[] = [];
    const log = logTo(lines, "error");
    const logger = log.logger("x").within("a");
    logger.info("unseen");
    log.setFilter("error,[a]=info");
    logger.info("seen");
    expect(lines.length).toBe(1);
  });
});

test("any filter text is understood or named, and never throws", () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(...'a=,[]{}:info "off') }), (text) => {
      const { filter } = parseFilter(text);
      filter.level("linkerd");
      filter.conditional("linkerd", [{ name: "a", fields: {} }], {});
    }),
  );
});
