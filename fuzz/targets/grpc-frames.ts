// Messages on a gRPC stream, and how a call ended.
import { Code, encodeFrame, FrameReader, statusOfFields } from "#grpc";
import { everyCut } from "../input.ts";
import { bytesOf, check, latin1, same, type Target } from "../target.ts";

const MAX_BYTES = 300;

const target: Target = {
  name: "grpc-frames",
  what: "gRPC messages: the same however cut, as lengths say, bounded; status and message of any trailers",
  maxBytes: 1024,
  seeds: [
    "\0\0\0\0\x05hello\0\0\0\0\0",
    "\0\0\0\x01\x2c",
    "\x01\0\0\0\x01a",
    "\0\0\0\x01\x2d",
    "\0\0\0\0\x02",
    "5 %41%e2%82%ac",
    "0 ",
    "017 %zz",
  ],
  dictionary: ["\0\0\0\0", "\0\0\0\x01\x2c", "%20", "%e2%82%ac"],
  run(input) {
    const outcome = everyCut(input, read, same);
    same(outcome, naive(input), "as the lengths say");
    const frames = outcome.messages.map((message) => latin1(encodeFrame(bytesOf(message)))).join("");
    check(latin1(input).startsWith(frames), "messages framed again are the bytes they came in");
    status(latin1(input));
  },
};
export default target;

type Outcome = { messages: string[]; fault: string | null; partial: boolean };

function read(pieces: Iterable<Uint8Array>): Outcome {
  const reader = new FrameReader(MAX_BYTES);
  const messages: string[] = [];
  for (const piece of pieces) {
    reader.push(piece);
    for (let next = reader.next(); next !== null; next = reader.next()) {
      if (!(next instanceof Uint8Array)) return { messages, fault: next.kind, partial: true };
      check(next.length <= MAX_BYTES, "a message longer than its bound");
      messages.push(latin1(next));
    }
  }
  return { messages, fault: null, partial: reader.partial };
}

function naive(bytes: Uint8Array): Outcome {
  const messages: string[] = [];
  let at = 0;
  while (bytes.length - at >= 5) {
    const length = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).readUInt32BE(at + 1);
    if (bytes[at] !== 0) return { messages, fault: "compressed", partial: true };
    if (length > MAX_BYTES) return { messages, fault: "too long", partial: true };
    if (bytes.length - at - 5 < length) break;
    messages.push(latin1(bytes.subarray(at + 5, at + 5 + length)));
    at += 5 + length;
  }
  return { messages, fault: null, partial: at < bytes.length };
}

function status(text: string): void {
  const space = text.indexOf(" ");
  const code = space < 0 ? text : text.slice(0, space);
  const message = space < 0 ? "" : text.slice(space + 1);
  const read = statusOfFields(["x", "y", "grpc-status", code, "grpc-message", message]);
  check(read !== null, "a status that is there");
  check(Number.isInteger(read.code) && read.code >= 0 && read.code <= Code.UNAUTHENTICATED, () => `code ${read.code}`);
  const n = /^\d{1,3}$/.test(code) ? Number(code) : 2;
  same(read.code, n > 16 ? 2 : n, "code");
  if (!message.includes("%")) same(read.message, message, "message");
}
