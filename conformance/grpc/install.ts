// Brings the foreign stacks: grpc-go's programs by Go from go.mod and go.sum of this folder, grpcio by pip from requirements.txt, both
// into .local of the checkout, once; programs on grpc-js and connect-node are bundled for Node from the packages of package.json.
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { installPackages } from "../../scripts/debian.ts";

const folder = import.meta.dir;
const root = resolve(folder, "../..");
const local = join(root, ".local");

/** Programs of the namespaces and the Debian packages that bring them. */
const PACKAGES: Readonly<Record<string, string>> = { ip: "iproute2", iptables: "iptables", setpriv: "util-linux" };

export type Programs = {
  /** grpc-go's: client, client of the "Http2 Interop" cases, server. */
  readonly goClient: string;
  readonly goHttp2Client: string;
  readonly goServer: string;
  readonly node: string;
  readonly python: string;
  /** Where grpcio and the generated modules are. */
  readonly pythonPath: string;
};

async function run(argv: readonly string[], cwd: string): Promise<void> {
  const child = Bun.spawn([...argv], { cwd, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [output, messages] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  if ((await child.exited) !== 0) throw new Error(`${argv.join(" ")}:\n${(messages + output).trim().slice(-2000)}`);
}

/** A version in a file of this folder. */
export function version(file: string, pattern: RegExp): string {
  const match = pattern.exec(readFileSync(join(folder, file), "utf8"));
  if (match === null) throw new Error(`conformance/grpc/${file} has no ${pattern.source}`);
  return match[1] as string;
}

export const versions = (): Readonly<Record<string, string>> => ({
  "grpc-go": version("go.mod", /google\.golang\.org\/grpc v(\S+)/),
  grpcio: version("grpcio/requirements.txt", /^grpcio==(\S+)/m),
  "grpc-js": version("../../package.json", /"@grpc\/grpc-js": "([^"]+)"/),
  "connect-node": version("../../package.json", /"@connectrpc\/connect-node": "([^"]+)"/),
});

async function go(): Promise<Pick<Programs, "goClient" | "goHttp2Client" | "goServer">> {
  const home = join(local, `grpc-go-${versions()["grpc-go"]}`);
  if (!existsSync(home)) {
    const program = Bun.which("go");
    if (program === null)
      throw new Error("needs Go 1.21 or newer to build grpc-go's interop programs: https://go.dev/doc/install, or the package golang-go");
    console.log("building grpc-go's interop programs ...");
    const half = `${home}.${process.pid}`;
    mkdirSync(half, { recursive: true });
    const packages = ["client", "http2", "server"].map((name) => `google.golang.org/grpc/interop/${name}`);
    try {
      await run([program, "build", "-o", `${half}/`, ...packages], folder);
      renameSync(half, home);
    } finally {
      rmSync(half, { recursive: true, force: true });
    }
  }
  return { goClient: join(home, "client"), goHttp2Client: join(home, "http2"), goServer: join(home, "server") };
}

async function grpcio(): Promise<Pick<Programs, "python" | "pythonPath">> {
  const python = Bun.which("python3");
  if (python === null)
    throw new Error("needs Python 3.10 or newer with pip: https://www.python.org, or the packages python3 and python3-pip");
  const home = join(local, `grpcio-${versions()["grpcio"]}`);
  if (!existsSync(home)) {
    console.log("installing grpcio ...");
    const half = `${home}.${process.pid}`;
    const requirements = join(folder, "grpcio", "requirements.txt");
    try {
      await run(
        [python, "-m", "pip", "install", "-q", "--no-deps", "--root-user-action=ignore", "--target", half, "-r", requirements],
        folder,
      );
      renameSync(half, home);
    } finally {
      rmSync(half, { recursive: true, force: true });
    }
  }
  return { python, pythonPath: home };
}

/** @throws {Error} saying what is missing and cannot be brought. */
export async function install(): Promise<Programs> {
  if (process.getuid?.() !== 0) throw new Error("needs root, for network namespaces");
  const path = `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`;
  const missing = Object.keys(PACKAGES).filter((program) => Bun.which(program, { PATH: path }) === null);
  await installPackages([...new Set(missing.map((program) => PACKAGES[program] as string))]);
  const node = Bun.which("node");
  if (node === null) throw new Error("needs Node.js 20 or newer");
  return { ...(await go()), ...(await grpcio()), node };
}

/** Puts the programs on grpc-js and connect-node, and Python's modules and programs, into a directory. */
export async function build(programs: Programs, directory: string): Promise<void> {
  const entries = ["grpc-js/client", "grpc-js/server", "connect-node/client", "servers/raw-server", "servers/bad-server"];
  for (const entry of entries) {
    const built = await Bun.build({
      entrypoints: [join(folder, `${entry}.ts`)],
      target: "node",
      format: "esm",
      outdir: directory,
      naming: `${entry.replace("/", "-")}.mjs`,
    });
    if (!built.success) throw new AggregateError(built.logs, `${entry}.ts could not be bundled`);
  }
  for (const name of ["interop_client.py", "interop_server.py"])
    await Bun.write(join(directory, name), Bun.file(join(folder, "grpcio", name)));
  const protos = ["interop.proto", "observer.proto"];
  const script = "import sys; from grpc_tools import protoc; sys.exit(protoc.main(sys.argv))";
  const args = [`-I${join(folder, "proto")}`, `--python_out=${directory}`, `--grpc_python_out=${directory}`, ...protos];
  await run(["env", `PYTHONPATH=${programs.pythonPath}`, programs.python, "-c", script, ...args], directory);
}
