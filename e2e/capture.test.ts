import { expect, test } from "bun:test";
import { Capture, looksLikeTls } from "./capture.ts";

test("sees what crosses an interface in clear text", async () => {
  const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("a secret answer") });
  const port = server.port;
  const capture = new Capture("lo");
  try {
    await (await fetch(`http://127.0.0.1:${port}/a-secret-question`)).text();
    await Bun.sleep(20);
  } finally {
    server.stop(true);
  }
  const seen = capture.stop().filter(({ fromPort, toPort }) => fromPort === port || toPort === port);
  const text = seen.map(({ payload }) => new TextDecoder("latin1").decode(payload)).join("");
  expect(text).toContain("GET /a-secret-question HTTP/1.1");
  expect(text).toContain("a secret answer");
  expect(seen.some(({ payload }) => looksLikeTls(payload))).toBe(false);
});

test("an interface that does not exist is an error", () => {
  expect(() => new Capture("absent0")).toThrow("absent0");
});
