// PEM (RFC 7468): blocks in, blocks out.

export type PemBlock = { readonly label: string; readonly der: Uint8Array<ArrayBuffer> };

/** Most blocks that are read from one text: a bundle of trust anchors has a handful. */
export const maxPemBlocks = 100;

export class PemError extends Error {
  override readonly name = "PemError";
}

/**
 * The blocks of a text in order; text between them is ignored.
 * @throws {PemError} for a block that does not end or is not base64, or more than {@link maxPemBlocks}.
 */
export function parsePem(text: string): PemBlock[] {
  const blocks: PemBlock[] = [];
  const begin = /-----BEGIN ([A-Z0-9 ]+)-----/g;
  for (let found = begin.exec(text); found; found = begin.exec(text)) {
    const label = found[1] as string;
    const end = `-----END ${label}-----`;
    const to = text.indexOf(end, begin.lastIndex);
    if (to < 0) throw new PemError(`the block "${label}" has no end`);
    const body = text.slice(begin.lastIndex, to).replace(/\s/g, "");
    if (!/^[A-Za-z0-9+/]+={0,2}$/.test(body) || body.length % 4 !== 0) throw new PemError(`the block "${label}" is not base64`);
    blocks.push({ label, der: Uint8Array.from(Buffer.from(body, "base64")) });
    if (blocks.length > maxPemBlocks) throw new PemError(`more than ${maxPemBlocks} blocks`);
    begin.lastIndex = to + end.length;
  }
  return blocks;
}

export function formatPem(label: string, der: Uint8Array): string {
  const base64 = Buffer.from(der).toString("base64");
  return `-----BEGIN ${label}-----\n${base64.replace(/.{64}/g, "$&\n").replace(/\n$/, "")}\n-----END ${label}-----\n`;
}
