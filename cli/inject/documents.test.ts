// Cutting streams into documents: nothing is lost, nothing throws.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { DocumentError, printDocument, readDocuments } from "./documents.ts";

const texts = (text: string) =>
  readDocuments({ name: "in", text }).map((document) => (document instanceof DocumentError ? document.message : document.text));

test.each<[text: string, documents: string[]]>([
  ["", []],
  ["\n\n", []],
  ["---\n", []],
  ["a: 1\n", ["a: 1\n"]],
  ["a: 1\n---\nb: 2", ["a: 1\n", "b: 2"]],
  ["---\na: 1\n---   \n# c\nb: 2\n...\n", ["a: 1\n", "# c\nb: 2\n"]],
  ["--- # first\na: 1\n", ["a: 1\n"]],
  ["--- {a: 1}\n---\t{b: 2}\n", ["{a: 1}\n", "{b: 2}\n"]],
  ["a: |\n  ---\n  text\n", ["a: |\n  ---\n  text\n"]],
  ["a: ---b\n", ["a: ---b\n"]],
  ["---a: 1\n", ["---a: 1\n"]],
])("%j", (text, documents) => expect(texts(text)).toEqual(documents));

const line = fc.oneof(
  fc.constantFrom("---", "...", "--- {a: 1}", "# c", "a: 1", "  b: 2", "- x", "%YAML 1.1", "", "|", "{", "]"),
  fc.string({ maxLength: 8 }),
);

test("any text is read; what is printed is read as the same documents", () => {
  fc.assert(
    fc.property(fc.array(line, { maxLength: 12 }), (lines) => {
      const documents = readDocuments({ name: "in", text: lines.join("\n") });
      if (documents.some((document) => document instanceof DocumentError)) return;
      const read = documents as Exclude<(typeof documents)[number], DocumentError>[];
      const printed = read.map(({ text }) => printDocument(text)).join("");
      const objects = (of: typeof documents) =>
        of.map((document) => (document instanceof DocumentError ? document.message : document.object));
      expect(objects(readDocuments({ name: "in", text: printed }))).toEqual(objects(documents));
    }),
  );
});
