import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Decoder, HpackError } from "./index.ts";
import { decodeAll, hex } from "./testing.ts";

const table = (decoder: Decoder): string[] => decoder.table.map((field) => `${field.name}: ${field.value}`);

describe("examples of RFC 7541 appendix C", () => {
  test("C.2.1 literal with indexing", () => {
    const decoder = new Decoder();
    expect(decodeAll(decoder, hex("400a637573746f6d2d6b65790d637573746f6d2d686561646572"))).toEqual(["custom-key: custom-header"]);
    expect([table(decoder), decoder.tableBytes, decoder.changed]).toEqual([["custom-key: custom-header"], 55, true]);
  });

  test("C.2.2 literal without indexing", () => {
    const decoder = new Decoder();
    expect(decodeAll(decoder, hex("040c2f73616d706c652f70617468"))).toEqual([":path: /sample/path"]);
    expect([table(decoder), decoder.changed, decoder.usedDynamic]).toEqual([[], false, false]);
  });

  test("C.2.3 literal never indexed", () => {
    const decoder = new Decoder();
    expect(decodeAll(decoder, hex("100870617373776f726406736563726574"))).toEqual(["!password: secret"]);
    expect(table(decoder)).toEqual([]);
  });

  test("C.2.4 indexed field", () => {
    expect(decodeAll(new Decoder(), hex("82"))).toEqual([":method: GET"]);
  });

  const requests: [string, string[]][] = [
    [
      "C.3 without Huffman code",
      [
        "828684410f7777772e6578616d706c652e636f6d",
        "828684be58086e6f2d6361636865",
        "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
      ],
    ],
    [
      "C.4 with Huffman code",
      ["828684418cf1e3c2e5f23a6ba0ab90f4ff", "828684be5886a8eb10649cbf", "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf"],
    ],
  ];
  test.each(requests)("%s", (_name, blocks) => {
    const decoder = new Decoder();
    expect(decodeAll(decoder, hex(blocks[0] as string))).toEqual([
      ":method: GET",
      ":scheme: http",
      ":path: /",
      ":authority: www.example.com",
    ]);
    expect([table(decoder), decoder.tableBytes]).toEqual([[":authority: www.example.com"], 57]);
    expect(decodeAll(decoder, hex(blocks[1] as string))).toEqual([
      ":method: GET",
      ":scheme: http",
      ":path: /",
      ":authority: www.example.com",
      "cache-control: no-cache",
    ]);
    expect([table(decoder), decoder.tableBytes]).toEqual([["cache-control: no-cache", ":authority: www.example.com"], 110]);
    expect(decodeAll(decoder, hex(blocks[2] as string))).toEqual([
      ":method: GET",
      ":scheme: https",
      ":path: /index.html",
      ":authority: www.example.com",
      "custom-key: custom-value",
    ]);
    expect([table(decoder), decoder.tableBytes]).toEqual([
      ["custom-key: custom-value", "cache-control: no-cache", ":authority: www.example.com"],
      164,
    ]);
  });

  const responses: [string, string[]][] = [
    [
      "C.5 without Huffman code, with eviction",
      [
        "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d546e1768747470733a2f2f7777772e6578616d706c652e636f6d",
        "4803333037c1c0bf",
        "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31",
      ],
    ],
    [
      "C.6 with Huffman code, with eviction",
      [
        "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
        "4883640effc1c0bf",
        "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
      ],
    ],
  ];
  test.each(responses)("%s", (_name, blocks) => {
    const decoder = new Decoder();
    // The examples have a table of 256 bytes.
    decodeAll(decoder, hex("3fe101"));
    expect(decodeAll(decoder, hex(blocks[0] as string))).toEqual([
      ":status: 302",
      "cache-control: private",
      "date: Mon, 21 Oct 2013 20:13:21 GMT",
      "location: https://www.example.com",
    ]);
    expect(decoder.tableBytes).toBe(222);
    expect(decodeAll(decoder, hex(blocks[1] as string))).toEqual([
      ":status: 307",
      "cache-control: private",
      "date: Mon, 21 Oct 2013 20:13:21 GMT",
      "location: https://www.example.com",
    ]);
    expect(table(decoder)).toEqual([
      ":status: 307",
      "location: https://www.example.com",
      "date: Mon, 21 Oct 2013 20:13:21 GMT",
      "cache-control: private",
    ]);
    expect(decodeAll(decoder, hex(blocks[2] as string))).toEqual([
      ":status: 200",
      "cache-control: private",
      "date: Mon, 21 Oct 2013 20:13:22 GMT",
      "location: https://www.example.com",
      "content-encoding: gzip",
      "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
    ]);
    expect([table(decoder), decoder.tableBytes]).toEqual([
      [
        "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
        "content-encoding: gzip",
        "date: Mon, 21 Oct 2013 20:13:22 GMT",
      ],
      215,
    ]);
  });
});

describe("what cannot be decoded", () => {
  const bad: [string, string][] = [
    ["index 0", "80"],
    ["an index beyond the static table", "be"],
    ["the index of a name beyond the table", "7e0161"],
    ["an integer that does not end", "ff"],
    ["an integer without end", "ffffffffffffff7f"],
    ["an integer padded with zeros", "ff8080808080808000"],
    ["a string that does not end", "40056161"],
    ["a string without length", "40"],
    ["a length beyond the block", "407fffff7f61"],
    ["a bad Huffman code", "0082000061"],
    ["a table larger than the setting", "3fe21f"],
    ["a size update behind a field", "823fe11f"],
    ["three size updates", "20203fe11f"],
  ];
  test.each(bad)("%s", (_name, block) => {
    expect(() => decodeAll(new Decoder(), hex(block))).toThrow(HpackError);
  });

  test("any bytes: an HpackError or a list, nothing else", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 5 }), (blocks) => {
        const decoder = new Decoder();
        try {
          for (const block of blocks) decodeAll(decoder, block);
        } catch (error) {
          expect(error).toBeInstanceOf(HpackError);
        }
        expect(decoder.tableBytes).toBeLessThanOrEqual(4096);
        expect(decoder.tableBytes).toBe(decoder.table.reduce((sum, field) => sum + field.size, 0));
      }),
      { numRuns: 2000 },
    );
  });
});

describe("bounds", () => {
  test("the size of a list, counted decoded: at the limit and past it", () => {
    // x: yyyyyyyy… of 10 is 1 + 10 + 32.
    const block = hex(`000178 0a${"79".repeat(10)}`);
    const decoder = new Decoder({ maxHeaderListBytes: 43 });
    expect(decodeAll(decoder, block).length).toBe(1);
    expect(decoder.overflow).toBe(false);
    const less = new Decoder({ maxHeaderListBytes: 42 });
    expect(decodeAll(less, block).length).toBe(0);
    expect(less.overflow).toBe(true);
  });

  test("the number of fields: at the limit and past it", () => {
    const decoder = new Decoder({ maxFields: 3 });
    decodeAll(decoder, hex("828282"));
    expect([decoder.count, decoder.overflow]).toEqual([3, false]);
    decodeAll(decoder, hex("82828282"));
    expect([decoder.count, decoder.overflow]).toEqual([3, true]);
    decodeAll(decoder, hex("82"));
    expect([decoder.count, decoder.overflow]).toEqual([1, false]);
  });

  test("past a bound the table is kept right", () => {
    const decoder = new Decoder({ maxFields: 1 });
    decodeAll(decoder, hex("82 4001610162 be be"));
    expect([decoder.overflow, table(decoder)]).toEqual([true, ["a: b"]]);
  });

  test("an entry larger than the table empties it", () => {
    const decoder = new Decoder();
    decodeAll(decoder, hex("4001610162"));
    const value = "79".repeat(5000);
    expect(decodeAll(decoder, hex(`400178 7f8926 ${value}`)).length).toBe(1);
    expect([table(decoder), decoder.tableBytes]).toEqual([[], 0]);
  });

  test("the table holds 128 empty entries, then the oldest goes", () => {
    const decoder = new Decoder();
    for (let i = 0; i < 130; i++) decodeAll(decoder, hex("400000"));
    expect([decoder.table.length, decoder.tableBytes]).toEqual([128, 4096]);
  });
});

test("the generation rises with changes of the table alone", () => {
  const decoder = new Decoder();
  decodeAll(decoder, hex("82"));
  decodeAll(decoder, hex("0001610162"));
  expect(decoder.generation).toBe(0);
  decodeAll(decoder, hex("4001610162"));
  expect(decoder.generation).toBe(1);
  decodeAll(decoder, hex("be"));
  expect([decoder.generation, decoder.usedDynamic, decoder.changed]).toEqual([1, true, false]);
  decodeAll(decoder, hex("20"));
  expect([decoder.generation, decoder.changed, table(decoder)]).toEqual([2, true, []]);
});
