// How streams that are over came to their end, for frames that arrive late (RFC 9113 §5.1, "closed").

const ENDED = 64;
/** At least the burst of resets that a peer may bring about. */
const RESET = 1024;

export class RecentStreams {
  #ended: Int32Array | null = null;
  #peerReset: Int32Array | null = null;
  #ownReset: Int32Array | null = null;

  /** Both sides ended their messages. */
  ended(id: number): void {
    this.#ended ??= new Int32Array(ENDED);
    this.#ended[(id >>> 1) & (ENDED - 1)] = id;
  }

  resetByPeer(id: number): void {
    this.#peerReset ??= new Int32Array(ENDED);
    this.#peerReset[(id >>> 1) & (ENDED - 1)] = id;
  }

  /** The peer did not know yet: its frames are ignored. */
  resetByUs(id: number): void {
    this.#ownReset ??= new Int32Array(RESET);
    this.#ownReset[(id >>> 1) & (RESET - 1)] = id;
  }

  wasEnded(id: number): boolean {
    return this.#ended !== null && this.#ended[(id >>> 1) & (ENDED - 1)] === id;
  }

  wasResetByPeer(id: number): boolean {
    return this.#peerReset !== null && this.#peerReset[(id >>> 1) & (ENDED - 1)] === id;
  }

  wasResetByUs(id: number): boolean {
    return this.#ownReset !== null && this.#ownReset[(id >>> 1) & (RESET - 1)] === id;
  }
}
