// YAML streams and JSON in, documents out, and back: what nobody changed keeps its bytes.
import { fromYaml, toYaml } from "#chart";
import type { Workload } from "#inject";
import type { Input } from "../io.ts";

/** One document of an input. */
export type SourceDocument = {
  /** Where it stands, for messages: `app.yml, document 2`. */
  readonly place: string;
  /** Its bytes, without the separator before and after it. */
  readonly text: string;
  /** Null for a document that holds nothing but comments. */
  readonly object: Workload | null;
};

/** A document that cannot be read: names place, and line within the input. */
export class DocumentError extends Error {
  override readonly name = "DocumentError";
}

/** Documents of one input; those that cannot be read are errors in their place. */
export function readDocuments({ name, text }: Input): (SourceDocument | DocumentError)[] {
  const chunks = text.trimStart().startsWith("{") && isJson(text) ? [{ text, line: 0 }] : split(text);
  return chunks.map((chunk, i) => {
    const place = chunks.length > 1 ? `${name}, document ${i + 1}` : name;
    try {
      return { place, text: chunk.text, object: readObject(chunk.text) };
    } catch (error) {
      return new DocumentError(`${place}: ${located(error as YamlError, chunk.line)}`);
    }
  });
}

type YamlError = Error & { linePos?: { line: number; col: number }[] };

/** The parser counts lines from the chunk's first; people from the input's. */
function located({ message, linePos }: YamlError, firstLine: number): string {
  const [first = ""] = message.split("\n");
  const at = linePos?.[0];
  return at ? `line ${firstLine + at.line}: ${first.replace(/ at line \d+, column \d+:?$/, "")}` : first;
}

function readObject(text: string): Workload | null {
  const value = fromYaml(text);
  if (value === null) return null;
  if (typeof value !== "object" || Array.isArray(value))
    throw new Error(`expected an object, found ${Array.isArray(value) ? "a list" : typeof value}`);
  return value as Workload;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** Cuts at the marks of YAML 1.2 §9.1.4: `---` and `...` at the beginning of a line. `line`: lines of the input before the chunk. */
function split(text: string): { text: string; line: number }[] {
  const chunks: { text: string; line: number }[] = [];
  let lines: string[] = [];
  let start = 0;
  let number = 0;
  const end = () => {
    const chunk = lines.join("");
    if (chunk.trim() !== "") chunks.push({ text: chunk, line: start });
    lines = [];
  };
  for (const line of text.match(/[^\n]*\n|[^\n]+$/g) ?? []) {
    number++;
    const mark = /^(---|\.\.\.)(?=[ \t\r\n]|$)/.exec(line);
    if (!mark) {
      // Directives belong to the mark that follows them; only `%YAML` and `%TAG` exist, and neither changes a manifest.
      if (lines.length > 0 || !line.startsWith("%")) lines.push(line);
      continue;
    }
    end();
    start = number;
    // `--- {kind: Pod}`: the rest of the line is the document's first.
    const rest = line.slice(mark[0].length);
    if (rest.replace(/#.*/, "").trim() === "") continue;
    lines.push(rest.trimStart());
    start = number - 1;
  }
  end();
  return chunks;
}

/** A document as it goes out: its own bytes, or an object's YAML with sorted keys; `---` ends it. */
export function printDocument(document: string | Workload): string {
  const text = typeof document === "string" ? document : toYaml(document);
  return `${text}${text.endsWith("\n") ? "" : "\n"}---\n`;
}
