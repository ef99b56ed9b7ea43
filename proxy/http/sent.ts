// The request head as an endpoint's protocol wants it, once per head that repeats (spec proxy §4.8). Pure.
import { type RequestHead, upgradeRequest, withoutField } from "#http";

/** How a request travels to an endpoint. */
export type Carriage =
  /** The request's own version. */
  | "native"
  /** HTTP/1 in HTTP/2, announced by `l5d-orig-proto`. */
  | "upgraded";

/** Lives in `Head.sent` of a derived head. */
class Sent {
  readonly carriage: Carriage;
  readonly authority: string | null;
  readonly head: RequestHead;

  constructor(carriage: Carriage, authority: string | null, head: RequestHead) {
    this.carriage = carriage;
    this.authority = authority;
    this.head = head;
  }
}

export type SentOptions = {
  readonly carriage: Carriage;
  /** The endpoint's authority override; `host` and `l5d-dst-canonical` go with it. */
  readonly authorityOverride: string | null;
  /** Authority of requests that have none. */
  readonly defaultAuthority: string;
};

export function sentHead(head: RequestHead, options: SentOptions): RequestHead {
  const known = head.sent;
  if (known instanceof Sent && known.carriage === options.carriage && known.authority === options.authorityOverride) return known.head;
  const made = make(head, options);
  head.sent = new Sent(options.carriage, options.authorityOverride, made);
  return made;
}

function make(head: RequestHead, options: SentOptions): RequestHead {
  const { authorityOverride } = options;
  let made = head;
  if (authorityOverride !== null)
    made = head.with({ authority: authorityOverride, fields: withoutField(withoutField(head.fields, "host"), "l5d-dst-canonical") });
  return options.carriage === "native" ? made : upgradeRequest(made, options.defaultAuthority);
}
