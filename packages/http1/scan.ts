// Finding the end of a head in raw bytes.
import { CLASS, CR, HTAB, LF, TCHAR } from "./chars.ts";

/** The index behind the first empty line (CRLF CRLF) at or after `from`, -1 when there is none. */
export function findHeadEnd(bytes: Uint8Array, from: number): number {
  const length = bytes.length;
  let i = from + 3;
  while (i < length) {
    const c = bytes[i];
    if (c === LF) {
      if (bytes[i - 1] === CR && bytes[i - 2] === LF && bytes[i - 3] === CR) return i + 1;
      i += 2;
    } else i += c === CR ? 1 : 4;
  }
  return -1;
}

/**
 * What is wrong with the head that begins at `start` and is not complete, as far as line ends tell: a bare LF or CR, another
 * control character, a first byte that begins no head. Without this a peer that ends lines by LF alone would wait for an
 * answer until a timeout. `from`: where what was not checked before begins.
 */
export function partialHeadFault(bytes: Uint8Array, start: number, from: number): string | null {
  for (let i = from; i < bytes.length; i++) {
    const c = bytes[i] as number;
    const afterCr = i > start && bytes[i - 1] === CR;
    if (c === LF) {
      if (!afterCr) return "LF without CR";
    } else if (afterCr) return "CR without LF";
    else if ((c < 0x20 && c !== CR && c !== HTAB) || c === 0x7f) return "control character in head";
    else if (i === start && c !== CR && ((CLASS[c] as number) & TCHAR) === 0) return "not HTTP";
  }
  return null;
}
