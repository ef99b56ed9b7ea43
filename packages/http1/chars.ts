// Character classes of RFC 9110 §5.6 and RFC 3986 as one table of bits, one entry per byte.

/** token, RFC 9110 §5.6.2. */
export const TCHAR = 1;
/** What a field value may hold: VCHAR, SP, HTAB, obs-text (RFC 9110 §5.5). */
export const VALUE = 2;
/** Path of a request target. RFC 3986 pchar and "/", and what clients send unescaped (the set of Rust's `http` crate); never "#". */
export const PATH = 4;
/** Query of a request target, likewise. */
export const QUERY = 8;
export const DIGIT = 16;
export const HEX = 32;
/** qdtext, RFC 9110 §5.6.4. */
export const QDTEXT = 64;
/** token in lower case: field names as they are kept and sent. */
export const NAME = 128;

export const CR = 13;
export const LF = 10;
export const SP = 32;
export const HTAB = 9;
export const COLON = 58;

// Behind all that it is built of: a bundler may turn constants into variables, which are undefined until their line.
export const CLASS: Readonly<Uint8Array> = build();

function build(): Uint8Array {
  const table = new Uint8Array(256);
  const add = (bit: number, test: (c: string, code: number) => boolean): void => {
    for (let code = 0; code < 256; code++) if (test(String.fromCharCode(code), code)) table[code] = (table[code] as number) | bit;
  };
  add(TCHAR, (c) => /^[!#$%&'*+\-.^_`|~0-9A-Za-z]$/.test(c));
  add(NAME, (c) => /^[!#$%&'*+\-.^_`|~0-9a-z]$/.test(c));
  add(VALUE, (_c, code) => code === HTAB || (code >= 0x20 && code !== 0x7f));
  add(PATH, (c, code) => code > 0x20 && code < 0x7f && !/^[#<>?`]$/.test(c));
  add(QUERY, (c, code) => code > 0x20 && code < 0x7f && !/^[#<"]$/.test(c));
  add(DIGIT, (c) => /^[0-9]$/.test(c));
  add(HEX, (c) => /^[0-9A-Fa-f]$/.test(c));
  add(QDTEXT, (c, code) => code === HTAB || (code >= 0x20 && code !== 0x7f && c !== '"' && c !== "\\"));
  return table;
}

/** Whether every char of `text` has `bit`; false for an empty text and for chars beyond latin1. */
export function all(text: string, bit: number): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 255 || ((CLASS[code] as number) & bit) === 0) return false;
  }
  return text.length > 0;
}
