// Second opinion: whatever the server engine accepts, llhttp (Node's parser) reads in the same way. Where the two differ, the
// engine is the stricter one.
import { expect, test } from "bun:test";
import { join } from "node:path";
import fc from "fast-check";
import { bytes, response, TestServer } from "./testing.ts";

type Seen = { error: string; messages: { method: string; path: string; fields: string[]; body: string; ended: boolean }[] };

async function llhttp(connections: readonly string[]): Promise<Seen[]> {
  const child = Bun.spawn(["node", "--no-deprecation", join(import.meta.dir, "testdata", "llhttp.cjs")], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
  });
  child.stdin.write(JSON.stringify(connections.map((text) => Buffer.from(bytes(text)).toString("base64"))));
  await child.stdin.end();
  const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  if ((await child.exited) !== 0) throw new Error(err);
  return JSON.parse(out) as Seen[];
}

/** The engine's view in the same form; null when it refused anything or something is incomplete. */
function engine(connection: string): Seen["messages"] | null {
  const server = new TestServer((request) => {
    const answer = (): void => request.stream.respond(response(204), true);
    if (request.ended) answer();
    else request.onEnd = answer;
  });
  server.receive(connection);
  server.output();
  if (server.faults.length > 0 || server.engine.readingHead || server.requests.some((request) => !request.ended)) return null;
  return server.requests.map(({ head, body, ended, trailers }) => ({
    method: head.method,
    path: head.path,
    // llhttp gives trailers as fields that follow.
    fields: [...head.fields, ...(trailers ?? [])],
    body,
    ended,
  }));
}

const part = fc.constantFrom(
  "GET",
  "POST",
  "PUT",
  " ",
  "/",
  "/a?b",
  "*",
  " HTTP/1.1\r\n",
  " HTTP/1.0\r\n",
  "Host: a\r\n",
  "host:b\r\n",
  "Content-Length: 5\r\n",
  "content-length:0\r\n",
  "Transfer-Encoding: chunked\r\n",
  "TE: trailers\r\n",
  "X: 1\r\n",
  "X:\r\n",
  "Connection: close\r\n",
  "Connection: keep-alive\r\n",
  "\r\n",
  "\r",
  "\n",
  "5\r\nhello\r\n",
  "0\r\n\r\n",
  "5;a=b\r\nhello\r\n",
  "0\r\nx: 1\r\n\r\n",
  "hello",
  "\t",
  ":",
  "\xff",
);
const soup = fc.array(part, { minLength: 4, maxLength: 12 }).map((parts) => parts.join(""));
const METHODS = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"];
const method = fc.constantFrom(...METHODS);
const field = fc.constantFrom("X: 1\r\n", "Y:\t 2 \r\n", "Z:\r\n", "Cookie: a=b; c\r\n", "Accept: */*\r\n");
const framed = fc.constantFrom(
  "\r\n",
  "Content-Length: 0\r\n\r\n",
  "Content-Length: 5\r\n\r\nhello",
  "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
  "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
  'Transfer-Encoding: chunked\r\n\r\n2;a="b"\r\nhe\r\n3;c\r\nllo\r\n0\r\n\r\n',
  "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n",
);
const request = fc
  .tuple(method, fc.constantFrom("/", "/a?b=c", "//x", "/%20"), fc.array(field, { maxLength: 3 }), framed)
  .map(([m, path, fields, rest]) => `${m} ${path} HTTP/1.1\r\nHost: a\r\n${fields.join("")}${rest}`);
const connection = fc.array(request, { minLength: 1, maxLength: 3 }).map((list) => list.join(""));
const spoilt = fc
  .tuple(connection, fc.nat(), fc.constantFrom("", "\r", "\n", "\0", " ", ":", "\r\n", "0", ",", "\x0b", "\xff", "+", ";"))
  .map(([text, at, evil]) => {
    const i = at % (text.length + 1);
    return text.slice(0, i) + evil + text.slice(i + 1);
  });

test("what is accepted is read alike", async () => {
  const connections = [
    ...fc.sample(connection, { numRuns: 300, seed: 1 }),
    ...fc.sample(spoilt, { numRuns: 4000, seed: 2 }),
    ...fc.sample(soup, { numRuns: 3000, seed: 3 }),
  ];
  const theirs = await llhttp(connections);
  let accepted = 0;
  connections.forEach((text, i) => {
    const ours = engine(text);
    if (ours === null) return;
    accepted++;
    const { error, messages } = theirs[i] as Seen;
    const alike = messages.map((message) => ({
      ...message,
      fields: message.fields.map((value, n) => (n % 2 === 0 ? value.toLowerCase() : value.trim())),
    }));
    // Any token is a method; llhttp knows a list.
    const known = ours.findIndex((message) => !METHODS.includes(message.method));
    if (known >= 0) expect({ text, error, messages: alike }).toEqual({ text, error: "HPE_INVALID_METHOD", messages: ours.slice(0, known) });
    // Bytes behind a request that closes the connection: dropped here, an error there.
    else
      expect({ text, error: error === "HPE_CLOSED_CONNECTION" ? "" : error, messages: alike }).toEqual({ text, error: "", messages: ours });
  });
  expect(accepted).toBeGreaterThan(300);
});
