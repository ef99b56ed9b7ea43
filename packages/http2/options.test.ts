import { expect, test } from "bun:test";
import { type Http2Options, Http2Server } from "./index.ts";
import { RecordingHandler, TestHost } from "./testing/wire.ts";

const make = (options: Http2Options): Http2Server => new Http2Server({ host: new TestHost(), handler: new RecordingHandler(), options });

test("options at the ends of their ranges, and past them", () => {
  const ranges: [keyof Http2Options, number, number][] = [
    ["initialStreamWindow", 1, 2 ** 31 - 1],
    ["initialConnectionWindow", 1, 2 ** 31 - 1],
    ["maxConcurrentStreams", 1, 2 ** 31 - 1],
    ["initialMaxSendStreams", 1, 2 ** 31 - 1],
    ["maxHeaderListBytes", 1, 2 ** 31 - 1],
    ["maxFields", 1, 2 ** 31 - 1],
  ];
  for (const [name, min, max] of ranges) {
    for (const value of [min, max]) expect(() => make({ [name]: value })).not.toThrow();
    for (const value of [min - 1, max + 1, min + 0.5, Number.NaN]) {
      expect(() => make({ [name]: value })).toThrow(`HTTP/2 option ${name}: ${value} is not a whole number from ${min} to ${max}`);
    }
  }
});
