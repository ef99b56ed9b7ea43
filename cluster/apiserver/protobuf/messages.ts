// The table of protobuf messages, read when the first such request comes; the file stays a file in a compiled executable.
import { readFileSync } from "node:fs";
import path from "./messages.json" with { type: "file" };

/**
 * Number, JSON name, type (`string`, `int`, `bool`, `bytes`, `double` or a message), flags: `r` repeated, `m` map from string, `i` inline (its fields
 * are the message's own), `p` pointer in Go (zero is a value), `q` required in JSON.
 */
export type FieldRow = [number: number, name: string, type: string, flags: string];
export type MessageTable = Record<string, FieldRow[]>;

export function loadMessages(): MessageTable {
  return (JSON.parse(readFileSync(path as unknown as string, "utf8")) as { messages: MessageTable }).messages;
}
