// Carries an attack out on a connection and says how it ended.
import { FrameType, frame, requestBlock } from "../testing/frames.ts";
import type { PodSocket } from "../testing/sockets.ts";
import { type Attack, FrameCounter, opening } from "./attacks.ts";

export type Outcome = {
  /** Bytes sent before the attacker was stopped, or of the whole attack. */
  readonly sentBytes: number;
  /** The whole attack was sent. */
  readonly complete: boolean;
  /** Name of the GOAWAY's error code; null: none came. */
  readonly goaway: string | null;
  /** The connection ended. */
  readonly closed: boolean;
};

/** How long an attacker that is not closed waits for a word after its last byte, ms. */
const PATIENCE_MS = 5000;
/** A stream no attack uses. */
const PROBE_STREAM = 0x7ffffff1;

export async function carryOut(attack: Attack, connection: PodSocket): Promise<Outcome> {
  const counter = new FrameCounter();
  const reads = attack.reads !== false;
  connection.onData = (chunk) => counter.receive(chunk);
  if (!reads) connection.pause();
  const over = (): boolean => connection.ended || (counter.goaway !== null && counter.goaway !== "NO_ERROR");
  let sentBytes = 0;
  let complete = true;
  /** Resolves when the kernel has taken a piece, or the peer plainly takes no more. */
  const send = async (piece: Uint8Array): Promise<boolean> => {
    sentBytes += piece.length;
    const stuck = Bun.sleep(PATIENCE_MS).then(() => false);
    return Promise.race([Promise.race([connection.write(piece), connection.closed]).then(() => !over()), stuck]);
  };
  await send(opening(attack.settings));
  for (const piece of attack.pieces()) {
    if (await send(piece)) {
      // Let what was answered be read.
      await new Promise((resolve) => setImmediate(resolve));
      if (!over()) continue;
    }
    complete = false;
    break;
  }
  if (!reads) {
    connection.resume();
    await Promise.race([connection.closed, Bun.sleep(PATIENCE_MS)]);
  } else if (attack.ends === "lives") {
    if (!over()) void connection.write(frame(FrameType.HEADERS, 5, PROBE_STREAM, requestBlock("/after", "flood.test")));
    await waitFor(() => over() || counter.answered.has(PROBE_STREAM), connection);
  } else await waitFor(over, connection);
  const closed = connection.ended;
  const lives = counter.answered.has(PROBE_STREAM);
  connection.reset();
  return { sentBytes, complete, goaway: counter.goaway, closed: closed && !lives };
}

async function waitFor(what: () => boolean, connection: PodSocket): Promise<void> {
  const until = performance.now() + PATIENCE_MS;
  while (!what() && performance.now() < until) {
    await Promise.race([connection.closed, Bun.sleep(5)]);
    if (connection.ended) return;
  }
}
