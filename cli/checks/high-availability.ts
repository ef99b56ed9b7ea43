// linkerd-ha-checks: what a highly available control plane needs besides replicas (spec cli §4.4).
import { type AnyObject, Resources } from "#kube";
import { type CheckContext, clientOf, configOf, controlPlaneComponents } from "./context.ts";
import { type Category, Skip } from "./runner.ts";
import type { WebhookConfiguration } from "./webhooks.ts";

type Deployment = AnyObject & { status?: { availableReplicas?: number } };

export const haChecks: Category<CheckContext> = {
  id: "linkerd-ha-checks",
  checks: [
    {
      description: "pod injection disabled on kube-system",
      anchor: "l5d-injection-disabled",
      warning: true,
      async run(context) {
        const client = clientOf(context);
        const injector = { ...Resources.mutatingWebhookConfigurations, name: "linkerd-proxy-injector-webhook-config" };
        if ((await client.find<WebhookConfiguration>(injector))?.webhooks?.[0]?.failurePolicy !== "Fail") throw new Skip();
        const system = await client.find({ ...Resources.namespaces, name: "kube-system" });
        if (system?.metadata.labels?.["config.linkerd.io/admission-webhooks"] !== "disabled")
          throw new Error(
            "kube-system namespace needs to have the label config.linkerd.io/admission-webhooks: disabled if injector webhook failure policy is Fail",
          );
      },
    },
    {
      description: "multiple replicas of control plane pods",
      anchor: "l5d-control-plane-replicas",
      warning: true,
      retry: true,
      async run(context) {
        if (!configOf(context).highAvailability) throw new Skip();
        const few: string[] = [];
        for (const component of controlPlaneComponents) {
          const name = `linkerd-${component}`;
          const deployment = await clientOf(context).find<Deployment>({ ...Resources.deployments, namespace: context.namespace, name });
          if ((deployment?.status?.availableReplicas ?? 0) <= 1) few.push(name);
        }
        if (few.length > 0) throw new Error(`not enough replicas available for [${few.join(" ")}]`);
      },
    },
  ],
};
