// Which chars may stand where in an HTTP/2 message: RFC 9113 §8.2.1, RFC 9110 §5.6.2, RFC 3986.

const NAME = 1;
const VALUE = 2;
const METHOD = 4;
const PATH = 8;
const QUERY = 16;
const SCHEME = 32;

const CLASS = build();

function build(): Uint8Array {
  const table = new Uint8Array(256);
  for (let code = 0; code < 256; code++) {
    const c = String.fromCharCode(code);
    let bits = 0;
    // Names are tokens in lower case.
    if (/^[!#$%&'*+\-.^_`|~0-9a-z]$/.test(c)) bits |= NAME;
    if (/^[!#$%&'*+\-.^_`|~0-9A-Za-z]$/.test(c)) bits |= METHOD;
    // Control chars other than HTAB are refused beside the NUL, CR and LF that RFC 9113 names: HTTP/1 would refuse them.
    if (code === 9 || (code >= 0x20 && code !== 0x7f)) bits |= VALUE;
    // pchar, "/" and what clients send unescaped (the set of Rust's `http` crate); never "#" (spec hardening §2).
    if (code > 0x20 && code < 0x7f && !/^[#<>?`]$/.test(c)) bits |= PATH;
    if (code > 0x20 && code < 0x7f && !/^[#<"]$/.test(c)) bits |= QUERY;
    if (/^[A-Za-z0-9+.-]$/.test(c)) bits |= SCHEME;
    table[code] = bits;
  }
  return table;
}

function all(text: string, bit: number, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if (((CLASS[text.charCodeAt(i)] as number) & bit) === 0) return false;
  return true;
}

export function isName(text: string): boolean {
  return text.length > 0 && all(text, NAME, 0, text.length);
}

/** A field value without surrounding white space. */
export function isValue(text: string): boolean {
  const length = text.length;
  if (length === 0) return true;
  const first = text.charCodeAt(0);
  const last = text.charCodeAt(length - 1);
  return first !== 0x20 && first !== 9 && last !== 0x20 && last !== 9 && all(text, VALUE, 0, length);
}

export function isMethod(text: string): boolean {
  return text.length > 0 && all(text, METHOD, 0, text.length);
}

/** RFC 3986 §3.1: begins with a letter. */
export function isScheme(text: string): boolean {
  return /^[A-Za-z]/.test(text) && all(text, SCHEME, 0, text.length);
}

/** "/" path [ "?" query ], or "*". */
export function isPath(text: string): boolean {
  if (text.charCodeAt(0) !== 0x2f) return text === "*";
  const query = text.indexOf("?");
  if (query < 0) return all(text, PATH, 0, text.length);
  return all(text, PATH, 0, query) && all(text, QUERY, query + 1, text.length);
}

/** 1*DIGIT below 2^53, else -1. */
export function parseLength(text: string): number {
  if (text.length === 0 || text.length > 16) return -1;
  let value = 0;
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 48;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value <= Number.MAX_SAFE_INTEGER ? value : -1;
}
