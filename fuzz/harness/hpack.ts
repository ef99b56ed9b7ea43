// HPACK as RFC 7541 tells it, with no thought of speed: the second opinion.

import type { HeaderField } from "#hpack";
import { huffmanEncode, huffmanLength } from "../../packages/hpack/huffman.ts";
import { STATIC_ENTRIES, STATIC_TABLE } from "../../packages/hpack/static-table.ts";

export type Line = { readonly name: string; readonly value: string; readonly sensitive: boolean };

/** The block is not valid. */
export class Invalid extends Error {}

/** Codes of appendix B as text of bits, by their symbol; the code of a symbol is what its encoding is padded from. */
const SYMBOLS = new Map<string, number>();
for (let symbol = 0; symbol < 256; symbol++) {
  // Four times the symbol, so that where its code ends is known: the encoding of n copies has n × length bits, then ones.
  const copies = String.fromCharCode(symbol).repeat(8);
  const bytes = new Uint8Array(huffmanLength(copies) + 8);
  huffmanEncode(copies, bytes, 0);
  // Eight copies take a whole number of bytes: as many as a code has bits.
  const bits = huffmanLength(copies);
  let text = "";
  for (const byte of bytes) text += byte.toString(2).padStart(8, "0");
  SYMBOLS.set(text.slice(0, bits), symbol);
}

export class NaiveDecoder {
  table: Line[] = [];
  #maxBytes = 4096;
  #bytes: Uint8Array = new Uint8Array(0);
  #at = 0;

  get tableBytes(): number {
    return this.table.reduce((sum, line) => sum + line.name.length + line.value.length + 32, 0);
  }

  /** @throws {Invalid} */
  decode(bytes: Uint8Array): Line[] {
    this.#bytes = bytes;
    this.#at = 0;
    const lines: Line[] = [];
    let updates = 0;
    while (this.#at < bytes.length) {
      const first = bytes[this.#at] as number;
      if (first & 0x80) lines.push({ ...this.#entry(this.#integer(7)), sensitive: this.#entrySensitive });
      else if (first & 0x40) {
        const line = this.#literal(6, false);
        this.table.unshift(line);
        this.#evict();
        lines.push(line);
      } else if (first & 0x20) {
        if (lines.length > 0 || ++updates > 2) throw new Invalid("size update");
        const size = this.#integer(5);
        if (size > 4096) throw new Invalid("size");
        this.#maxBytes = size;
        this.#evict();
      } else lines.push(this.#literal(4, (first & 0x10) !== 0));
    }
    return lines;
  }

  #entrySensitive = false;

  #entry(index: number): Line {
    this.#entrySensitive = false;
    if (index === 0) throw new Invalid("index 0");
    if (index <= STATIC_ENTRIES) {
      const { name, value } = STATIC_TABLE[index] as HeaderField;
      return { name, value, sensitive: false };
    }
    const line = this.table[index - STATIC_ENTRIES - 1];
    if (line === undefined) throw new Invalid("index");
    return line;
  }

  #literal(prefix: number, sensitive: boolean): Line {
    const index = this.#integer(prefix);
    const name = index === 0 ? this.#string() : this.#entry(index).name;
    return { name, value: this.#string(), sensitive };
  }

  #evict(): void {
    while (this.tableBytes > this.#maxBytes) this.table.pop();
  }

  #integer(prefix: number): number {
    const max = 2 ** prefix - 1;
    let value = this.#byte() & max;
    if (value < max) return value;
    for (let shift = 0; ; shift += 7) {
      // As the decoder: more bytes than this are refused, RFC 7541 §5.1 leaves the limit open.
      if (shift > 21) throw new Invalid("integer");
      const byte = this.#byte();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
  }

  #string(): string {
    const coded = ((this.#bytes[this.#at] ?? 0) & 0x80) !== 0;
    const length = this.#integer(7);
    const bytes = this.#bytes.slice(this.#at, this.#at + length);
    if (bytes.length < length) throw new Invalid("string");
    this.#at += length;
    if (!coded) return Buffer.from(bytes).toString("latin1");
    let text = "";
    let code = "";
    for (const byte of bytes) {
      for (const bit of byte.toString(2).padStart(8, "0")) {
        code += bit;
        const symbol = SYMBOLS.get(code);
        if (symbol !== undefined) {
          text += String.fromCharCode(symbol);
          code = "";
        } else if (code.length > 30) throw new Invalid("Huffman code");
      }
    }
    // Padding: the most significant bits of EOS, less than a byte.
    if (code.length > 7 || code.includes("0")) throw new Invalid("Huffman padding");
    return text;
  }

  #byte(): number {
    const byte = this.#bytes[this.#at++];
    if (byte === undefined) throw new Invalid("end");
    return byte;
  }
}
