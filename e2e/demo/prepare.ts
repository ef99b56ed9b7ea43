// What the demo needs of the machine, and how to get it: Linux, root, the node's tools from Debian, kubectl from npm.
import { missingTools } from "../../cluster/network/tools.ts";
import { clusterTools } from "../../cluster/tools.ts";
import { run } from "../world.ts";
import type { Story } from "./story.ts";

/** @throws {Error} that says exactly what is missing. */
export async function prepare(story: Story): Promise<{ kubectl: string }> {
  if (process.platform !== "linux") throw new Error(`the demo needs Linux (network namespaces); this is ${process.platform}`);
  if (process.getuid?.() !== 0) throw new Error("the demo needs root (network namespaces and redirect rules): run it with sudo");
  const packages = [...new Set(missingTools().map((tool) => tool.package))];
  if (packages.length > 0) await install(story, packages);
  return clusterTools();
}

async function install(story: Story, packages: readonly string[]): Promise<void> {
  if (!Bun.which("apt-get")) throw new Error(`missing packages: ${packages.join(", ")} (this is no Debian: install them by hand)`);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" } as Record<string, string>;
  const get = async (args: string[]) => {
    const ran = await run(["apt-get", "-qq", ...args], { env });
    if (ran.status !== 0) throw new Error(`apt-get ${args.join(" ")}: ${ran.stderr.trim()}`);
  };
  const packagesOnly = ["install", "-y", "--no-install-recommends", ...packages];
  // The package lists of a fresh machine are empty: the first try fails there.
  await story.wait(
    `installing ${packages.join(", ")}`,
    get(packagesOnly).catch(async () => {
      await get(["update"]);
      await get(packagesOnly);
    }),
  );
}
