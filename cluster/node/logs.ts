// Containers' output. A container writes to its file directly, so that neither it nor its output depends on the agent; the agent notes from time to time
// how far the file had grown (the index gives lines their times) and cuts the file when it is too long.
import {
  appendFileSync,
  closeSync,
  copyFileSync,
  existsSync,
  fstatSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
} from "node:fs";
import { join } from "node:path";

/** A log file longer than this is moved to `log.1`, which is lost then: a container's output takes at most twice as much. */
export const maxLogBytes = 10 << 20;
/** Bytes read at a time. */
const chunkBytes = 64 << 10;

/** Notes growth of one container's log. Call `observe` several times a second. */
export class LogIndex {
  readonly #directory: string;
  readonly #maxBytes: number;
  #size: number;

  constructor(directory: string, { maxBytes = maxLogBytes }: { maxBytes?: number } = {}) {
    this.#directory = directory;
    this.#maxBytes = maxBytes;
    this.#size = parseIndex(join(directory, "index")).at(-1)?.end ?? 0;
  }

  observe(now: number): void {
    const file = join(this.#directory, "log");
    let size: number;
    try {
      size = statSync(file).size;
    } catch {
      return;
    }
    if (size === this.#size) return;
    appendFileSync(join(this.#directory, "index"), `${size} ${Math.round(now)}\n`);
    this.#size = size;
    if (size <= this.#maxBytes) return;
    copyFileSync(file, join(this.#directory, "log.1"));
    // The container appends, so it goes on at the new end. What it wrote between the copy and this line is lost.
    truncateSync(file, 0);
    renameSync(join(this.#directory, "index"), join(this.#directory, "index.1"));
    this.#size = 0;
  }
}

export interface LogOptions {
  follow?: boolean;
  /** Last lines only. */
  tailLines?: number | undefined;
  /** Lines at or after this time, in ms since the epoch. */
  since?: number | undefined;
  /** A time before each line, as RFC 3339. */
  timestamps?: boolean;
  limitBytes?: number | undefined;
}

/**
 * The log in pieces. With `follow` it goes on until `isOver()` is true and everything was read, or `signal` is aborted.
 * @param directory of one attempt of a container.
 */
export async function* readLog(
  directory: string,
  { follow = false, tailLines, since, timestamps = false, limitBytes }: LogOptions,
  { isOver, signal, now, pollMs = 100 }: { isOver: () => boolean; signal?: AbortSignal; now: () => number; pollMs?: number },
): AsyncGenerator<Buffer, void, void> {
  let left = limitBytes ?? Number.POSITIVE_INFINITY;
  const bounded = (piece: Buffer) => {
    const cut = piece.subarray(0, Math.min(left, piece.length));
    left -= cut.length;
    return cut;
  };
  const file = join(directory, "log");
  let offset = 0;
  const stamp = (index: IndexEntry[], at: number) => index.find((entry) => entry.end > at)?.time ?? now();
  const isPlain = !timestamps && since === undefined;
  if (tailLines !== 0) {
    const lines = wholeLog(directory);
    offset = existsSync(file) ? lines.reduce((sum, part) => (part.isCurrent ? part.bytes.length : sum), 0) : 0;
    let all = lines.flatMap((part) => splitLines(part.bytes).map((line) => ({ ...line, index: part.index })));
    if (since !== undefined) all = all.filter((line) => stamp(line.index, line.at) >= since);
    if (tailLines !== undefined) all = all.slice(-tailLines);
    for (const line of all) {
      if (left <= 0) return;
      yield bounded(timestamps ? Buffer.concat([Buffer.from(`${rfc3339(stamp(line.index, line.at))} `), line.bytes]) : line.bytes);
    }
  } else offset = existsSync(file) ? statSync(file).size : 0;
  if (!follow) return;
  let isLineStart = true;
  while (!signal?.aborted && left > 0) {
    // Asked first: what was written before the end is still read.
    const over = isOver();
    let piece = readFrom(file, offset);
    if (piece === "truncated") {
      offset = 0;
      continue;
    }
    while (piece.length > 0 && left > 0 && !signal?.aborted) {
      offset += piece.length;
      if (isPlain || !timestamps) yield bounded(piece);
      else {
        const time = `${rfc3339(now())} `;
        for (const line of splitLines(piece)) {
          yield bounded(isLineStart ? Buffer.concat([Buffer.from(time), line.bytes]) : line.bytes);
          isLineStart = line.bytes.at(-1) === 10;
        }
      }
      const next = readFrom(file, offset);
      piece = next === "truncated" ? Buffer.alloc(0) : next;
    }
    if (over) return;
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

/** The last lines of a log, for termination messages: at most 80 lines and 2,048 bytes, as the kubelet. */
export function logTail(directory: string): string {
  try {
    const bytes = readFileSync(join(directory, "log"));
    return splitLines(bytes)
      .slice(-80)
      .map((line) => line.bytes.toString("utf8"))
      .join("")
      .slice(-2_048);
  } catch {
    return "";
  }
}

/** Removes what belongs to a log. */
export function removeLog(directory: string): void {
  for (const name of ["log", "log.1", "index", "index.1"]) rmSync(join(directory, name), { force: true });
}

interface IndexEntry {
  /** The file's length … */
  end: number;
  /** … at this time. */
  time: number;
}

function parseIndex(file: string): IndexEntry[] {
  try {
    return readFileSync(file, "latin1")
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => {
        const [end, time] = line.split(" ");
        return { end: Number(end), time: Number(time) };
      });
  } catch {
    return [];
  }
}

function wholeLog(directory: string): { bytes: Buffer; index: IndexEntry[]; isCurrent: boolean }[] {
  const parts: { bytes: Buffer; index: IndexEntry[]; isCurrent: boolean }[] = [];
  for (const suffix of [".1", ""]) {
    try {
      parts.push({
        bytes: readFileSync(join(directory, `log${suffix}`)),
        index: parseIndex(join(directory, `index${suffix}`)),
        isCurrent: suffix === "",
      });
    } catch {
      // Not there.
    }
  }
  return parts;
}

/** Lines with their line ends; the last may lack one. */
function splitLines(bytes: Buffer): { bytes: Buffer; at: number }[] {
  const lines: { bytes: Buffer; at: number }[] = [];
  for (let start = 0; start < bytes.length; ) {
    const end = bytes.indexOf(10, start);
    const next = end < 0 ? bytes.length : end + 1;
    lines.push({ bytes: bytes.subarray(start, next), at: start });
    start = next;
  }
  return lines;
}

function readFrom(file: string, offset: number): Buffer | "truncated" {
  let fd: number;
  try {
    fd = openSync(file, "r");
  } catch {
    return Buffer.alloc(0);
  }
  try {
    if (fstatSync(fd).size < offset) return "truncated";
    const buffer = Buffer.alloc(chunkBytes);
    return buffer.subarray(0, readSync(fd, buffer, 0, buffer.length, offset));
  } finally {
    closeSync(fd);
  }
}

function rfc3339(ms: number): string {
  return new Date(ms).toISOString().replace("Z", "000000Z");
}
