// linkerd-version and control-plane-version (spec cli §4.4). There is no service that is asked for the latest version:
// without `--expected-version` nothing is compared with it.
import { type CheckContext, configOf } from "./context.ts";
import { type Category, Skip } from "./runner.ts";

/** The version to compare with. @throws {Skip} when none is known */
export function expectedVersion({ expectedVersion }: CheckContext): string {
  if (expectedVersion === undefined) throw new Skip();
  return expectedVersion;
}

export const linkerdVersion: Category<CheckContext> = {
  id: "linkerd-version",
  checks: [
    {
      description: "can determine the latest version",
      anchor: "l5d-version-latest",
      warning: true,
      run: async (context) => void parseVersion(expectedVersion(context)),
    },
    {
      description: "cli is up-to-date",
      anchor: "l5d-version-cli",
      warning: true,
      run: async (context) => requireLatest(context.cliVersion, expectedVersion(context)),
    },
  ],
};

export const controlPlaneVersion: Category<CheckContext> = {
  id: "control-plane-version",
  checks: [
    {
      description: "can retrieve the control plane version",
      anchor: "l5d-version-control",
      fatal: true,
      retry: true,
      async run(context) {
        if (!configOf(context).linkerdVersion) throw new Error("ConfigMap linkerd-config: data.values: linkerdVersion is missing");
      },
    },
    {
      description: "control plane is up-to-date",
      anchor: "l5d-version-control",
      warning: true,
      run: async (context) => requireLatest(configOf(context).linkerdVersion, expectedVersion(context)),
    },
    {
      description: "control plane and cli versions match",
      anchor: "l5d-version-control",
      warning: true,
      async run(context) {
        const running = configOf(context).linkerdVersion;
        if (running !== context.cliVersion) throw new Error(`control plane running ${running} but cli running ${context.cliVersion}`);
      },
    },
  ],
};

/** `channel-number`. @throws {Error} */
function parseVersion(version: string): { channel: string; number: string } {
  const at = version.indexOf("-");
  if (at <= 0 || at === version.length - 1)
    throw new Error(`failed to parse version ${JSON.stringify(version)}: expected channel-number, such as stable-2.11.5`);
  return { channel: version.slice(0, at), number: version.slice(at + 1) };
}

/** @throws {Error} unless `version` is the latest one of its channel */
export function requireLatest(version: string, latest: string): void {
  const newest = parseVersion(latest);
  const running = parseVersion(version);
  if (running.channel !== newest.channel) throw new Error(`unsupported version channel: ${version}`);
  if (running.number !== newest.number)
    throw new Error(`is running version ${running.number} but the latest ${newest.channel} version is ${newest.number}`);
}
