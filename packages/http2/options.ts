// What can be set on an HTTP/2 engine, and the bounds that keep a peer from harming this side.
import type { SensitiveNames } from "#hpack";
import type { OutputPool } from "#http";
import type { BudgetLimit } from "./budget.ts";

export type Http2Options = {
  /**
   * SETTINGS_INITIAL_WINDOW_SIZE: bytes of a message that may be under way before `consume`. 1 to 2147483647, default 65535
   * (spec proxy §1.4). Memory of a connection is bounded by the connection's window, not by this one.
   */
  readonly initialStreamWindow?: number;
  /** Window of the whole connection: bytes received and not yet consumed on all its streams. 1 to 2147483647, default 1048576 (spec proxy §1.4); never below 65535 in effect, RFC 9113 §6.9.2. */
  readonly initialConnectionWindow?: number;
  /** Server: SETTINGS_MAX_CONCURRENT_STREAMS. 1 to 2147483647, default 4096: meshed peers put all their requests on one connection. */
  readonly maxConcurrentStreams?: number;
  /** Client: requests at once before the server's SETTINGS have come. 1 to 2147483647, default 100 (as hyper has it). */
  readonly initialMaxSendStreams?: number;
  /** SETTINGS_MAX_HEADER_LIST_SIZE, bytes counted as RFC 9113 §6.5.2 (decoded, 32 more a field), default 65536. Beyond: 431 from a server, a stream error from a client. */
  readonly maxHeaderListBytes?: number;
  /** Fields of one list, default 256. Beyond: as above. */
  readonly maxFields?: number;
  /** Large output buffers, shared by the engines of a process. Default: one per connection. */
  readonly pool?: OutputPool;
  /** Shared by the connections that forward to each other: names received never indexed are sent so. Default: one per connection. */
  readonly sensitive?: SensitiveNames;
  /** `:scheme` of a request whose head has none (HTTP/1 origin-form), default `http`. */
  readonly scheme?: string;
  /** Milliseconds, monotone; refills the budgets. Default `performance.now`. */
  readonly now?: () => number;
  readonly limits?: Partial<Http2Limits>;
};

/** Abuse bounds. Each is answered by GOAWAY ENHANCE_YOUR_CALM. `burst` tokens, `perSecond` more by time, and what useful work earns. */
export type Http2Limits = {
  /**
   * Streams that ended by RST_STREAM: the peer's (rapid reset, CVE-2023-44487), and those of this side that errors of the
   * peer brought about, refused streams included (MadeYouReset, CVE-2025-8671). An exchange that completes earns one.
   */
  readonly resets: BudgetLimit;
  /** SETTINGS frames (CVE-2019-9515). */
  readonly settings: BudgetLimit;
  /** PING frames (CVE-2019-9512). A frame of a message earns one: gRPC measures its bandwidth with a PING beside DATA. */
  readonly pings: BudgetLimit;
  /**
   * Frames that say nothing (CVE-2019-9518): empty DATA or CONTINUATION, PRIORITY, unknown types, RST_STREAM on a closed
   * stream, 1xx. DATA with bytes earns one, so does an exchange that completes.
   */
  readonly emptyFrames: BudgetLimit;
  /** WINDOW_UPDATE frames. A DATA frame sent earns ten. */
  readonly windowUpdates: BudgetLimit;
  /** Parameters of one SETTINGS frame. */
  readonly settingsPerFrame: number;
  /** Bytes of one header block as sent, HEADERS and CONTINUATION together. */
  readonly headerBlockBytes: number;
  /** CONTINUATION frames of one header block (CVE-2024-27316 and its kin). */
  readonly continuations: number;
  /**
   * What the connection's window may grow by while streams that nobody reads hold most of it, bytes: without it sixteen of them
   * (first windows of 65535 in one of 1048576) stop all the others. Bounds the memory of a connection together with its window.
   */
  readonly lentWindowBytes: number;
  /** Output that waits because the peer does not read it: reading is paused. Bytes. Client: of control frames alone. */
  readonly pauseOutputBytes: number;
  /** The same, when reading on has brought it here: the connection ends. Bytes. */
  readonly maxOutputBytes: number;
};

export const DEFAULT_LIMITS: Http2Limits = {
  resets: { burst: 1000, perSecond: 33 },
  settings: { burst: 100, perSecond: 10 },
  pings: { burst: 1000, perSecond: 100 },
  emptyFrames: { burst: 1000, perSecond: 100 },
  windowUpdates: { burst: 10_000, perSecond: 1000 },
  settingsPerFrame: 32,
  headerBlockBytes: 128 * 1024,
  continuations: 64,
  lentWindowBytes: 8 * 1024 * 1024,
  pauseOutputBytes: 256 * 1024,
  maxOutputBytes: 4 * 1024 * 1024,
};

export const DEFAULT_STREAM_WINDOW = 65_535;
export const DEFAULT_CONNECTION_WINDOW = 1_048_576;
export const DEFAULT_MAX_CONCURRENT_STREAMS = 4096;
export const DEFAULT_INITIAL_MAX_SEND_STREAMS = 100;

const MAX = 2 ** 31 - 1;
const RANGES: readonly (readonly [keyof Http2Options, number, number])[] = [
  ["initialStreamWindow", 1, MAX],
  ["initialConnectionWindow", 1, MAX],
  ["maxConcurrentStreams", 1, MAX],
  ["initialMaxSendStreams", 1, MAX],
  ["maxHeaderListBytes", 1, MAX],
  ["maxFields", 1, MAX],
];

/** Throws a RangeError that names the first option out of its range. */
export function checkOptions(options: Http2Options): void {
  for (const [name, min, max] of RANGES) {
    const value = options[name];
    if (value === undefined) continue;
    if (!Number.isInteger(value) || (value as number) < min || (value as number) > max) {
      throw new RangeError(`HTTP/2 option ${name}: ${String(value)} is not a whole number from ${min} to ${max}`);
    }
  }
}
