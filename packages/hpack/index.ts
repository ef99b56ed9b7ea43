// Header compression for HTTP/2, RFC 7541. Pure: blocks in, fields out, and back. Contract of #hpack.
//
//     const decoder = new Decoder();            decoder.decode(block, 0, block.length); decoder.fields[0..decoder.count)
//     const encoder = new Encoder();            encoder.encode(head, (encoder, head) => encoder.field(name, value))
export { BlockCache, MAX_CACHED_BLOCK, MAX_CACHED_BLOCK_BYTES, MAX_CACHED_BLOCKS } from "./block-cache.ts";
export { Decoder, type DecoderOptions, HpackError, MAX_FIELDS, MAX_HEADER_LIST_BYTES, TABLE_BYTES } from "./decoder.ts";
export { type Encodable, Encoder, type EncoderOptions, type FieldWriter } from "./encoder.ts";
export { HeaderField } from "./header-field.ts";
export { MAX_SENSITIVE_NAMES, SensitiveNames } from "./sensitive-names.ts";
