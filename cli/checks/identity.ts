// linkerd-identity: trust anchors and issuer hold, now and for a while (spec cli §4.4).
import { type AnyObject, Resources } from "#kube";
import {
  chainsTo,
  expiringSoon,
  type IssuerCredentials,
  outsideValidity,
  parsePem,
  requireKeyPair,
  rfc3339,
  unsupportedAlgorithm,
} from "./certificates.ts";
import { type CheckContext, clientOf, configOf, requireNone, secretData } from "./context.ts";
import type { Category } from "./runner.ts";

const ISSUER_SECRET = "linkerd-identity-issuer";

function issuerOf({ issuer }: CheckContext): IssuerCredentials {
  if (!issuer) throw new Error(`Secret ${ISSUER_SECRET} has not been read`);
  return issuer;
}

export const linkerdIdentity: Category<CheckContext> = {
  id: "linkerd-identity",
  checks: [
    {
      description: "certificate config is valid",
      anchor: "l5d-identity-cert-config-valid",
      fatal: true,
      async run(context) {
        context.issuer = await readIssuer(context);
      },
    },
    {
      description: "trust anchors are using supported crypto algorithm",
      anchor: "l5d-identity-trustAnchors-use-supported-crypto",
      fatal: true,
      run: async (context) => requireNone("Invalid trustAnchors:", unsupportedAlgorithm(issuerOf(context).anchors)),
    },
    {
      description: "trust anchors are within their validity period",
      anchor: "l5d-identity-trustAnchors-are-time-valid",
      fatal: true,
      run: async (context) => requireNone("Invalid anchors:", outsideValidity(issuerOf(context).anchors, context.now())),
    },
    {
      description: "trust anchors are valid for at least 60 days",
      anchor: "l5d-identity-trustAnchors-not-expiring-soon",
      warning: true,
      run: async (context) => requireNone("Anchors expiring soon:", expiringSoon(issuerOf(context).anchors, context.now())),
    },
    {
      description: "issuer cert is using supported crypto algorithm",
      anchor: "l5d-identity-issuer-cert-uses-supported-crypto",
      fatal: true,
      async run(context) {
        const [wrong] = unsupportedAlgorithm([issuerOf(context).issuer]);
        if (wrong) throw new Error(`issuer certificate: ${wrong}`);
      },
    },
    {
      description: "issuer cert is within its validity period",
      anchor: "l5d-identity-issuer-cert-is-time-valid",
      fatal: true,
      async run(context) {
        const { issuer } = issuerOf(context);
        const now = context.now();
        if (now < Date.parse(issuer.validFrom)) throw new Error(`issuer certificate is not valid before: ${rfc3339(issuer.validFrom)}`);
        if (now > Date.parse(issuer.validTo))
          throw new Error(`issuer certificate is not valid anymore. Expired on ${rfc3339(issuer.validTo)}`);
      },
    },
    {
      description: "issuer cert is valid for at least 60 days",
      anchor: "l5d-identity-issuer-cert-not-expiring-soon",
      warning: true,
      async run(context) {
        const { issuer } = issuerOf(context);
        if (expiringSoon([issuer], context.now()).length > 0)
          throw new Error(`issuer certificate will expire on ${rfc3339(issuer.validTo)}`);
      },
    },
    {
      description: "issuer cert is issued by the trust anchor",
      anchor: "l5d-identity-issuer-cert-issued-by-trust-anchor",
      async run(context) {
        const { issuer, intermediates, anchors } = issuerOf(context);
        if (!chainsTo(issuer, anchors, intermediates)) throw new Error("issuer certificate is not issued by a trust anchor");
      },
    },
  ],
};

/** Anchors from the configuration, else from their ConfigMap, else from an external issuer's Secret. @throws {Error} naming Secret and key */
async function readIssuer(context: CheckContext): Promise<IssuerCredentials> {
  const { issuerScheme, identityTrustAnchorsPEM } = configOf(context);
  const data = await secretData(context, ISSUER_SECRET);
  if (!data) throw new Error(`Secret ${context.namespace}/${ISSUER_SECRET} not found`);
  const isExternal = issuerScheme === "kubernetes.io/tls";
  const text = (key: string): string => {
    const value = data[key];
    if (!value)
      throw new Error(
        `key ${key} containing the issuer's credentials needs to exist in secret ${ISSUER_SECRET} if --identity-external-issuer=${isExternal}`,
      );
    return value;
  };
  const [certificateKey, privateKey] = isExternal ? (["tls.crt", "tls.key"] as const) : (["crt.pem", "key.pem"] as const);
  const [issuer, ...intermediates] = parsePem(text(certificateKey), `Secret ${ISSUER_SECRET}: data[${certificateKey}]`);
  requireKeyPair(issuer, text(privateKey), `Secret ${ISSUER_SECRET}: data[${privateKey}]`);
  const anchors = isExternal ? text("ca.crt") : identityTrustAnchorsPEM || (await trustRoots(context));
  return { anchors: parsePem(anchors, "trust anchors"), issuer, intermediates };
}

async function trustRoots(context: CheckContext): Promise<string> {
  const name = "linkerd-identity-trust-roots";
  const roots = await clientOf(context).find<AnyObject & { data?: Record<string, string> }>({
    ...Resources.configMaps,
    namespace: context.namespace,
    name,
  });
  return roots?.data?.["ca-bundle.crt"] ?? "";
}
