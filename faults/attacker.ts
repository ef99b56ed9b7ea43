// An attacker as a process: repeats one flood at a bounded rate, on a new connection whenever the old one is ended.
//   bun attacker.ts NAME HOST PORT FRAMES-A-SECOND SECONDS      prints {connections, frames, goaways} as JSON
import { connect, type Socket } from "node:net";
import { ATTACKS, type Attack, FrameCounter, opening } from "../proxy/advisories/attacks.ts";

export type AttackReport = {
  readonly connections: number;
  readonly frames: number;
  /** Connections by the GOAWAY they ended with; `none`: ended without one, or the attack's end came first. */
  readonly goaways: Readonly<Record<string, number>>;
};

const TICK_MS = 10;
/** How long an attacker that does not read, and is not let on, holds a connection, ms. */
const STUCK_MS = 1000;
const CONNECTION_MS = 10;
const FRAME_HEADER_BYTES = 9;

/** Whole frames in a piece. */
export function countFrames(piece: Uint8Array): number {
  let frames = 0;
  for (let at = 0; at + FRAME_HEADER_BYTES <= piece.length; frames++)
    at += FRAME_HEADER_BYTES + (((piece[at] as number) << 16) | ((piece[at + 1] as number) << 8) | (piece[at + 2] as number));
  return frames;
}

/** Frames that may be sent by now. */
class Pace {
  readonly #perSecond: number;
  readonly #begun = performance.now();
  sent = 0;

  constructor(perSecond: number) {
    this.#perSecond = perSecond;
  }

  async take(frames: number): Promise<void> {
    this.sent += frames;
    while (((performance.now() - this.#begun) * this.#perSecond) / 1000 < this.sent) await Bun.sleep(TICK_MS);
  }
}

async function once(attack: Attack, at: { host: string; port: number }, pace: Pace, endMs: number): Promise<string> {
  const counter = new FrameCounter();
  const { promise: closed, resolve } = Promise.withResolvers<void>();
  let over = false;
  const socket: Socket = connect(at);
  const end = (): void => {
    over = true;
    resolve();
  };
  socket.on("error", end);
  socket.on("close", end);
  socket.on("end", end);
  await Promise.race([new Promise((ready) => socket.once("connect", ready)), closed]);
  if (attack.reads === false) socket.pause();
  else
    socket.on("data", (chunk) => {
      counter.receive(chunk);
      if (counter.goaway !== null) end();
    });
  socket.write(opening(attack.settings));
  for (const piece of attack.pieces()) {
    if (over || performance.now() > endMs) break;
    await pace.take(countFrames(piece));
    if (!socket.write(piece)) {
      const stuck = Bun.sleep(STUCK_MS).then(() => true);
      const drained = new Promise<boolean>((go) => socket.once("drain", () => go(false)));
      if (await Promise.race([drained, stuck, closed.then(() => true)])) break;
    }
  }
  if (attack.ends === "lives" && !over) await Promise.race([closed, Bun.sleep(100)]);
  else if (!over) await Promise.race([closed, Bun.sleep(STUCK_MS)]);
  socket.destroy();
  return counter.goaway ?? "none";
}

if (import.meta.main) {
  const [name = "", host = "", port = "", rate = "", seconds = ""] = process.argv.slice(2);
  const attack = ATTACKS.find((each) => each.name === name);
  if (attack === undefined) throw new Error(`no attack is named ${name}`);
  const pace = new Pace(Number(rate));
  const endMs = performance.now() + Number(seconds) * 1000;
  const goaways: Record<string, number> = {};
  let connections = 0;
  while (performance.now() < endMs) {
    connections++;
    // A hundred connections a second: these are floods of frames.
    await Bun.sleep(CONNECTION_MS);
    const goaway = await once(attack, { host, port: Number(port) }, pace, endMs);
    goaways[goaway] = (goaways[goaway] ?? 0) + 1;
  }
  const report: AttackReport = { connections, frames: pace.sent, goaways };
  console.log(JSON.stringify(report));
  process.exit(0);
}
