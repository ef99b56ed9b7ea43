// The chunked coding alone, against a reading of its grammar by regular expressions.
import { MAX_FIELDS } from "#http1";
import { ChunkedDecoder } from "../../packages/http1/chunked.ts";
import { checkFields } from "../harness/exchange.ts";
import { everyCut } from "../input.ts";
import { check, latin1, same, type Target } from "../target.ts";

const target: Target = {
  name: "http1-chunked",
  what: "chunked coding: the same however cut; content, trailers and end as the grammar of RFC 9112 §7.1 has them, or refused by both",
  maxBytes: 2048,
  seeds: [
    "5\r\nhello\r\n0\r\n\r\n",
    'A;a;b=c ; d = "e\\"f"\r\n0123456789\r\n000\r\nX: 1\r\ny:\t2 \r\n\r\nrest',
    "1\r\na\r\n1;\nb\r\n0\r\n\r\n",
    "ffffffffffffffff\r\n",
    "0\r\nContent-Length: 5\r\n\r\n",
    "2\r\n\r\n\r\n0\r\n\r\n",
  ],
  dictionary: ["0\r\n", "\r\n", "0\r\n\r\n", ";a=b", '="', '\\"', "fffffffffffff", "Host: a\r\n", " ;"],
  run(input) {
    const outcome = everyCut(input, decode, same);
    const { done, content, trailers, rest } = outcome;
    same(done ? { content, trailers, rest } : null, whole(latin1(input)), "by the grammar");
  },
};
export default target;

type Outcome = { content: string; done: boolean; trailers: readonly string[] | null; rest: string; fault: boolean };

function decode(pieces: Iterable<Uint8Array>): Outcome {
  const decoder = new ChunkedDecoder();
  let content = "";
  let rest = "";
  for (const piece of pieces) {
    let at = 0;
    while (at < piece.length && !decoder.done && decoder.fault === null) {
      const next = decoder.next(piece, at);
      check(next >= at && next <= piece.length, () => `stopped at ${next}`);
      check(next > at || decoder.fault !== null || decoder.done, "no progress");
      if (decoder.data !== null) {
        check(decoder.data.length > 0, "an empty piece");
        content += latin1(decoder.data);
      }
      at = next;
    }
    if (decoder.done) rest += latin1(piece.subarray(at));
  }
  if (decoder.trailers !== null) checkFields(decoder.trailers);
  const fault = decoder.fault !== null;
  // How much was passed on before a fault is seen depends on nothing but the bytes.
  return { content, done: decoder.done, trailers: decoder.trailers, rest, fault };
}

const TOKEN = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]+";
const QUOTED = '"(?:[\\t \\x21\\x23-\\x5b\\x5d-\\x7e\\x80-\\xff]|\\\\[\\t \\x21-\\x7e\\x80-\\xff])*"';
const WS = "[ \\t]*";
const SIZE = new RegExp(`^([0-9A-Fa-f]{1,16})(?:${WS};${WS}${TOKEN}(?:${WS}=${WS}(?:${TOKEN}|${QUOTED}))?)*\\r\\n`);
const FIELD = new RegExp(
  `^(${TOKEN}):${WS}((?:[\\x21-\\x7e\\x80-\\xff](?:[\\t \\x21-\\x7e\\x80-\\xff]*[\\x21-\\x7e\\x80-\\xff])?)?)${WS}\\r\\n`,
);
const FORBIDDEN = /^(content-length|transfer-encoding|host|connection|keep-alive|proxy-connection|upgrade|te|trailer)$/;

/** The whole coding at once; null when it is not there, or not yet. */
function whole(text: string): Pick<Outcome, "content" | "trailers" | "rest"> | null {
  let content = "";
  let at = 0;
  for (;;) {
    const size = SIZE.exec(text.slice(at));
    if (size === null) return null;
    const n = Number.parseInt(size[1] as string, 16);
    at += size[0].length;
    if (n === 0) break;
    if (!Number.isSafeInteger(n) || text.slice(at + n, at + n + 2) !== "\r\n") return null;
    content += text.slice(at, at + n);
    at += n + 2;
  }
  const trailers: string[] = [];
  while (!text.startsWith("\r\n", at)) {
    const field = FIELD.exec(text.slice(at));
    const name = field?.[1]?.toLowerCase() ?? "";
    if (field === null || FORBIDDEN.test(name) || trailers.length === MAX_FIELDS * 2) return null;
    trailers.push(name, field[2] as string);
    at += field[0].length;
  }
  return { content, trailers: trailers.length > 0 ? trailers : null, rest: text.slice(at + 2) };
}
