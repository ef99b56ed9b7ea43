// What the demo needs of the machine, and how to get it: Linux, root, the node's tools from Debian, kubectl from npm.
import { clusterTools } from "../../cluster/tools.ts";
import { installPackages, missingPackages } from "../../scripts/debian.ts";
import type { Story } from "./story.ts";

/** @throws {Error} that says exactly what is missing. */
export async function prepare(story: Story): Promise<{ kubectl: string }> {
  if (process.platform !== "linux") throw new Error(`the demo needs Linux (network namespaces); this is ${process.platform}`);
  if (process.getuid?.() !== 0) throw new Error("the demo needs root (network namespaces and redirect rules): run it with sudo");
  const packages = missingPackages();
  if (packages.length > 0) await story.wait(`installing ${packages.join(", ")}`, installPackages(packages));
  return clusterTools();
}
