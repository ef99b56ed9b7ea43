// Spellings of paths and hosts (spec hardening §3 rows 17–20): what the routes of a profile see is, byte by byte, what goes on
// to the application. Nothing is normalised on the way, so nothing can be normalised in one place and not in the other.
import { NAME } from "../../proxy/testing/mesh.ts";

export type PathCase = {
  readonly name: string;
  readonly source: string;
  /** The request target as sent. */
  readonly target: string;
  /** Refused with 400; else it goes on as it is. */
  readonly refused: boolean;
};

const ISTIO = "CVE-2021-31920, CVE-2021-29492";

const spellings: readonly (readonly [target: string, source: string])[] = [
  ["/admin", "RFC 3986 §3.3"],
  ["//admin", ISTIO],
  ["///admin", ISTIO],
  ["/admin/", ISTIO],
  ["/admin//", ISTIO],
  ["/admin//users", ISTIO],
  ["/%2Fadmin", ISTIO],
  ["/%2fadmin", ISTIO],
  ["/admin%2F", ISTIO],
  ["/admin%2Fusers", ISTIO],
  ["/%5Cadmin", ISTIO],
  ["/%5cadmin", ISTIO],
  ["/\\admin", ISTIO],
  ["/admin\\users", ISTIO],
  ["/public\\..\\admin", ISTIO],
  ["/public%5C..%5Cadmin", ISTIO],
  ["/./admin", "RFC 3986 §5.2.4"],
  ["/././admin", "RFC 3986 §5.2.4"],
  ["/admin/.", "RFC 3986 §5.2.4"],
  ["/admin/./users", "RFC 3986 §5.2.4"],
  ["/../admin", "RFC 3986 §5.2.4"],
  ["/public/../admin", "RFC 3986 §5.2.4"],
  ["/public/../../admin", "RFC 3986 §5.2.4"],
  ["/admin/..", "RFC 3986 §5.2.4"],
  ["/admin/../public", "RFC 3986 §5.2.4"],
  ["/%2e/admin", "RFC 3986 §6.2.2"],
  ["/%2E%2E/admin", "RFC 3986 §6.2.2"],
  ["/public/%2e%2e/admin", "RFC 3986 §6.2.2"],
  ["/public/.%2e/admin", "RFC 3986 §6.2.2"],
  ["/public/%252e%252e/admin", "RFC 3986 §2.4"],
  ["/public/..;/admin", "CVE-2020-5902 class"],
  ["/admin;", "CVE-2020-5902 class"],
  ["/admin;x=1", "CVE-2020-5902 class"],
  ["/;/admin", "CVE-2020-5902 class"],
  ["/public;/../admin", "CVE-2020-5902 class"],
  ["/admin?", "CVE-2020-8595"],
  ["/admin?x", "CVE-2020-8595"],
  ["/admin?/../public", "CVE-2020-8595"],
  ["/public?/admin", "CVE-2020-8595"],
  ["/?/admin", "CVE-2020-8595"],
  ["/admin%3F", "CVE-2020-8595"],
  ["/admin%23", "CVE-2021-39156"],
  ["/admin%00", "RFC 3986 §7.3"],
  ["/admin%00.html", "RFC 3986 §7.3"],
  ["/admin%0d%0aX: 1".replace(": ", ":"), "RFC 3986 §7.3"],
  ["/admin%20", "RFC 3986 §2.1"],
  ["/admin+", "RFC 3986 §2.2"],
  ["/%61dmin", "RFC 3986 §6.2.2.2"],
  ["/%61%64%6d%69%6e", "RFC 3986 §6.2.2.2"],
  ["/ADMIN", "RFC 3986 §6.2.2.1"],
  ["/Admin", "RFC 3986 §6.2.2.1"],
  ["/admin.", "RFC 3986 §3.3"],
  ["/admin..", "RFC 3986 §3.3"],
  ["/admin~", "RFC 3986 §3.3"],
  ["/admin%", "RFC 3986 §2.1"],
  ["/admin%2", "RFC 3986 §2.1"],
  ["/admin%u002f", "RFC 3986 §2.1"],
  ["/admin%c0%af", "RFC 3629 §3"],
  ["/%c0%aeadmin", "RFC 3629 §3"],
  ["/admin:80", "RFC 3986 §3.3"],
  ["/@admin", "RFC 3986 §3.3"],
  ["/admin&x", "RFC 3986 §2.2"],
  ["/admin|x", "RFC 3986 §2"],
  ["/*", "RFC 9112 §3.2.4"],
  ["/", "RFC 3986 §3.3"],
  ["/public", "RFC 3986 §3.3"],
  [`http://${NAME}/admin`, "RFC 9112 §3.2.2"],
  [`http://${NAME}//admin`, "RFC 9112 §3.2.2"],
  [`http://${NAME}/public/../admin`, "RFC 9112 §3.2.2"],
  [`http://${NAME}/admin?x`, "RFC 9112 §3.2.2"],
];

const faults: readonly (readonly [target: string, source: string])[] = [
  ["/admin#", "CVE-2021-39156"],
  ["/public#/admin", "CVE-2021-39156"],
  ["/admin#/../public", "CVE-2021-39156"],
  ["/public?#/admin", "CVE-2021-39156"],
  ["#/admin", "CVE-2021-39156"],
  ["/admin ", "RFC 9112 §3"],
  ["/admin\t", "RFC 9112 §3"],
  ["/admin\0", "RFC 9112 §3"],
  ["/admin\x7f", "RFC 9112 §3"],
  ["/\xe1dmin", "RFC 3986 §2"],
  ["/adm\xc4\xb1n", "RFC 3986 §2"],
  ["admin", "RFC 9112 §3.2"],
  ["./admin", "RFC 9112 §3.2"],
  ["*/admin", "RFC 9112 §3.2.4"],
  ["\\admin", "RFC 9112 §3.2"],
  ["http:/admin", "RFC 9112 §3.2.2"],
  ["http:///admin", "RFC 9112 §3.2.2"],
  [`http://u@${NAME}/admin`, "RFC 9110 §4.2.4"],
  [`http://${NAME}#/admin`, "CVE-2021-39156"],
  [`http://${NAME}\\/admin`, "RFC 9112 §3.2.2"],
  ["http://other/admin", "RFC 9112 §3.2.2"],
];

export const PATHS: readonly PathCase[] = [
  ...spellings.map(([target, source]) => ({ name: target, source, target, refused: false })),
  ...faults.map(([target, source]) => ({ name: target, source, target, refused: true })),
];

/** Spellings of one host: all mean the same service, and each goes on as it was sent. */
export const HOSTS: readonly string[] = [
  NAME,
  `${NAME}:80`,
  `${NAME}.`,
  `${NAME}.:80`,
  NAME.toUpperCase(),
  `${NAME.toUpperCase()}:80`,
  `${NAME.toUpperCase()}.`,
  NAME.replace("web", "Web"),
];
/** Spellings that do not mean it. */
export const OTHER_HOSTS: readonly string[] = [`${NAME}:8080`, `${NAME}:0`, `x.${NAME}`, `${NAME}x`, "127.0.0.1", ""];
