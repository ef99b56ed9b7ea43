// The static table, RFC 7541 appendix A.
import { HeaderField } from "./header-field.ts";

const ROWS = `:authority
:method=GET
:method=POST
:path=/
:path=/index.html
:scheme=http
:scheme=https
:status=200
:status=204
:status=206
:status=304
:status=400
:status=404
:status=500
accept-charset
accept-encoding=gzip, deflate
accept-language
accept-ranges
accept
access-control-allow-origin
age
allow
authorization
cache-control
content-disposition
content-encoding
content-language
content-length
content-location
content-range
content-type
cookie
date
etag
expect
expires
from
host
if-match
if-modified-since
if-none-match
if-range
if-unmodified-since
last-modified
link
location
max-forwards
proxy-authenticate
proxy-authorization
range
referer
refresh
retry-after
server
set-cookie
strict-transport-security
transfer-encoding
user-agent
vary
via
www-authenticate`;

/** Index 1 to {@link STATIC_ENTRIES}; 0 is unused. */
export const STATIC_TABLE: readonly HeaderField[] = [
  new HeaderField("", "", false),
  ...ROWS.split("\n").map((row) => {
    const at = row.indexOf("=");
    return at < 0 ? new HeaderField(row, "", false) : new HeaderField(row.slice(0, at), row.slice(at + 1), false);
  }),
];

export const STATIC_ENTRIES = STATIC_TABLE.length - 1;

export type StaticName = {
  /** The first entry of that name. */
  readonly index: number;
  /** Entries of that name by value. */
  readonly values: ReadonlyMap<string, number>;
};

/** The static table by name. */
export const STATIC_NAMES: ReadonlyMap<string, StaticName> = byName();

function byName(): Map<string, StaticName> {
  const names = new Map<string, { index: number; values: Map<string, number> }>();
  for (let index = 1; index <= STATIC_ENTRIES; index++) {
    const { name, value } = STATIC_TABLE[index] as HeaderField;
    const entry = names.get(name);
    if (entry === undefined) names.set(name, { index, values: new Map([[value, index]]) });
    else entry.values.set(value, index);
  }
  return names;
}
