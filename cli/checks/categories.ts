// Which categories a run has (spec cli §4.2). Their order is this list's, not the selection's.
import { linkerdCniPlugin } from "./cni.ts";
import { linkerdConfigCategory } from "./configuration.ts";
import type { CheckContext } from "./context.ts";
import { linkerdExistence } from "./existence.ts";
import { haChecks } from "./high-availability.ts";
import { linkerdIdentity } from "./identity.ts";
import { kubernetesApi, kubernetesVersion } from "./kubernetes.ts";
import { preKubernetesSetup } from "./pre-install.ts";
import { controlPlaneProxy, dataPlane, identityDataPlane } from "./proxies.ts";
import type { Category } from "./runner.ts";
import { controlPlaneVersion, linkerdVersion } from "./versions.ts";
import { webhooksTls } from "./webhooks.ts";

/** `pre`: before an installation. `config`: after its first stage. `proxy`: with the data plane. */
export type Selection = "pre" | "config" | "default" | "proxy";

const master: readonly { category: Category<CheckContext>; in: readonly Selection[] }[] = [
  { category: kubernetesApi, in: ["pre", "default", "proxy", "config"] },
  { category: kubernetesVersion, in: ["pre", "default", "proxy", "config"] },
  { category: preKubernetesSetup, in: ["pre"] },
  { category: linkerdExistence, in: ["default", "proxy"] },
  { category: linkerdConfigCategory, in: ["default", "proxy", "config"] },
  // Before an installation it applies with --linkerd-cni-enabled alone; its checks know.
  { category: linkerdCniPlugin, in: ["pre", "default", "proxy"] },
  { category: linkerdIdentity, in: ["default", "proxy"] },
  { category: webhooksTls, in: ["default", "proxy"] },
  { category: identityDataPlane, in: ["proxy"] },
  { category: linkerdVersion, in: ["pre", "default", "proxy", "config"] },
  { category: controlPlaneVersion, in: ["default"] },
  { category: controlPlaneProxy, in: ["default", "proxy"] },
  { category: dataPlane, in: ["proxy"] },
  { category: haChecks, in: ["default", "proxy"] },
];

export function categoriesOf(selection: Selection): Category<CheckContext>[] {
  return master.filter((row) => row.in.includes(selection)).map(({ category }) => category);
}
