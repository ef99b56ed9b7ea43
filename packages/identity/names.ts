// Names of identities and service accounts (spec control-plane §2.3).

/** What an identity's name is made of. */
export type IdentityParts = {
  readonly name: string;
  readonly namespace: string;
  readonly controlNamespace: string;
  readonly trustDomain: string /** Default `serviceaccount`. */;
  readonly type?: string;
};

/** `<name>.<namespace>.<type>.identity.<control namespace>.<trust domain>` */
export function identityName({ name, namespace, controlNamespace, trustDomain, type = "serviceaccount" }: IdentityParts): string {
  return `${name}.${namespace}.${type}.identity.${controlNamespace}.${trustDomain}`;
}

/** The parts of `system:<type>:<namespace>:<name>`, as a TokenReview names a user; undefined for any other form. */
export function parseUsername(username: string): { type: string; namespace: string; name: string } | undefined {
  const parts = username.split(":");
  if (parts.length !== 4 || parts[0] !== "system") return undefined;
  const [, type, namespace, name] = parts as [string, string, string, string];
  return [type, namespace, name].every(isLabel) ? { type, namespace, name } : undefined;
}

const isLabel = (text: string) => text.length <= 63 && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(text);
