// What the process says of itself: its certificate, its CPU, memory and descriptors, its build (spec proxy §9.8). Read at each
// scrape, never in between.
import { readdirSync, readFileSync } from "node:fs";
import type { Registry } from "#metrics";
import { VERSION } from "#version";
import type { Credentials } from "../contracts.ts";

/** The part of the identity that is shown. */
export interface ShownIdentity {
  current(): Credentials | null;
  readonly refreshes: number;
}

/** What the span exporter has done; zeros without a collector. */
export type ShownExports = { readonly streams: number; readonly requests: number; readonly spans: number };

export function registerProcessMetrics(
  registry: Registry,
  { identity, exports = null }: { identity: ShownIdentity | null; exports?: ShownExports | null },
): void {
  if (identity !== null) registry.fill("identity", () => identityMetrics(identity));
  registerSpanMetrics(registry, exports);
  registry.text(processMetrics);
  registry.text(
    () =>
      `${heading("proxy_build_info", "Proxy build info", "gauge")}proxy_build_info{git_branch="",git_sha="",git_version="${VERSION}",profile="release",rust_version="bun ${Bun.version}"} 1\n`,
  );
}

/** Of the span exporter of one thread; null: no collector. */
export function registerSpanMetrics(registry: Registry, exports: ShownExports | null): void {
  registry.fill("opencensus", () => spanMetrics(exports ?? NO_EXPORTS));
}

function heading(name: string, help: string, type: string): string {
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`;
}

function single(name: string, help: string, type: string, value: number): string {
  return `${heading(name, help, type)}${name} ${value}\n`;
}

function identityMetrics(identity: ShownIdentity): string {
  const credentials = identity.current();
  const expiry =
    credentials === null
      ? ""
      : single(
          "identity_cert_expiration_timestamp_seconds",
          "Time when the this proxy's current mTLS identity certificate will expire (in seconds since the UNIX epoch)",
          "gauge",
          Math.floor(credentials.validUntilMs / 1000),
        );
  return `${expiry}${single("identity_cert_refresh_count", "The total number of times this proxy's mTLS identity certificate has been refreshed by the Identity service.", "counter", identity.refreshes)}`;
}

const NO_EXPORTS: ShownExports = { streams: 0, requests: 0, spans: 0 };

/** There without a collector too, as on the page of the reference. */
function spanMetrics({ streams, requests, spans }: ShownExports): string {
  return (
    single("opencensus_span_export_streams", "Total count of opened span export streams", "counter", streams) +
    single("opencensus_span_export_requests", "Total count of span export request messages", "counter", requests) +
    single("opencensus_span_exports", "Total count of spans exported", "counter", spans)
  );
}

function processMetrics(): string {
  const { user, system } = process.cpuUsage();
  const parts = [
    single(
      "process_start_time_seconds",
      "Time that the process started (in seconds since the UNIX epoch)",
      "gauge",
      Math.floor((Date.now() - performance.now()) / 1000),
    ),
    single("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.", "counter", (user + system) / 1e6),
  ];
  const open = countDescriptors();
  if (open !== null) parts.push(single("process_open_fds", "Number of open file descriptors.", "gauge", open));
  const limit = /^Max open files\s+(\d+)/m.exec(read("/proc/self/limits"))?.[1];
  if (limit !== undefined) parts.push(single("process_max_fds", "Maximum number of open file descriptors.", "gauge", Number(limit)));
  const kilobytes = (field: string): number => Number(new RegExp(`^${field}:\\s+(\\d+)`, "m").exec(status)?.[1] ?? 0) * 1024;
  const status = read("/proc/self/status");
  parts.push(single("process_virtual_memory_bytes", "Virtual memory size in bytes.", "gauge", kilobytes("VmSize")));
  parts.push(single("process_resident_memory_bytes", "Resident memory size in bytes.", "gauge", kilobytes("VmRSS")));
  return parts.join("");
}

function countDescriptors(): number | null {
  try {
    // One of them reads the folder.
    return readdirSync("/proc/self/fd").length - 1;
  } catch {
    return null;
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}
