// The first read of a connection: which protocol it is.
import { DETECT_BYTES, detectHttp } from "#detect";
import { check, same, type Target } from "../target.ts";

const target: Target = {
  name: "detect",
  what: "protocol of the first read: total; a prefix of HTTP is HTTP; bytes beyond the bound do not matter; as a regular expression has it",
  maxBytes: 1200,
  seeds: [
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "\r\n\r\nPOST /a/b?c=d HTTP/1.0\n",
    "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03aaaa",
    "220 smtp.example.com ESMTP\r\n",
    "GET / HTTP/2.0\r\n\r\n",
    "ABCDEFGHIJKLMN",
  ],
  dictionary: ["PRI * HTTP/2.0", " HTTP/1.", "HTTP/1.1\r\n", "\r\n", "GET /"],
  run(input) {
    const version = detectHttp(input);
    same(version, expected(input), "protocol");
    same(detectHttp(input.slice(0, DETECT_BYTES)), version, "bytes beyond the bound");
    for (let n = 0; n < input.length; n++) {
      const early = detectHttp(input.subarray(0, n));
      if (n < 14) check(early === null, "fewer bytes than any protocol needs");
      else if (version !== null) check(early === version, () => `${version}, but its first ${n} bytes are ${early}`);
    }
  },
};
export default target;

/** Spec proxy §3.5 in another notation: behind each of these parts the bytes may end. */
const PARTS = ["[!#$%&'*+\\-.^_`|~0-9A-Za-z]+", " ", "[\\x21-\\x7e\\x80-\\xff]+", " ", ..."HTTP/1", "\\.", "[01]"];
const HTTP1 = new RegExp(`^(?:\\n|\\r\\n)*(?:\\r$|${PARTS.reduceRight((rest, part) => `(?:$|${part}${rest})`, "(?:$|\\n|\\r(?:$|\\n))")})`);

function expected(bytes: Uint8Array): "http1" | "http2" | null {
  if (bytes.length < 14) return null;
  const text = Buffer.from(bytes.subarray(0, DETECT_BYTES)).toString("latin1");
  if (text.startsWith("PRI * HTTP/2.0")) return "http2";
  return HTTP1.test(text) ? "http1" : null;
}
