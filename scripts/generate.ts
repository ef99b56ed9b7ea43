// npm run generate: writes the TypeScript of every protobuf contract, and the reference of the command line.
// `-- --verify` fails when a generated file is stale.
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { $ } from "bun";
import { referencePath, writeReference } from "./reference.ts";

const modules = ["api", "examples/emojivoto", "conformance/grpc"];
const root = new URL("..", import.meta.url).pathname;
const path = `${root}node_modules/.bin:${process.env["PATH"]}`;
for (const module of modules) {
  await $`buf generate --template api/buf.gen.yaml -o ${module} ${module}`.cwd(root).env({ ...process.env, PATH: path });
}
mkdirSync(dirname(referencePath), { recursive: true });
writeReference();
if (process.argv.includes("--verify")) {
  const stale = await $`git status --porcelain -- api/gen examples/emojivoto/gen conformance/grpc/gen docs/reference`.cwd(root).text();
  if (stale) {
    console.error(`generated files are stale; run: npm run generate\n${stale}`);
    process.exit(1);
  }
}
