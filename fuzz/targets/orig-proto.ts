// HTTP/1 over HTTP/2 between proxies: heads there and back.
import {
  downgradeRequest,
  downgradeResponse,
  http1Fault,
  isAuthority,
  ORIG_PROTO,
  OutputPool,
  RequestHead,
  ResponseHead,
  stripHopByHop,
  upgradeRequest,
  upgradeResponse,
} from "#http";
import { Http1Client, responseHeadCache } from "#http1";
import { checkFields, drain, Received } from "../harness/exchange.ts";
import { Host } from "../harness/host.ts";
import { Choices } from "../input.ts";
import { check, same, type Target } from "../target.ts";

const target: Target = {
  name: "orig-proto",
  what: "l5d-orig-proto: an HTTP/1 request or response that is upgraded and downgraded again is the same; what could smuggle is refused",
  maxBytes: 512,
  seeds: [
    "\0\0\0\x01/\0\x02\x01a\x05accept\x03*/*",
    "\x01\x01\x01\x04/a?b\x01\x03",
    "\x02\x00\x00\x02/x\x0eHTTP/1.1; a\x0d\x02\x04a.b:",
    "\x03\x02\x03\x05close\x04keep\x01x",
  ],
  dictionary: [
    "HTTP/1.1",
    "HTTP/1.0",
    "; absolute-form",
    "l5d-orig-proto",
    "connection",
    "transfer-encoding",
    "chunked",
    "te",
    "trailers",
    "host",
    "content-length",
    "\r\n",
    "content_length",
  ],
  run(input) {
    const choices = new Choices(input);
    switch (choices.below(4)) {
      case 0:
      case 1:
        thereAndBack(choices);
        break;
      case 2:
        foreign(choices);
        break;
      default:
        responses(choices);
    }
  },
};
export default target;

const NAMES = [
  "accept",
  "x-a",
  "connection",
  "te",
  "transfer-encoding",
  "keep-alive",
  "upgrade",
  "cookie",
  "proxy-connection",
  ORIG_PROTO,
  "content-length",
  "host",
];

/** Names are tokens in lower case and values as engines give them, so that the fields of `text` are what a request can have. */
function fieldsOf(choices: Choices): string[] {
  const fields: string[] = [];
  while (!choices.done && fields.length < 24) {
    const which = choices.byte();
    const name =
      which < 200
        ? (NAMES[which % NAMES.length] as string)
        : choices
            .text(12)
            .toLowerCase()
            .replace(/[^!#$%&'*+\-.^_`|~0-9a-z]/g, "x") || "x";
    fields.push(
      name,
      choices
        .text(24)
        .replace(/[\x00-\x08\x0a-\x1f\x7f]/g, " ")
        .replace(/^[\t ]+|[\t ]+$/g, ""),
    );
  }
  return fields;
}

function thereAndBack(choices: Choices): void {
  const version = choices.of(["HTTP/1.1", "HTTP/1.0"] as const);
  const absolute = choices.bool();
  const path = `/${choices.text(20).replace(/[^!$&'()*+,\-./0-9:;=?@A-Z_a-z~]/g, "")}`;
  const withHost = choices.bool();
  const fields = fieldsOf(choices).flatMap((text, i, all) =>
    i % 2 === 0 && text !== "host" && text !== "content-length" ? [text, all[i + 1] as string] : [],
  );
  const head = new RequestHead({
    version,
    method: choices.of(["GET", "POST", "OPTIONS"]),
    form: absolute ? "absolute" : "origin",
    scheme: absolute ? "http" : null,
    authority: absolute ? "a.test" : null,
    path,
    fields: withHost || (version === "HTTP/1.1" && !absolute) ? ["host", "a.test", ...fields] : fields,
  });
  const upgraded = upgradeRequest(head, "1.2.3.4:80");
  check(
    upgraded.version === "HTTP/2" && upgraded.authority !== null && isAuthority(upgraded.authority),
    "an HTTP/2 request with an authority",
  );
  for (const name of ["connection", "transfer-encoding", "keep-alive", "upgrade", "proxy-connection"])
    check(!upgraded.has(name), () => `${name} in HTTP/2`);
  check(upgraded.all(ORIG_PROTO).length === 1, "one l5d-orig-proto");
  const back = downgradeRequest(upgraded);
  if (back.kind !== "downgraded") {
    check(back.kind === "malformed" && http1Fault(upgraded) !== null, () => `what was upgraded comes back as ${back.kind}`);
    return;
  }
  same(
    [back.head.version, back.head.method, back.head.form, back.head.path],
    [version, head.method, head.form, path],
    "target there and back",
  );
  if (absolute) same([back.head.scheme, back.head.authority], ["http", "a.test"], "absolute-form there and back");
  const kept = (list: readonly string[]): string[] =>
    list.flatMap((name, i) => (i % 2 === 0 && !["te", "transfer-encoding", ORIG_PROTO].includes(name) ? [`${name}: ${list[i + 1]}`] : []));
  same(kept(back.head.fields), kept(stripHopByHop(head.fields)), "fields there and back");
}

/** Whatever a client that is no proxy says in HTTP/2: it is one HTTP/1 request, or none. */
function foreign(choices: Choices): void {
  const head = new RequestHead({
    version: "HTTP/2",
    method: choices.bool() ? "GET" : choices.text(8),
    form: "origin",
    scheme: choices.of(["http", "https", null, "ftp"]),
    authority: choices.bool() ? "a.test" : choices.text(12),
    path: choices.bool() ? choices.text(20) : "/",
    fields: [ORIG_PROTO, `HTTP/1.${choices.of(["1", "0", "2"])}${choices.of(["", "; absolute-form", ";"])}`, ...raw(choices)],
  });
  const result = downgradeRequest(head);
  if (result.kind === "malformed" || result.kind === "unknown") return;
  check(result.kind === "downgraded", () => `read as ${result.kind}`);
  check(result.head.version !== "HTTP/2" && !result.head.has(ORIG_PROTO), "l5d-orig-proto goes on");
  checkFields(result.head.fields);
  const seen = new Received();
  const client = new Http1Client({ host: new Host(), pool: new OutputPool(), cache: responseHeadCache() });
  client.request(result.head, true, seen);
  const wire = drain(client);
  // With content-length and no content, or without any host, it is refused there; else it is one head, whatever is in it.
  if (seen.error !== null) check(wire === "", "bytes of a request that is refused");
  else check(/^[^\r\n]+\r\n(?:[^\r\n:]+:[^\r\n]*\r\n)*\r\n$/.test(wire), () => `more than one head: ${JSON.stringify(wire)}`);
}

function raw(choices: Choices): string[] {
  const fields: string[] = [];
  while (!choices.done && fields.length < 16) fields.push(choices.bool() ? choices.of(NAMES) : choices.text(10), choices.text(16));
  return fields;
}

function responses(choices: Choices): void {
  const version = choices.of(["HTTP/1.1", "HTTP/1.0"] as const);
  const head = new ResponseHead({ version, status: 200 + choices.byte(), reason: null, fields: fieldsOf(choices) });
  const upgraded = upgradeResponse(head);
  for (const name of ["connection", "transfer-encoding", "keep-alive", "upgrade", "proxy-connection", "te"])
    check(!upgraded.has(name), () => `${name} in HTTP/2`);
  const back = downgradeResponse(upgraded, "HTTP/1.1");
  check(!back.has(ORIG_PROTO), "l5d-orig-proto goes on");
  same([back.version, back.status], [version, head.status], "status line there and back");
  const kept = (list: readonly string[]): string[] =>
    list.flatMap((name, i) => (i % 2 === 0 && !["te", "transfer-encoding", ORIG_PROTO].includes(name) ? [`${name}: ${list[i + 1]}`] : []));
  same(kept(back.fields), kept(stripHopByHop(head.fields)), "fields there and back");
}
