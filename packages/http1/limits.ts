// The bounds of the HTTP/1 engines: what each costs and what happens past it.

/** Field lines of a head or of a trailer section; more is 431 in a request, a protocol error in a response. hyper's default. */
export const MAX_FIELDS = 100;
/** Bytes of a request or response head with its last empty line; more is 414 (still in the request line) or 431. */
export const MAX_HEAD_BYTES = 64 * 1024;
/** Bytes of a trailer section. */
export const MAX_TRAILER_BYTES = 16 * 1024;
/** Bytes of all chunk extensions of one body together: they carry nothing anyone reads (CVE-2023-39326, hyper's bound). */
export const MAX_CHUNK_EXTENSION_BYTES = 16 * 1024;
/** Hex digits of a chunk size; the value must be a safe integer as well. */
export const MAX_CHUNK_SIZE_DIGITS = 16;
/** Empty lines before a request line (RFC 9112 §2.2 asks for at least one to be ignored). */
export const MAX_EMPTY_LINES = 2;
/** 1xx responses before a final one: any number makes sense to nobody. */
export const MAX_INFORMATIONAL = 100;
/** Body bytes given to `onData` and not consumed: reading pauses at it and goes on at half of it. */
export const MAX_UNCONSUMED_BYTES = 64 * 1024;
/** Bytes held for later (pipelined requests, bytes after an upgrade): reading pauses at it. */
export const MAX_HELD_BYTES = 64 * 1024;
/** Held bytes at which the connection is dropped: reads in flight when it was paused fit well below it. */
export const ABORT_HELD_BYTES = 4 * 1024 * 1024;
