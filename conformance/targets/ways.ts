// The ways from a client's pod to a server's pod, as targets of any suite that runs in pods.
import type { Target } from "../suite.ts";
import { type Cast, Scene, type SceneOptions } from "./pods.ts";

export type SceneTarget = Target & { readonly scene: Scene; readonly options: SceneOptions };

const WAYS: Readonly<Record<string, readonly [string, SceneOptions]>> = {
  direct: ["no proxy: what client and server do on their own", { outbound: false, inbound: false }],
  outbound: ["client → proxy → server, a service whose endpoint is not meshed", { outbound: true, inbound: false }],
  inbound: ["client in clear text → proxy → server", { outbound: false, inbound: true }],
  "inbound-tls": ["client → mesh TLS by a relay → proxy → server", { outbound: false, inbound: true, relay: true }],
  "two-proxies": ["client → proxy → mTLS → proxy → server", { outbound: true, inbound: true }],
};
const CHANGING: readonly [string, SceneOptions] = [
  "the same, while endpoints come and go ten times a second and both proxies get a new certificate every second",
  { outbound: true, inbound: true, changing: true },
];

/** Targets of a suite. `cast` is asked when a target starts. `changing`: also while endpoints and certificates change. */
export function ways(cast: () => Cast, { changing = false } = {}): Readonly<Record<string, () => Promise<SceneTarget>>> {
  const all = changing ? { ...WAYS, "two-proxies-changing": CHANGING } : WAYS;
  return Object.fromEntries(
    Object.entries(all).map(([name, [what, options]]) => [
      name,
      async (): Promise<SceneTarget> => {
        const scene = await Scene.start(cast(), options);
        return { name, what, port: 0, scene, options, stop: () => scene.stop() };
      },
    ]),
  );
}
