// HPACK: the decoder on arbitrary blocks of one connection, and the encoder on what they said.
import { Decoder, Encoder, HpackError, TABLE_BYTES } from "#hpack";
import { Invalid, type Line, NaiveDecoder } from "../harness/hpack.ts";
import { Choices } from "../input.ts";
import { check, same, type Target } from "../target.ts";

const block = (...bytes: number[]): string => String.fromCharCode(bytes.length, ...bytes);

const target: Target = {
  name: "hpack",
  what: "HPACK blocks of a connection: as a plain reading of RFC 7541 has them; bounds hold; what is encoded again decodes to the same",
  maxBytes: 2048,
  seeds: [
    // RFC 7541 appendix C.3 and C.4: a byte of options, then blocks behind their lengths.
    `\0${block(0x82, 0x86, 0x84, 0x41, 0x0f)}`,
    `\0${block(0x82, 0x86, 0x84, 0x41, 0x0f, ...Buffer.from("www.example.com"))}${block(0x82, 0x86, 0x84, 0xbe, 0x58, 0x08, ...Buffer.from("no-cache"))}`,
    `\0${block(0x82, 0x86, 0x84, 0x41, 0x8c, 0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff)}`,
    `\x01${block(0x20, 0x3f, 0x61, 0x40, 1, 0x61, 1, 0x62)}${block(0xbe, 0x10, 1, 0x61, 1, 0x63)}${block(0xbe)}`,
    `\x02${block(0x3f, 0xe1, 0x1f, 0x40, 3, 0x61, 0x62, 0x63, 3, 0x64, 0x65, 0x66, 0xbe, 0xbe, 0xbe)}${block(0x20, 0xbe)}`,
  ],
  dictionary: ["\x82", "\x86\x84\x41", "\x3f\xe1\x1f", "\x40", "\x10", "\x00", "\x7f\xff\xff\xff\x7f", "\xbe", "\xff\x80\x80\x80\x80\x0f"],
  run(input) {
    const choices = new Choices(input);
    const options = choices.byte();
    // Small bounds now and then: arbitrary blocks never reach the large ones.
    const maxHeaderListBytes = (options & 1) !== 0 ? 200 : undefined;
    const decoder = new Decoder(maxHeaderListBytes === undefined ? {} : { maxHeaderListBytes, maxFields: 5 });
    const naive = new NaiveDecoder();
    const again = { encoder: new Encoder({ maxTableBytes: (options & 2) !== 0 ? 120 : 4096 }), decoder: new Decoder() };
    while (!choices.done) {
      // A resize of the peer's table between two blocks.
      if ((options & 4) !== 0) again.encoder.setPeerTableSize(choices.below(256) * 20);
      const bytes = choices.bytes();
      const fields = decode(decoder, naive, bytes, maxHeaderListBytes);
      if (fields === null) return;
      roundTrip(again, fields);
    }
  },
};
export default target;

function decode(decoder: Decoder, naive: NaiveDecoder, bytes: Uint8Array, maxBytes: number | undefined): readonly Line[] | null {
  let expected: Line[] | null = null;
  try {
    expected = naive.decode(bytes);
  } catch (error) {
    if (!(error instanceof Invalid)) throw error;
  }
  const generation = decoder.generation;
  try {
    // Within a larger array: what lies around the block must not matter.
    const around = new Uint8Array(bytes.length + 8).fill(0x82);
    around.set(bytes, 4);
    decoder.decode(around, 4, 4 + bytes.length);
  } catch (error) {
    if (!(error instanceof HpackError)) throw error;
    check(expected === null, () => `refused although valid: ${error.message}`);
    return null;
  }
  if (expected === null) {
    check(false, "accepted although invalid");
    return null;
  }
  check(decoder.tableBytes <= TABLE_BYTES && decoder.table.length <= TABLE_BYTES / 32, "the table is larger than its setting");
  check(decoder.changed || decoder.generation === generation, "changed without saying so");
  const shown = (lines: readonly Line[]): string[] => lines.map(({ name, value }) => `${name}: ${value}`);
  same(shown(decoder.table), shown(naive.table), "table");
  same(decoder.tableBytes, naive.tableBytes, "size of the table");
  const got = decoder.fields.slice(0, decoder.count);
  const size = (lines: readonly Line[]): number => lines.reduce((sum, { name, value }) => sum + name.length + value.length + 32, 0);
  if (maxBytes === undefined) check(!decoder.overflow || expected.length > 256 || size(expected) > 65536, "overflow within the bounds");
  else {
    check(got.length <= 5 && size(got) <= maxBytes, "a list beyond its bounds");
    same(decoder.overflow, expected.length > 5 || size(expected) > maxBytes, "overflow");
  }
  if (decoder.overflow) return [];
  const whole = (lines: readonly Line[]): unknown => lines.map(({ name, value, sensitive }) => [name, value, sensitive]);
  same(whole(got), whole(expected), "fields");
  return expected;
}

/** What was decoded is encoded twice by the same encoder and must come out each time. */
function roundTrip({ encoder, decoder }: { encoder: Encoder; decoder: Decoder }, fields: readonly Line[]): void {
  const source = { encoded: null as unknown };
  const write = (to: Encoder): void => {
    for (const { name, value } of fields) to.field(name, value);
  };
  for (let i = 0; i < 3; i++) {
    const bytes = encoder.encode(source, write).slice();
    decoder.decode(bytes, 0, bytes.length);
    check(
      !decoder.overflow || fields.length > 200 || fields.reduce((n, { name, value }) => n + name.length + value.length, 0) > 50_000,
      "overflow of what was encoded",
    );
    if (decoder.overflow) return;
    same(
      decoder.fields.slice(0, decoder.count).map(({ name, value }) => [name, value]),
      fields.map(({ name, value }) => [name, value]),
      "encoded and decoded again",
    );
    check(encoder.tableBytes <= TABLE_BYTES, "the encoder's table is larger than its setting");
    same(encoder.tableBytes, decoder.tableBytes, "both ends have the same table");
  }
}
