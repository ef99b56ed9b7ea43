// Inputs as text, so that a corpus can be read, compared and merged: one input a line, bytes outside of printable ASCII as
// \r, \n, \t, \\ or \xHH; empty input: \e. Lines that begin with # are remarks.

export function formatInput(bytes: Uint8Array): string {
  if (bytes.length === 0) return "\\e";
  let line = "";
  for (const byte of bytes) {
    if (byte === 0x5c) line += "\\\\";
    else if (byte === 0x0d) line += "\\r";
    else if (byte === 0x0a) line += "\\n";
    else if (byte === 0x09) line += "\\t";
    // A line must not begin as a remark, nor end in a blank that an editor would take away.
    else if (byte < 0x21 || byte > 0x7e || (byte === 0x23 && line === ""))
      line += byte === 0x20 && line !== "" ? " " : `\\x${byte.toString(16).padStart(2, "0")}`;
    else line += String.fromCharCode(byte);
  }
  return line.endsWith(" ") ? `${line.slice(0, -1)}\\x20` : line;
}

/** @throws {Error} on an escape that is none of the above. */
export function parseInput(line: string): Uint8Array {
  if (line === "\\e") return new Uint8Array(0);
  const bytes: number[] = [];
  for (let i = 0; i < line.length; i++) {
    if (line[i] !== "\\") {
      bytes.push(line.charCodeAt(i));
      continue;
    }
    const code = line[++i];
    if (code === "x" && /^[0-9a-f]{2}$/.test(line.slice(i + 1, i + 3))) {
      bytes.push(Number.parseInt(line.slice(i + 1, i + 3), 16));
      i += 2;
    } else {
      const byte = code === "r" ? 13 : code === "n" ? 10 : code === "t" ? 9 : code === "\\" ? 92 : -1;
      if (byte < 0) throw new Error(`bad escape in ${JSON.stringify(line.slice(0, 80))}`);
      bytes.push(byte);
    }
  }
  return Uint8Array.from(bytes);
}

export function formatCases(remark: string, inputs: readonly Uint8Array[]): string {
  const remarks = remark.split("\n").map((line) => `# ${line}`.trimEnd());
  return `${[...remarks, ...inputs.map(formatInput)].join("\n")}\n`;
}

export function parseCases(text: string): Uint8Array[] {
  return text
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map(parseInput);
}
