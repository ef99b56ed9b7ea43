// The control plane is away for minutes (spec hardening §4; goals R6): known traffic, HTTP/1 and gRPC, loses nothing; policy stays; the
// proxies ask for it again at the pace of their back-off; their memory stays.

import type { LoadReport } from "../proxy/testing/load.ts";
import { CONTROL_PORT, Load, ProcessMesh, SERVICE_IP, startLoadApp, until } from "../proxy/testing/processes.ts";
import { requestFrom } from "../proxy/testing/sockets.ts";

export type OutageOptions = { readonly tag: string; readonly seconds: number; readonly rate: number; readonly say: (line: string) => void };

export type OutageResult = {
  readonly seconds: number;
  readonly rate: number;
  readonly http1: LoadReport;
  readonly grpc: LoadReport;
  /** A port whose policy lets nobody in was refused throughout. */
  readonly policyHeld: boolean;
  /** Connections that each proxy began to its control plane while it was away, a second. */
  readonly attemptsPerSecond: { readonly a: number; readonly b: number };
  readonly rss: { readonly before: number; readonly after: number };
  readonly internalErrors: readonly string[];
};

const HTTP = 8080;
const GRPC = 8081;
const FORBIDDEN = 8082;
const LOOK_MS = 1000;

export async function outage({ tag, seconds, rate, say }: OutageOptions): Promise<OutageResult> {
  const mesh = await ProcessMesh.start({ tag, ports: { [HTTP]: {}, [GRPC]: {}, [FORBIDDEN]: {} } });
  try {
    for (const who of ["a", "b"] as const) mesh.countConnections(who, CONTROL_PORT);
    await startLoadApp(mesh.pods.b, { delayMs: 5, http1Port: HTTP, grpcPort: GRPC });
    mesh.write((file) => ({
      ...file,
      servers: { ...file.servers, [FORBIDDEN]: { ...(file.servers[FORBIDDEN] as object), authorizations: [] } },
    }));
    const refused = async (): Promise<boolean> =>
      (await requestFrom(mesh.pods.a, { host: SERVICE_IP, port: FORBIDDEN }).catch(() => ({ status: 0 }))).status === 403;
    await until("the policy is in force", refused);
    const load = (protocol: "http1" | "grpc", port: number) =>
      new Load(mesh.pods.a, { protocol, host: SERVICE_IP, port, rate: rate / 2, connections: protocol === "http1" ? 8 : 2 });
    const loads = { http1: load("http1", HTTP), grpc: load("grpc", GRPC) };
    for (const each of Object.values(loads)) await until("traffic flows", async () => (await each.report()).ok > rate);
    const before = mesh.a.rssBytes + mesh.b.rssBytes;
    say(`the control planes are killed for ${seconds} s`);
    await Promise.all([mesh.killControlPlane("a"), mesh.killControlPlane("b")]);
    const begun = performance.now();
    const attempts = { a: mesh.connections("a"), b: mesh.connections("b") };
    let policyHeld = true;
    while (performance.now() - begun < seconds * 1000) {
      if (!(await refused())) policyHeld = false;
      await Bun.sleep(LOOK_MS);
    }
    const passed = (performance.now() - begun) / 1000;
    const attemptsPerSecond = { a: (mesh.connections("a") - attempts.a) / passed, b: (mesh.connections("b") - attempts.b) / passed };
    const after = mesh.a.rssBytes + mesh.b.rssBytes;
    mesh.write();
    await Promise.all([mesh.startControlPlane("a"), mesh.startControlPlane("b")]);
    await until("the new policy is heard", async () => !(await refused()));
    say("the control planes are back, and heard");
    const [http1, grpc] = await Promise.all([loads.http1.stop(), loads.grpc.stop()]);
    return {
      seconds,
      rate,
      http1,
      grpc,
      policyHeld,
      attemptsPerSecond,
      rss: { before, after },
      internalErrors: [...mesh.a.internalErrors, ...mesh.b.internalErrors],
    };
  } finally {
    mesh.close();
  }
}

export function outageText(result: OutageResult): string {
  const traffic = (name: string, { sent, ok, failed, again, p50, p99, max }: LoadReport): string =>
    `${name.padEnd(8)} sent ${sent}, well ${ok}, failed ${JSON.stringify(failed)}, tried again ${again}; p50 ${p50} ms, p99 ${p99} ms, longest ${max} ms`;
  const { a, b } = result.attemptsPerSecond;
  return `${[
    `Control planes away for ${result.seconds} s at ${result.rate} requests a second through two proxies.`,
    traffic("HTTP/1", result.http1),
    traffic("gRPC", result.grpc),
    `policy ${result.policyHeld ? "held throughout" : "DID NOT HOLD"}; attempts to connect ${a.toFixed(1)} and ${b.toFixed(1)} a second`,
    `RSS of both proxies ${(result.rss.before / 1e6).toFixed(1)} MB before, ${(result.rss.after / 1e6).toFixed(1)} MB at the end; ${result.internalErrors.length} internal errors`,
  ].join("\n")}\n`;
}

export function outageHeld({ http1, grpc, policyHeld, internalErrors }: OutageResult): boolean {
  return http1.sent === http1.ok && grpc.sent === grpc.ok && policyHeld && internalErrors.length === 0;
}
