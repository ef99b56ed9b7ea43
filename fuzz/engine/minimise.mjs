// Makes an input that a target fails on as short as it goes: node minimise.mjs BUNDLE INPUT OUTPUT SECONDS
// Every variant must fail with the same first line. Prints the message; without a failure prints nothing and writes nothing.
import { readFileSync, writeFileSync } from "node:fs";

const [bundle, input, output, seconds] = process.argv.slice(2);
const { fuzz } = await import(bundle);
const deadline = performance.now() + Number(seconds) * 1000;

/** The failure on these bytes as text, "" when there is none. */
async function failure(bytes) {
  try {
    await fuzz(bytes);
    return "";
  } catch (error) {
    return String(error instanceof Error ? (error.stack ?? error) : error);
  }
}
// Numbers and quoted parts depend on the input; the words do not.
const kind = (text) => text.split("\n", 1)[0].replace(/"(?:[^"\\]|\\.)*"|\d+/g, "…");

let bytes = new Uint8Array(readFileSync(input));
const first = await failure(bytes);
if (first !== "") {
  const wanted = kind(first);
  const fails = async (candidate) => performance.now() < deadline && kind(await failure(candidate)) === wanted;
  for (let again = true; again && performance.now() < deadline; ) {
    again = false;
    for (let n = Math.max(1, bytes.length >> 1); n >= 1; n >>= 1)
      for (let at = 0; at < bytes.length; ) {
        const shorter = Uint8Array.from([...bytes.subarray(0, at), ...bytes.subarray(at + n)]);
        if (shorter.length < bytes.length && (await fails(shorter))) {
          bytes = shorter;
          again = true;
        } else at += n;
      }
    // What is left is made plain.
    for (let at = 0; at < bytes.length; at++) {
      if (bytes[at] === 0x61 || bytes[at] === 0) continue;
      for (const byte of [0, 0x61]) {
        const plainer = bytes.slice();
        plainer[at] = byte;
        if (await fails(plainer)) {
          bytes = plainer;
          break;
        }
      }
    }
  }
  writeFileSync(output, bytes);
  console.log(await failure(bytes));
}
