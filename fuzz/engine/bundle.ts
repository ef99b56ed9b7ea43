// Targets as modules for Node: TypeScript and its imports become one file each, unminified, so that every branch of it is one
// that Jazzer instruments. npm packages stay outside: they are not what is tested.
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { dependencies, devDependencies } from "../../package.json";

const external = Object.keys({ ...dependencies, ...devDependencies }).flatMap((name) => [name, `${name}/*`]);

/** Parts of the proxy import what they call on real sockets alone: to Node it is empty. */
const withoutBun: Bun.BunPlugin = {
  name: "without Bun",
  setup(build) {
    build.onResolve({ filter: /^bun(?::.*)?$/ }, ({ path }) => ({ path, namespace: "without-bun" }));
    build.onLoad({ filter: /.*/, namespace: "without-bun" }, () => ({ contents: "module.exports = {};", loader: "js" }));
  },
};

/**
 * Bundles targets, given as their files by name, into `directory`; returns the path of each.
 * @throws {Error} with the compiler's messages.
 */
export async function bundle(files: ReadonlyMap<string, string>, directory: string): Promise<Map<string, string>> {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  const bundles = new Map<string, string>();
  for (const [name, file] of files) {
    const entry = join(directory, `${name}.entry.ts`);
    await Bun.write(entry, entryOf(file));
    const path = join(directory, `${name}.mjs`);
    const built = await Bun.build({
      entrypoints: [entry],
      target: "node",
      format: "esm",
      external,
      sourcemap: "inline",
      plugins: [withoutBun],
      throw: false,
    });
    const output = built.outputs[0];
    if (!built.success || output === undefined) throw new Error(`${name} cannot be bundled:\n${built.logs.join("\n")}`);
    await Bun.write(path, await output.text());
    bundles.set(name, path);
  }
  return bundles;
}

function entryOf(target: string): string {
  return `import target from ${JSON.stringify(target)};
export const isAsync = target.run.constructor.name === "AsyncFunction";
function clean() {
  for (const key in {}) throw new Error("Object.prototype has got a property " + key);
}
export const fuzz = isAsync
  ? async (data) => {
      await target.run(new Uint8Array(data));
      clean();
    }
  : (data) => {
      target.run(new Uint8Array(data));
      clean();
    };
`;
}
