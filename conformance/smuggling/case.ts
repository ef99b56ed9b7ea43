// What a case of the smuggling suite is. Text is latin1 everywhere: a character is a byte.

/** What the application must see of a request that is odd but valid. */
export type Sighting = {
  readonly method: string;
  /** The request target, byte by byte. */
  readonly target: string;
  /** Content after decoding; default none. */
  readonly body?: string;
  /** Fields that must be there with this value, or (null) must not be there. */
  readonly fields?: readonly (readonly [name: string, value: string | null])[];
};

export type Verdict =
  /** Refused by its head: an error with `status`, a closed connection, and not one byte for the application. */
  | { readonly kind: "refused"; readonly status: number }
  /** Refused in its content: the application may have seen the beginning of this one request, which must be broken off. */
  | { readonly kind: "broken"; readonly status: number }
  /** The application sees it exactly once; `closes`: nothing behind it is read (HTTP/1.0, `connection: close`). */
  | { readonly kind: "accepted"; readonly seen: Sighting; readonly closes: boolean };

/** Bytes on a client's HTTP/1 connection. */
export type RequestCase = {
  readonly group: string;
  readonly name: string;
  /** Where the rule stands: a section of an RFC, or the advisory that it became known by. */
  readonly source: string;
  readonly bytes: string;
  readonly verdict: Verdict;
};

export const refused = (status = 400): Verdict => ({ kind: "refused", status });
export const broken = (status = 400): Verdict => ({ kind: "broken", status });

/** Behind every case stands this request: of a refused case nobody may ever see it. */
export const SMUGGLED = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
/** Behind an accepted case stands this one, which must be seen as a request of its own. */
export const FOLLOWING = "GET /following HTTP/1.1\r\nHost: a\r\n\r\n";

/** Bytes for people: control characters escaped. */
export function show(text: string): string {
  return JSON.stringify(text)
    .slice(1, -1)
    .replaceAll(/[\x7f-\xff]/g, (c) => `\\x${c.charCodeAt(0).toString(16)}`);
}
