// How the built binary starts, and how it does not: mistakes of the environment and of the files it names (exit status 64), ports
// that are taken (1), see spec proxy §1.1, §1.4, §1.5.
import { afterEach, beforeAll, expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { builtBinary } from "./testing/built.ts";
import { createCa, type TestCa } from "./testing/certificates.ts";

let ca: TestCa;
let binary: string;
beforeAll(async () => {
  ca = await createCa();
  binary = builtBinary();
}, 120_000);

const cleanup: (() => void)[] = [];
afterEach(() => {
  for (const undo of cleanup.splice(0)) undo();
});

/** A folder with a token and an empty identity folder. */
function home(): string {
  const dir = mkdtempSync(join(tmpdir(), "fairlead-start-"));
  cleanup.push(() => rmSync(dir, { recursive: true, force: true }));
  mkdirSync(join(dir, "identity"));
  writeFileSync(join(dir, "token"), "token");
  return dir;
}

function environment(dir: string, overrides: Record<string, string> = {}): Record<string, string> {
  const variables: Record<string, string> = {
    OUTBOUND_LISTEN_ADDR: "127.0.0.1:0",
    INBOUND_LISTEN_ADDR: "127.0.0.1:0",
    ADMIN_LISTEN_ADDR: "127.0.0.1:0",
    DESTINATION_SVC_ADDR: "localhost.:1",
    IDENTITY_DIR: join(dir, "identity"),
    IDENTITY_TRUST_ANCHORS: ca.pem,
    IDENTITY_LOCAL_NAME: "web.ns",
    IDENTITY_TOKEN_FILE: join(dir, "token"),
    IDENTITY_SVC_ADDR: "localhost.:1",
    ...overrides,
  };
  return Object.fromEntries(Object.entries(variables).map(([key, value]) => [`LINKERD2_PROXY_${key}`, value]));
}

/** Runs the proxy until it ends of itself. */
async function run(env: Record<string, string>): Promise<{ status: number; stdout: string; stderr: string }> {
  const child = Bun.spawn({ cmd: [binary, "proxy"], env, stdout: "pipe", stderr: "pipe" });
  cleanup.push(() => child.kill("SIGKILL"));
  const [stdout, stderr, status] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]);
  return { status, stdout, stderr };
}

test("mistakes of the environment and of the files, all at once", async () => {
  const dir = home();
  writeFileSync(join(dir, "token"), "");
  writeFileSync(join(dir, "identity", "key.p8"), "no key");
  const { status, stdout, stderr } = await run(
    environment(dir, {
      INBOUND_LISTEN_ADDR: "nowhere",
      OUTBOUND_CONNECT_TIMEOUT: "1",
      INGRESS_MODE: "yes",
      INBOUND_IPS: "",
      DESTINATION_SVC_ADDR: "destination",
      IDENTITY_TRUST_ANCHORS: "none",
      TAP_SVC_NAME: "tap.",
    }),
  );
  expect([status, stdout]).toEqual([64, ""]);
  const lines = stderr.trimEnd().split("\n");
  expect(lines.pop()).toBe("Invalid configuration");
  const shown = lines.map((line) => line.replaceAll(dir, ""));
  expect(shown.sort()).toEqual([
    'ERROR LINKERD2_PROXY_DESTINATION_SVC_ADDR: not an address (HOST:PORT, IPv6 in brackets): "destination"',
    'ERROR LINKERD2_PROXY_IDENTITY_DIR: /identity/key.p8: not a PKCS#8 private key: "/identity"',
    'ERROR LINKERD2_PROXY_IDENTITY_TOKEN_FILE: the file is empty: "/token"',
    'ERROR LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS: holds no usable PEM certificate: "none"',
    'ERROR LINKERD2_PROXY_INBOUND_IPS: "" is not an IP address: ""',
    'ERROR LINKERD2_PROXY_INBOUND_LISTEN_ADDR: not an address (IP:PORT): "nowhere"',
    'ERROR LINKERD2_PROXY_INGRESS_MODE: neither "true" nor "false": "yes"',
    'ERROR LINKERD2_PROXY_OUTBOUND_CONNECT_TIMEOUT: a duration needs a unit (ms, s, m, h, d): "1"',
    'ERROR LINKERD2_PROXY_TAP_SVC_NAME: not an identity (a DNS name without a dot at its end): "tap."',
  ]);
}, 20_000);

test.each([
  ["a token that is not there", "IDENTITY_TOKEN_FILE", "/nowhere/token", "ENOENT"],
  ["a token that is a folder", "IDENTITY_TOKEN_FILE", "/", "EISDIR"],
  ["a key folder that cannot be made", "IDENTITY_DIR", "/dev/null/identity", "ENOTDIR"],
])(
  "%s: exit status 64",
  async (_, name, value, problem) => {
    const { status, stderr } = await run(environment(home(), { [name]: value }));
    expect(status).toBe(64);
    const [line, ...rest] = stderr.trimEnd().split("\n");
    expect(line).toStartWith(`ERROR LINKERD2_PROXY_${name}: `);
    expect(line).toContain(problem);
    expect(line).toEndWith(`: ${JSON.stringify(value)}`);
    expect(rest).toEqual(["Invalid configuration"]);
  },
  20_000,
);

test("a port that is taken: exit status 1, saying which", async () => {
  const taken = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  cleanup.push(() => taken.stop(true));
  for (const name of ["INBOUND_LISTEN_ADDR", "OUTBOUND_LISTEN_ADDR", "ADMIN_LISTEN_ADDR"]) {
    const { status, stdout } = await run(environment(home(), { [name]: `127.0.0.1:${taken.port}` }));
    expect(status).toBe(1);
    expect(stdout).toContain(`cannot listen on 127.0.0.1:${taken.port}`);
  }
}, 30_000);

test("the key is made once, for its owner alone", async () => {
  const dir = home();
  const key = join(dir, "identity", "key.p8");
  await run(environment(dir, { INGRESS_MODE: "yes" }));
  const made = statSync(key);
  expect([made.mode & 0o777, statSync(join(dir, "identity", "csr.der")).mode & 0o777]).toEqual([0o600, 0o600]);
  chmodSync(key, 0o600);
  await run(environment(dir, { INGRESS_MODE: "yes" }));
  expect(statSync(key).ino).toBe(made.ino);
}, 20_000);
