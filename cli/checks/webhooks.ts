// linkerd-webhooks-and-apisvc-tls: what the API server trusts is what the webhooks serve (spec cli §4.4).
import { type AnyObject, Resources, type ResourceType } from "#kube";
import { type Certificates, chainsTo, expiringSoon, outsideValidity, parsePem, requireKeyPair } from "./certificates.ts";
import { type CheckContext, clientOf, requireNone, secretData } from "./context.ts";
import { type Category, type Check, Skip } from "./runner.ts";

export type WebhookConfiguration = AnyObject & { webhooks?: { failurePolicy?: string; clientConfig?: { caBundle?: string } }[] };

/** `isOptional`: not there, not checked. */
const webhooks: readonly { name: string; type: ResourceType; isOptional: boolean }[] = [
  { name: "proxy-injector", type: Resources.mutatingWebhookConfigurations, isOptional: false },
  { name: "sp-validator", type: Resources.validatingWebhookConfigurations, isOptional: false },
  { name: "policy-validator", type: Resources.validatingWebhookConfigurations, isOptional: true },
];

export const webhooksTls: Category<CheckContext> = {
  id: "linkerd-webhooks-and-apisvc-tls",
  checks: webhooks.flatMap((webhook): Check<CheckContext>[] => [
    {
      description: `${webhook.name} webhook has valid cert`,
      anchor: `l5d-${webhook.name}-webhook-cert-valid`,
      fatal: true,
      async run(context) {
        const { anchors, chain, key, secret } = await certificatesOf(context, webhook);
        const [leaf, ...intermediates] = chain;
        requireKeyPair(leaf, key, `Secret ${secret}`);
        requireNone("Invalid anchors:", outsideValidity(anchors, context.now()));
        requireNone("certificate is not valid:", outsideValidity([leaf], context.now()));
        const name = `linkerd-${webhook.name}.${context.namespace}.svc`;
        if (!leaf.checkHost(name, { subject: "never" })) throw new Error(`cert is not issued for ${name}`);
        if (!chainsTo(leaf, anchors, intermediates)) throw new Error("cert is not issued by the trust anchor");
      },
    },
    {
      description: `${webhook.name} cert is valid for at least 60 days`,
      anchor: `l5d-${webhook.name}-webhook-cert-not-expiring-soon`,
      warning: true,
      async run(context) {
        const { chain } = await certificatesOf(context, webhook);
        requireNone("certificate will expire soon:", expiringSoon(chain, context.now()));
      },
    },
  ]),
};

type Found = { readonly anchors: Certificates; readonly chain: Certificates; readonly key: string; readonly secret: string };

/** @throws {Skip} for an optional webhook that is not there, {Error} naming the object */
async function certificatesOf(context: CheckContext, { name, type, isOptional }: (typeof webhooks)[number]): Promise<Found> {
  const configuration = `linkerd-${name}-webhook-config`;
  const found = await clientOf(context).find<WebhookConfiguration>({ ...type, name: configuration });
  const serving =
    (await readServing(context, `linkerd-${name}-k8s-tls`, "tls.crt", "tls.key")) ??
    (await readServing(context, `linkerd-${name}-tls`, "crt.pem", "key.pem"));
  if (isOptional && (!found || !serving)) throw new Skip();
  if (!found) throw new Error(`${configuration} not found`);
  if (found.webhooks?.length !== 1) throw new Error(`expected 1 webhook in ${configuration}, found ${found.webhooks?.length ?? 0}`);
  if (!serving) throw new Error(`Secret ${context.namespace}/linkerd-${name}-k8s-tls not found`);
  const caBundle = Buffer.from(found.webhooks[0]?.clientConfig?.caBundle ?? "", "base64").toString("utf8");
  return {
    anchors: parsePem(caBundle, `${configuration}: webhooks[0].clientConfig.caBundle`),
    chain: parsePem(serving.certificate, `Secret ${serving.secret}: data[${serving.certificateKey}]`),
    key: serving.key,
    secret: serving.secret,
  };
}

async function readServing(context: CheckContext, secret: string, certificateKey: string, privateKey: string) {
  const data = await secretData(context, secret);
  return data && { secret, certificateKey, certificate: data[certificateKey] ?? "", key: data[privateKey] ?? "" };
}
