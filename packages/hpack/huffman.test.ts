import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { huffmanDecode, huffmanEncode, huffmanLength, maxDecodedBytes } from "./huffman.ts";
import { hex, toHex } from "./testing.ts";

function encode(text: string): Uint8Array {
  const out = new Uint8Array(huffmanLength(text));
  huffmanEncode(text, out, 0);
  return out;
}

/** null: refused. */
function decode(bytes: Uint8Array): string | null {
  const out = new Uint8Array(maxDecodedBytes(bytes.length));
  const n = huffmanDecode(bytes, 0, bytes.length, out);
  return n < 0 ? null : Buffer.from(out.subarray(0, n)).toString("latin1");
}

describe("Huffman code", () => {
  test("examples of RFC 7541 appendix C", () => {
    const examples: [string, string][] = [
      ["www.example.com", "f1e3c2e5f23a6ba0ab90f4ff"],
      ["no-cache", "a8eb10649cbf"],
      ["custom-key", "25a849e95ba97d7f"],
      ["Mon, 21 Oct 2013 20:13:21 GMT", "d07abe941054d444a8200595040b8166e082a62d1bff"],
      [
        "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
        "94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
      ],
    ];
    for (const [text, code] of examples) {
      expect(toHex(encode(text))).toBe(code);
      expect(decode(hex(code))).toBe(text);
    }
  });

  test("every byte alone and between others", () => {
    for (let code = 0; code < 256; code++) {
      const c = String.fromCharCode(code);
      for (const text of [c, `a${c}`, `${c}${c}`, `0${c}0`, `\xff${c}z`]) expect(decode(encode(text))).toBe(text);
    }
  });

  test("round trip", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const text = Buffer.from(bytes).toString("latin1");
        expect(decode(encode(text))).toBe(text);
      }),
    );
  });

  test("what decodes encodes to the same: the code has one form", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        const text = decode(bytes);
        if (text !== null) expect(toHex(encode(text))).toBe(toHex(bytes));
      }),
      { numRuns: 2000 },
    );
  });

  test("padding longer than seven bits, of zeros, and EOS are refused", () => {
    // "0" is 00000: three bits of padding.
    expect(decode(hex("07"))).toBe("0");
    expect(decode(hex("07ff"))).toBe(null);
    expect(decode(hex("00"))).toBe(null);
    expect(decode(hex("06"))).toBe(null);
    expect(decode(hex("ff"))).toBe(null);
    expect(decode(hex("ffffffff"))).toBe(null);
    expect(decode(hex("fffffffc"))).toBe(null);
    expect(decode(hex("07fffffffff8"))).toBe(null);
    expect(decode(hex(""))).toBe("");
  });

  test("room for the longest is enough", () => {
    expect(maxDecodedBytes(5)).toBe(8);
    expect(decode(hex("0000000000"))).toBe("00000000");
  });
});
