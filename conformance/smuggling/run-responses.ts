// Runs response cases: the application answers badly, and the oracle is what the client and those after it get.
import { NAME } from "../../proxy/testing/mesh.ts";
import type { CaseResult } from "../suite.ts";
import type { Door } from "./doors.ts";
import { answerOk, within } from "./recorder.ts";
import { POISON, type ResponseCase } from "./responses.ts";
import { readResponses } from "./strict-reader.ts";

/** Requests behind a case on new connections: they must get their own answers, whatever is in the proxy's pool. */
const FOLLOWERS = 3;

export async function runResponses(door: Door, cases: readonly ResponseCase[]): Promise<CaseResult[]> {
  const results: CaseResult[] = [];
  const { recorder } = door;
  try {
    for (const one of cases) {
      recorder.answer = ({ start }, socket) => {
        const [method, target] = start.split(" ");
        if (target !== "/case") return own(target ?? "");
        if (method !== one.method) return null;
        if (one.ends) {
          socket.end(Buffer.from(one.answer, "latin1"));
          return null;
        }
        return one.answer;
      };
      const detail = await runCase(door, one).catch((error: Error) => error.message);
      results.push({
        target: door.name,
        case: `${one.group}: ${one.name} (${one.source})`,
        outcome: detail === null ? "passed" : "failed",
        detail: detail ?? "",
      });
      recorder.take();
    }
    for (const [name, run] of Object.entries(SCENARIOS)) {
      const detail = await run(door).catch((error: Error) => error.message);
      results.push({
        target: door.name,
        case: `response scenario: ${name}`,
        outcome: detail === null ? "passed" : "failed",
        detail: detail ?? "",
      });
      recorder.take();
    }
  } finally {
    recorder.answer = answerOk;
  }
  return results;
}

const own = (target: string): string => `HTTP/1.1 200 OK\r\ncontent-length: ${target.length}\r\n\r\n${target}`;
const request = (target: string, method = "GET"): string => `${method} ${target} HTTP/1.1\r\nHost: ${NAME}\r\n\r\n`;

async function runCase(door: Door, one: ResponseCase): Promise<string | null> {
  const client = await within(door.dial(), "the connection");
  try {
    client.write(request("/case", one.method));
    const { verdict } = one;
    const read = () => readResponses(client.text(), [one.method, "GET"]);
    const final = () => read().messages.find(({ start }) => !/^.{9}1/.test(start));
    await within(
      Promise.race([client.closed, client.until(() => final()?.complete === true).catch(() => "")]),
      `the answer (got ${JSON.stringify(client.text().slice(0, 200))})`,
    );
    if (client.text().includes("poisoned")) return "the client got a response that answers no request";
    const { problem } = read();
    if (problem !== null) return `the client got ${problem}`;
    const response = final();
    switch (verdict.kind) {
      case "bad-gateway":
        if (response === undefined || !response.complete) return `no whole answer: ${JSON.stringify(client.text().slice(0, 200))}`;
        if (!response.start.startsWith("HTTP/1.1 502 ")) return `answered ${response.start}`;
        break;
      case "broken":
        // 502, or a message whose end is missing (or all of it) and a connection that has ended.
        await within(client.closed, "the end of the connection");
        if (response?.complete === true && !response.start.startsWith("HTTP/1.1 502 "))
          return `a message that looks whole: ${JSON.stringify(client.text().slice(0, 200))}`;
        break;
      case "passed": {
        if (response === undefined || !response.complete) return `no whole answer: ${JSON.stringify(client.text().slice(0, 200))}`;
        if (!response.start.startsWith(`HTTP/1.1 ${verdict.status} `)) return `answered ${response.start}`;
        if (response.body !== verdict.body) return `content ${JSON.stringify(response.body)}`;
        for (const [name, value] of verdict.fields ?? []) {
          const got = response.fields.filter(([own]) => own === name).map(([, own]) => own);
          if (value === null ? got.length > 0 : got[0] !== value) return `${name} is ${JSON.stringify(got)}`;
        }
        break;
      }
      default:
        return verdict satisfies never;
    }
    return await followers(door);
  } finally {
    client.socket.destroy();
  }
}

/** Whoever comes next gets the answers to its own requests. */
async function followers(door: Door): Promise<string | null> {
  for (let i = 0; i < FOLLOWERS; i++) {
    const client = await within(door.dial(), "a later connection");
    try {
      const target = `/own-${i}`;
      client.write(request(target));
      await within(
        client.until((text) => text.endsWith(target) || text.includes("poisoned")),
        "the answer to a later request",
      );
      const { messages } = readResponses(client.text(), []);
      if (messages.length !== 1 || messages[0]?.body !== target)
        return `a later request got ${JSON.stringify(client.text().slice(0, 200))}`;
    } finally {
      client.socket.destroy();
    }
  }
  return null;
}

const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

/** What needs more than one answer. */
const SCENARIOS: Readonly<Record<string, (door: Door) => Promise<string | null>>> = {
  /** RFC 9112 §9.2: the response comes while the connection waits in the pool. */
  "a response without request on a pooled connection"(door) {
    const { recorder } = door;
    recorder.answer = ({ start }, socket) => {
      const target = start.split(" ")[1] ?? "";
      if (target === "/case") setTimeout(() => socket.write(POISON), 1);
      return own(target);
    };
    return (async () => {
      const client = await within(door.dial(), "the connection");
      client.write(request("/case"));
      await within(client.until(/\/case$/), "the answer");
      await pause();
      client.write(request("/second"));
      await within(Promise.race([client.until(/\/second$/).catch(() => ""), client.closed]), "the second answer");
      const text = client.text();
      client.socket.destroy();
      if (text.includes("poisoned")) return "the client got a response that answers no request";
      return followers(door);
    })();
  },
  /** RFC 9112 §9.3.2: a client that pipelines gets the answers in the order of its requests, also when the first is bad. */
  "a bad answer to the first of two requests"(door) {
    const { recorder } = door;
    recorder.answer = ({ start }) => {
      const target = start.split(" ")[1] ?? "";
      return target === "/case" ? "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!" : own(target);
    };
    return (async () => {
      const client = await within(door.dial(), "the connection");
      client.write(request("/case") + request("/second"));
      const text = await within(client.closed, "the end of the connection");
      const { messages, problem } = readResponses(text, []);
      if (problem !== null) return `the client got ${problem}`;
      if (messages.length !== 1 || messages[0]?.start !== "HTTP/1.1 502 Bad Gateway") return `the client got ${JSON.stringify(text)}`;
      return followers(door);
    })();
  },
  /** RFC 9110 §15.2.2, advisory CVE-2026-2833: nothing of what follows an Upgrade is sent before 101. */
  "bytes behind Upgrade wait for 101"(door) {
    return behindUpgrade(
      door,
      "GET /case HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
      "HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    );
  },
  /** RFC 9110 §9.3.6, the same for CONNECT. */
  "bytes behind CONNECT wait for 2xx"(door) {
    return behindUpgrade(door, "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n");
  },
  /** CVE-2025-64763 class: the server refuses, and what followed is a request of its own. */
  "a refused Upgrade: what follows is the next request"(door) {
    const { recorder } = door;
    recorder.answer = ({ start }) => own(start.split(" ")[1] ?? "");
    recorder.take();
    return (async () => {
      const client = await within(door.dial(), "the connection");
      client.write(`GET /case HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n${request("/second")}`);
      await within(Promise.race([client.until(/\/second$/).catch(() => ""), client.closed]), "the second answer");
      const text = client.text();
      client.socket.destroy();
      const { messages, problem } = readResponses(text, []);
      if (problem !== null) return `the client got ${problem}`;
      const bodies = messages.map(({ body }) => body).join();
      // Ending the connection behind the first is as good.
      if (bodies !== "/case,/second" && bodies !== "/case") return `the client got ${JSON.stringify(text)}`;
      const targets = recorder.take().requests.map(({ start }) => start.split(" ")[1]);
      return targets.join() === bodies ? null : `the application got ${targets.join()}`;
    })();
  },
};

async function behindUpgrade(door: Door, head: string, answer: string): Promise<string | null> {
  const { recorder } = door;
  let reply: (() => void) | null = null;
  const asked = Promise.withResolvers<void>();
  recorder.answer = (_request, socket) => {
    reply = () => void socket.write(answer);
    asked.resolve();
    return null;
  };
  recorder.take();
  const client = await within(door.dial(), "the connection");
  try {
    client.write(`${head}${request("/smuggled")}`);
    await within(asked.promise, "the request");
    await pause();
    const before = recorder.take();
    if (before.requests.length !== 1 || before.unfinished.length > 0)
      return `before the answer the application got ${JSON.stringify(before.unfinished[0] ?? before.requests.map(({ start }) => start))}`;
    const leaks = recorder.leaks;
    (reply as (() => void) | null)?.();
    // What was held is the tunnel's now.
    while (recorder.leaks === leaks) await within(recorder.changed(), "the bytes behind the upgrade");
    recorder.leaks = leaks;
    return null;
  } finally {
    client.socket.destroy();
    // The tunnel ends, and with it what the next case is not to be blamed for.
    while (recorder.open > 0) await within(recorder.changed(), "the end of the tunnel");
    recorder.take();
  }
}
