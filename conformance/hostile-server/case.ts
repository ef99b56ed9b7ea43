// What a case of the hostile-server suite is: a server that breaks the protocol, and what must come of it.
import type { Hostile } from "./server.ts";

/**
 * What the client behind the proxy gets.
 * - `whole`: the response, complete.
 * - `none`: there is no response; the proxy answers 502.
 * - `reset`: RST_STREAM with that code where the client speaks HTTP/2, 502 where it speaks HTTP/1.
 * - `cut`: the head, and then a message that the client can tell is not complete.
 * - `waiting`: nothing, for as long as the client waits.
 */
export type Outcome =
  | { readonly kind: "whole"; readonly status: number; readonly body: string }
  | { readonly kind: "none" }
  | { readonly kind: "reset"; readonly code: string }
  | { readonly kind: "cut"; readonly status: number }
  | { readonly kind: "waiting" };

/** What the server is told: a connection error, a stream error, nothing of the kind; null: it does not matter. */
export type Told = { readonly goaway: string } | { readonly rst: string } | "nothing" | null;

export type HostileCase = {
  readonly group: string;
  readonly name: string;
  /** Section of RFC 9113 (or another), or the advisory. */
  readonly source: string;
  readonly method: "GET" | "POST" | "HEAD";
  /** Content of the request. */
  readonly body: string;
  /** The server says nothing, not even SETTINGS, before the head of the request is there. */
  readonly quiet: boolean;
  /** What the server does once the head of the request is there. */
  readonly act: (server: Hostile) => void | Promise<void>;
  readonly outcome: Outcome;
  readonly told: Told;
  /** The client does not read beyond its first window: only clients of HTTP/2 can. */
  readonly http2Client: boolean;
};

export const WHOLE: Outcome = { kind: "whole", status: 200, body: "ok" };
export const NONE: Outcome = { kind: "none" };
export const CUT: Outcome = { kind: "cut", status: 200 };
export const WAITING: Outcome = { kind: "waiting" };
