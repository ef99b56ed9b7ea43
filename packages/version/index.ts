// The version of this build, as every role, manifest and command shows it. Contract of #version.
import manifest from "../../package.json" with { type: "json" };

/** `stable-X.Y.Z`: channel and number, the form the version checks of the mesh compare. */
export const VERSION = `stable-${manifest.version}`;
