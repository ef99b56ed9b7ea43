// Field names that are met often, so that reading one makes no new string: making it lower-case is half the cost of a head.

const NAMES = [
  ..."accept accept-charset accept-encoding accept-language accept-ranges access-control-allow-credentials".split(" "),
  ..."access-control-allow-headers access-control-allow-methods access-control-allow-origin age allow alt-svc".split(" "),
  ..."authorization cache-control connection content-disposition content-encoding content-language content-length".split(" "),
  ..."content-location content-range content-security-policy content-type cookie date dnt etag expect expires".split(" "),
  ..."forwarded from grpc-message grpc-status grpc-timeout host if-match if-modified-since if-none-match".split(" "),
  ..."if-unmodified-since keep-alive l5d-client-id l5d-dst-canonical l5d-dst-override last-modified link location".split(" "),
  ..."max-forwards origin pragma proxy-authorization proxy-connection range referer retry-after sec-fetch-dest".split(" "),
  ..."sec-fetch-mode sec-fetch-site sec-fetch-user sec-websocket-accept sec-websocket-key sec-websocket-protocol".split(" "),
  ..."sec-websocket-version server set-cookie strict-transport-security te traceparent tracestate trailer".split(" "),
  ..."transfer-encoding upgrade upgrade-insecure-requests user-agent vary via www-authenticate x-b3-flags".split(" "),
  ..."x-b3-parentspanid x-b3-sampled x-b3-spanid x-b3-traceid x-content-type-options x-forwarded-for".split(" "),
  ..."x-forwarded-host x-forwarded-proto x-frame-options x-powered-by x-real-ip x-request-id x-requested-with".split(" "),
];

const SLOTS = 1024;

const TABLE: readonly (readonly string[] | undefined)[] = (() => {
  const table: (string[] | undefined)[] = new Array(SLOTS).fill(undefined);
  for (const name of NAMES) {
    const slot = hash(name.length, name.charCodeAt(0), name.charCodeAt(name.length >> 1), name.charCodeAt(name.length - 1));
    (table[slot] ??= []).push(name);
  }
  return table;
})();

function hash(length: number, first: number, middle: number, last: number): number {
  return (length * 67 + (first | 0x20) * 31 + (middle | 0x20) * 7 + (last | 0x20)) & (SLOTS - 1);
}

/** The name `bytes[start..end)` in lower case when it is one of those known, else null. The bytes must be a token. */
export function knownName(bytes: Uint8Array, start: number, end: number): string | null {
  const length = end - start;
  const names = TABLE[hash(length, bytes[start] as number, bytes[start + (length >> 1)] as number, bytes[end - 1] as number)];
  if (names === undefined) return null;
  for (let n = 0; n < names.length; n++) {
    const name = names[n] as string;
    if (name.length !== length) continue;
    let i = 0;
    // Of token characters only letters change by the bit, and none becomes a letter or a hyphen but A to Z.
    while (i < length && ((bytes[start + i] as number) | 0x20) === name.charCodeAt(i)) i++;
    if (i === length) return name;
  }
  return null;
}
