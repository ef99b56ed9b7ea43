// Brings the foreign stacks: grpc-go's programs by Go from go.mod and go.sum of this folder, grpcio by pip from requirements.txt, both
// into .local of the checkout, once; programs on grpc-js and connect-node are bundled for Node from the packages of package.json.
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { bundle, installPrograms, once, pip, run } from "../targets/install.ts";

const folder = import.meta.dir;

export type Programs = {
  /** grpc-go's: client, client of the "Http2 Interop" cases, server. */
  readonly goClient: string;
  readonly goHttp2Client: string;
  readonly goServer: string;
  readonly node: string;
  readonly python: string;
  /** Where grpcio is. */
  readonly pythonPath: string;
};

function version(file: string, pattern: RegExp): string {
  const match = pattern.exec(readFileSync(join(folder, file), "utf8"));
  if (match === null) throw new Error(`conformance/grpc/${file} has no ${pattern.source}`);
  return match[1] as string;
}

export const versions = (): { readonly [stack in "grpc-go" | "grpcio" | "grpc-js" | "connect-node"]: string } => ({
  "grpc-go": version("go.mod", /google\.golang\.org\/grpc v(\S+)/),
  grpcio: version("grpcio/requirements.txt", /^grpcio==(\S+)/m),
  "grpc-js": version("../../package.json", /"@grpc\/grpc-js": "([^"]+)"/),
  "connect-node": version("../../package.json", /"@connectrpc\/connect-node": "([^"]+)"/),
});

/** @throws {Error} saying what is missing and cannot be brought. */
export async function install(): Promise<Programs> {
  const { node, python } = await installPrograms();
  const { "grpc-go": goVersion, grpcio } = versions();
  const go = await once(`grpc-go-${goVersion}`, async (directory) => {
    const program = Bun.which("go");
    if (program === null)
      throw new Error("needs Go 1.21 or newer to build grpc-go's interop programs: https://go.dev/doc/install, or the package golang-go");
    mkdirSync(directory, { recursive: true });
    const packages = ["client", "http2", "server"].map((name) => `google.golang.org/grpc/interop/${name}`);
    await run([program, "build", "-o", `${directory}/`, ...packages], folder);
  });
  return {
    goClient: join(go, "client"),
    goHttp2Client: join(go, "http2"),
    goServer: join(go, "server"),
    node,
    python,
    pythonPath: await pip(python, `grpcio-${grpcio}`, join(folder, "grpcio", "requirements.txt")),
  };
}

/** Puts the programs on grpc-js and connect-node, and Python's modules and programs, into a directory. */
export async function build(programs: Programs, directory: string): Promise<void> {
  for (const entry of ["grpc-js/client", "grpc-js/server", "connect-node/client", "servers/raw-server", "servers/bad-server"])
    await bundle(join(folder, `${entry}.ts`), directory, entry.replace("/", "-"));
  for (const name of ["interop_client.py", "interop_server.py"])
    await Bun.write(join(directory, name), Bun.file(join(folder, "grpcio", name)));
  const script = "import sys; from grpc_tools import protoc; sys.exit(protoc.main(sys.argv))";
  const args = [`-I${join(folder, "proto")}`, `--python_out=${directory}`, `--grpc_python_out=${directory}`];
  await run(
    ["env", `PYTHONPATH=${programs.pythonPath}`, programs.python, "-c", script, ...args, "interop.proto", "observer.proto"],
    directory,
  );
}
