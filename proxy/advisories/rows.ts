// Which advisory is tried where: the rows of spec hardening §3 with their tests. `node scripts/run.mjs proxy/advisories/rows.ts` writes
// them into README.md; rows.test.ts finds out when a test has gone or the page is old.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export type Row = {
  readonly row: number;
  readonly advisories: string;
  readonly risk: string;
  /** What the proxy does. */
  readonly answer: string;
  /** Names of tests, or the beginning of them, by file from the root of the repository. */
  readonly tests: Readonly<Record<string, readonly string[]>>;
};

const FLOODS = "proxy/advisories/floods.test.ts";
const ATTACKS = "proxy/advisories/attacks.ts";
const UPSTREAM = "proxy/advisories/upstream.test.ts";
const REQUESTS = "proxy/advisories/requests.test.ts";
const ACCESS = "proxy/advisories/access.test.ts";
const CERTIFICATES = "proxy/advisories/certificates.ts";
const DNS = "proxy/faults/dns.test.ts";
const ABUSE = "packages/http2/abuse.test.ts";
const HTTP1 = "packages/http1/advisories.test.ts";
const CALM = "GOAWAY with ENHANCE_YOUR_CALM";

export const ROWS: readonly Row[] = [
  {
    row: 1,
    advisories: "CVE-2023-44487, CVE-2023-26964 (RUSTSEC-2023-0034)",
    risk: "rapid reset; reset streams kept in a queue",
    answer: `${CALM} after 1,000 resets, 33 more a second; a completed exchange earns one back`,
    tests: {
      [ATTACKS]: ["CVE-2023-44487 rapid reset", "CVE-2023-26964 reset streams kept in a queue"],
      [ABUSE]: [
        "rapid reset (CVE-2023-44487, RUSTSEC-2023-0034)",
        "streams reset while they wait for the connection's window do not pile up",
      ],
    },
  },
  {
    row: 2,
    advisories: "CVE-2025-8671 (MadeYouReset), RUSTSEC-2025-0070",
    risk: "resets the server is made to send",
    answer: "the same count as row 1",
    tests: {
      [ATTACKS]: ["CVE-2025-8671 MadeYouReset", "RUSTSEC-2025-0070 (pingora) MadeYouReset"],
      [ABUSE]: ["resets that the server is made to send"],
    },
  },
  {
    row: 3,
    advisories: "RUSTSEC-2024-0003, CVE-2019-9514",
    risk: "the server's own resets pile up while the peer does not read",
    answer: "256 KiB of output that waits stop the reading, 4 MiB end the connection",
    tests: {
      [ATTACKS]: ["RUSTSEC-2024-0003 resets of the server that are not read", "CVE-2019-9514 reset flood"],
      [UPSTREAM]: ["RUSTSEC-2024-0003 DATA on streams that never were"],
      [ABUSE]: ["a peer that does not read (RUSTSEC-2024-0003, CVE-2019-9517)"],
    },
  },
  {
    row: 4,
    advisories: "RUSTSEC-2024-0332, CVE-2024-27919, CVE-2024-30255, CVE-2024-28182, CVE-2024-27983",
    risk: "CONTINUATION without end; a connection dropped within a block",
    answer: `${CALM} after 64 frames or 128 KiB of one block`,
    tests: {
      [ATTACKS]: ["CVE-2024-27919 CONTINUATION flood", "CVE-2024-30255 CONTINUATION flood", "CVE-2024-28182 CONTINUATION flood"],
      [FLOODS]: ["CVE-2024-27983 a connection dropped in the middle of a header block"],
      [UPSTREAM]: ["CVE-2024-27919 CONTINUATION without END_HEADERS in an answer", "CVE-2024-30255 empty CONTINUATION in an answer"],
      [ABUSE]: ["CONTINUATION flood (VU#421644, RUSTSEC-2024-0332)"],
    },
  },
  {
    row: 5,
    advisories: "CVE-2016-1544, CVE-2016-2525",
    risk: "HPACK bomb",
    answer:
      "decoded bytes are counted: 431 beyond 64 KiB, and the connection lives; a table beyond what was allowed is a COMPRESSION_ERROR",
    tests: {
      [ATTACKS]: ["CVE-2016-1544 HPACK bomb", "CVE-2016-2525 HPACK"],
      [UPSTREAM]: ["CVE-2016-1544 HPACK bomb in an answer"],
      [ABUSE]: ["HPACK bomb (CVE-2016-1544)"],
    },
  },
  {
    row: 6,
    advisories: "CVE-2019-9511 to -9518, CVE-2020-11080",
    risk: "floods of cheap frames",
    answer: `${CALM} from a budget for each kind of frame, refilled by time and by useful work`,
    tests: {
      [ATTACKS]: [
        "CVE-2019-9511 data dribble",
        "CVE-2019-9512 ping flood",
        "CVE-2019-9513 resource loop",
        "CVE-2019-9514 reset flood",
        "CVE-2019-9515 settings flood",
        "CVE-2019-9516 0-length headers leak",
        "CVE-2019-9517 internal data buffering",
        "CVE-2019-9518 empty frames flood",
        "CVE-2020-11080 large SETTINGS frames",
      ],
      [UPSTREAM]: [
        "CVE-2019-9512 ping flood of a server",
        "CVE-2019-9515 settings flood of a server",
        "CVE-2019-9518 informational answers without end",
      ],
      [ABUSE]: ["floods of frames (CVE-2019-9512, -9515, -9517, -9518, CVE-2020-11080)"],
    },
  },
  {
    row: 7,
    advisories: "RUSTSEC-2026-0258",
    risk: "empty DATA without end",
    answer: `${CALM} after 1,000, 100 more a second`,
    tests: { [ATTACKS]: ["RUSTSEC-2026-0258 endless empty DATA"], [ABUSE]: ["empty DATA (RUSTSEC-2026-0258)"] },
  },
  {
    row: 8,
    advisories: "CVE-2021-32778, CVE-2023-35945",
    risk: "CPU and memory after many resets, or RST_STREAM with GOAWAY",
    answer: "tables are empty again; connections and descriptors are as before",
    tests: {
      [ATTACKS]: ["CVE-2021-32778 a thousand open streams reset at once"],
      [FLOODS]: ["nothing is left: connections, descriptors, errors"],
      [UPSTREAM]: ["CVE-2023-35945 RST_STREAM and GOAWAY in one segment", "CVE-2023-35945 GOAWAY with every answer"],
    },
  },
  {
    row: 9,
    advisories: "CVE-2021-32780",
    risk: "a server that sends GOAWAY, then allows no streams",
    answer: "every one of 36 misbehaviours of a server is answered, and the next connection is used",
    tests: {
      [UPSTREAM]: [
        "CVE-2021-32780 GOAWAY, then SETTINGS that allow no stream",
        "CVE-2021-32780 SETTINGS that allow no stream from the start",
      ],
    },
  },
  {
    row: 10,
    advisories: "CVE-2025-59465",
    risk: "malformed frames end the process",
    answer: "any frames at worst end their connection; nothing is unhandled",
    tests: {
      [REQUESTS]: ["CVE-2025-59465 any frames whatever: the process lives, nothing is unhandled"],
      [UPSTREAM]: ["CVE-2025-59465 a malformed header block"],
      [ABUSE]: ["any bytes whatever: the engine never throws"],
    },
  },
  {
    row: 11,
    advisories: "RUSTSEC-2021-0020, -0078, -0079, RUSTSEC-2020-0008",
    risk: "lengths that parsers read differently",
    answer: "400, and the connection ends",
    tests: {
      [REQUESTS]: ["RUSTSEC-2021-0020 (hyper)", "RUSTSEC-2021-0078 (hyper)", "RUSTSEC-2021-0079 (hyper)", "RUSTSEC-2020-0008 (hyper)"],
      [HTTP1]: ["#11 hyper"],
    },
  },
  {
    row: 12,
    advisories: "CVE-2025-23167, CVE-2024-27982",
    risk: "ends of heads and spaces before names",
    answer: "400, and the connection ends",
    tests: { [REQUESTS]: ["CVE-2025-23167 (Node)", "CVE-2024-27982 (Node)"], [HTTP1]: ["#12 Node"] },
  },
  {
    row: 13,
    advisories: "CVE-2025-55315",
    risk: "a line break hidden in a chunk extension",
    answer: "400, and the connection ends",
    tests: {
      [REQUESTS]: ["CVE-2025-55315 (Kestrel) LF in a chunk extension", "CVE-2025-55315 (Kestrel) CR in a chunk extension"],
      [HTTP1]: ["#13 CVE-2025-55315 (Kestrel)"],
    },
  },
  {
    row: 14,
    advisories: "RUSTSEC-2026-0033 (CVE-2026-2833), CVE-2025-64763",
    risk: "bytes behind Upgrade or CONNECT are forwarded too early",
    answer: "they wait for 101 or 2xx; when it is declined they are the next request",
    tests: {
      [REQUESTS]: [
        "CVE-2026-2833 (pingora), CVE-2025-64763 (Envoy) bytes behind Upgrade wait for 101",
        "CVE-2026-2833 (pingora) bytes behind Upgrade that is declined are a request of their own",
      ],
      [HTTP1]: ["#14 CVE-2026-2833 (pingora), CVE-2025-64763 (Envoy): bytes behind Upgrade or CONNECT"],
    },
  },
  {
    row: 15,
    advisories: "RUSTSEC-2026-0034 (CVE-2026-2835)",
    risk: "HTTP/1.0 bodies until the end of the connection, codings in HTTP/1.0",
    answer: "a request without a length has no body; a coding in HTTP/1.0 is refused",
    tests: {
      [REQUESTS]: [
        "CVE-2026-2835 (pingora) transfer-encoding in HTTP/1.0",
        "CVE-2026-2835 (pingora) an HTTP/1.0 body without length is none",
      ],
      [HTTP1]: ["#15 CVE-2026-2835 (pingora)"],
    },
  },
  {
    row: 16,
    advisories: "CVE-2021-21295 and its class",
    risk: "HTTP/2 fields that break out of HTTP/1",
    answer: "an error of the stream; nothing is written to the application",
    tests: {
      [REQUESTS]: [
        "CVE-2021-21295 ${name}: an error of the stream, nothing for the application",
        "CVE-2021-21295 content beyond its length",
      ],
      "conformance/smuggling/downgrades.ts": ["CVE-2021-21295"],
    },
  },
  {
    row: 17,
    advisories: "CVE-2021-31920, CVE-2021-29492",
    risk: "spellings of a path that get around its policy",
    answer: "the path that routes are matched with is forwarded byte by byte; 70 spellings",
    tests: {
      [REQUESTS]: ["CVE-2021-31920, CVE-2021-29492, CVE-2021-39156, CVE-2020-8595 the path that is matched is the path that is forwarded"],
    },
  },
  {
    row: 18,
    advisories: "CVE-2021-39156, CVE-2020-8595",
    risk: "fragments and queries",
    answer: "a fragment is refused with 400; a query is no part of what is matched",
    tests: {
      [REQUESTS]: ["CVE-2021-31920, CVE-2021-29492, CVE-2021-39156, CVE-2020-8595 the path that is matched is the path that is forwarded"],
    },
  },
  {
    row: 19,
    advisories: "CVE-2021-39155, ISTIO-SECURITY-2021-008",
    risk: "spellings of a host",
    answer: "no decision is made by Host; two Hosts, or Host against `:authority`, are refused",
    tests: {
      [REQUESTS]: ["CVE-2021-39155, ISTIO-SECURITY-2021-008 spellings of a host are one name", "Host against :authority"],
    },
  },
  {
    row: 20,
    advisories: "CVE-2021-32777, CVE-2026-26308",
    risk: "repeated headers joined, or only the last one seen",
    answer: "each value is forwarded by itself; what the proxy tells is told once",
    tests: {
      [REQUESTS]: ["CVE-2021-32777, CVE-2026-26308 repeated headers stay apart"],
      [HTTP1]: ["#20 CVE-2021-32777 (Envoy): repeated fields stay apart"],
    },
  },
  {
    row: 21,
    advisories: "CVE-2023-27487, CVE-2024-7207, ISTIO-SECURITY-2024-006",
    risk: "forged headers of the mesh",
    answer: "`l5d-client-id` of a client never arrives; `l5d-dst-override` leads nowhere outside ingress mode",
    tests: {
      [REQUESTS]: [
        "CVE-2023-27487, CVE-2024-7207, ISTIO-SECURITY-2024-006 identity and control headers of a client without identity are removed",
        "CVE-2023-27487 l5d-dst-override leads nowhere outside ingress mode",
      ],
    },
  },
  {
    row: 22,
    advisories: "CVE-2026-39350",
    risk: "identities read as patterns",
    answer: "identities are compared as data",
    tests: { [ACCESS]: ["CVE-2026-39350 (Istio) a dot in an allowed identity stands for itself"] },
  },
  {
    row: 23,
    advisories: "CVE-2025-66220, CVE-2026-47778, CVE-2022-21657, RUSTSEC-2026-0098, -0099",
    risk: "certificates that claim a name in another way",
    answer: "only a DNS name in subjectAltName counts, compared whole; 22 claims, of clients and of servers, are not believed",
    tests: {
      [CERTIFICATES]: [
        "CVE-2025-66220 (Envoy) NUL in a DNS name",
        "CVE-2026-47778 (Envoy) otherName",
        "CVE-2022-21657 (Envoy)",
        "RUSTSEC-2026-0098 (webpki)",
        "RUSTSEC-2026-0099 (webpki)",
      ],
      [ACCESS]: [
        "of a client, is not the victim",
        "of a server, is not the victim",
        "the victim is let in, so that what follows means something",
      ],
    },
  },
  {
    row: 24,
    advisories: "RUSTSEC-2023-0052, -0053",
    risk: "CPU in path building",
    answer: "a hundred cross-signed intermediates are refused like any other chain",
    tests: { [ACCESS]: ["RUSTSEC-2023-0052, RUSTSEC-2023-0053 (webpki) a hundred cross-signed intermediates"] },
  },
  {
    row: 28,
    advisories: "CVE-2026-31838",
    risk: "debug endpoints for anybody",
    answer: "there are none; what changes the process is for loopback alone; tap is for one identity",
    tests: {
      [ACCESS]: ["CVE-2026-31838 (Istio) ${method} ${path}"],
      "proxy/cases/tap.test.ts": ["17.56"],
    },
  },
  {
    row: 29,
    advisories: "CVE-2024-40632",
    risk: "`/shutdown` by a request the application was talked into",
    answer: "POST, from loopback, to `localhost` or an address, without Origin; a token would break `linkerd-await --shutdown`",
    tests: { [ACCESS]: ["CVE-2024-40632 (Linkerd) /shutdown"], "proxy/admin/admin.test.ts": ["evil.example:4191"] },
  },
  {
    row: 30,
    advisories: "CVE-2025-43915 (GHSA-42mr-jpwh-m9rv)",
    risk: "labels that a client chooses",
    answer: "a few hundred names have series of their own, all are counted; a family has 10,000 series at most, and one for the rest",
    tests: {
      [REQUESTS]: ["CVE-2025-43915 (Linkerd) names that a client chooses do not grow the metrics beyond their bound"],
      "packages/metrics/metrics.test.ts": ['overflow="true"'],
    },
  },
  {
    row: 33,
    advisories: "direct access to the inbound port, opaque and skipped ports (no number)",
    risk: "a policy that is not asked, or another port's",
    answer: "the same verdict by the pod's address, by 4143 with a header, in TLS or not; whoever may, may by every way",
    tests: { [ACCESS]: ["direct access and opaque ports (no advisory number)"] },
  },
  {
    row: 34,
    advisories: "trust-dns #1447, linkerd2-proxy #976, CVE-2025-62408, CVE-2026-48497, CVE-2026-26310",
    risk: "hostile DNS",
    answer: "the name is asked for again, without a storm; what is known is served",
    tests: { [DNS]: ["the name is asked for again, not too often", "a name that can no longer be told"] },
  },
  {
    row: 35,
    advisories: "ISTIO-SECURITY-2024-006 (Envoy)",
    risk: "log lines and metrics forged through a server name",
    answer: "control bytes are escaped in every line",
    tests: { [REQUESTS]: ["ISTIO-SECURITY-2024-006 (Envoy) a server name with line breaks and escapes forges no log line and no metric"] },
  },
];

/** Rows of others than the proxy. */
export const ELSEWHERE: Readonly<Record<number, string>> = {
  25: "the skew of control plane and proxies: the policy controller's messages and the proxy's reading of them",
  26: "input of the admission webhooks: `controller/`",
  27: "key fetching: the proxy fetches no keys; its trust anchors are given to it when it starts",
  31: "routes of other namespaces: `controller/destination`",
  32: "URLs of tenants: the control plane fetches none",
};

const FILE = join(import.meta.dir, "README.md");
const BEGIN = "<!-- rows: written by rows.ts -->\n";
const END = "<!-- end of rows -->\n";

export function table(): string {
  const lines = ROWS.map(({ row, advisories, risk, answer, tests }) => {
    const files = Object.keys(tests).map((file) => `[${file.split("/").at(-1)}](../../${file})`);
    return `| ${row} | ${advisories} | ${risk} | ${answer} | ${files.join(", ")} |\n`;
  });
  const others = Object.entries(ELSEWHERE).map(([row, text]) => `- ${row}: ${text}\n`);
  return `| row | advisory | risk | what the proxy does | tests |\n|---|---|---|---|---|\n${lines.join("")}\nRows that are not the proxy's:\n${others.join("")}`;
}

/** The page with the table in its place. */
export function page(text = readFileSync(FILE, "utf8")): string {
  const [head = "", rest = ""] = text.split(BEGIN);
  const tail = rest.split(END)[1] ?? "";
  return `${head}${BEGIN}${table()}${END}${tail}`;
}

if (import.meta.main) writeFileSync(FILE, page());
