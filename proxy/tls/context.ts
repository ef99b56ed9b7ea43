// What the runtime makes TLS contexts of, for new connections (spec proxy §7.3). One object per certificate, not per connection: the
// runtime keeps the parsed context as long as it is given the same content (docs/adr/0005-tls-sockets.md).
import type { Credentials } from "../contracts.ts";

/** Settings of `upgradeTLS` and `Bun.connect`; versions and options as OpenSSL numbers them. PEM. */
export type TlsContext = {
  readonly key?: string;
  readonly cert?: string;
  readonly ca: string;
  readonly minVersion: number;
  readonly maxVersion: number;
  readonly secureOptions: number;
};

/** Contexts of one certificate. */
export type TlsContexts = {
  readonly server: TlsContext & { readonly requestCert: true; readonly rejectUnauthorized: false };
  readonly client: TlsContext & { readonly rejectUnauthorized: true };
};

const TLS1_2 = 0x0303;
const TLS1_3 = 0x0304;
// No session tickets: a resumed session would outlive the certificate it was made with.
const SSL_OP_NO_TICKET = 0x4000;

const protocol = { minVersion: TLS1_2, maxVersion: TLS1_3, secureOptions: SSL_OP_NO_TICKET } as const;

/** The key, chain and anchors have been verified to be valid and to belong together. */
export function createContexts({ keyPem, certChainPem, trustAnchorsPem }: Credentials): TlsContexts {
  const common = { key: keyPem, cert: certChainPem, ca: trustAnchorsPem, ...protocol };
  return { server: { ...common, requestCert: true, rejectUnauthorized: false }, client: { ...common, rejectUnauthorized: true } };
}

/** A client context that presents no certificate: control-plane clients before the first one (spec proxy §7.2). */
export function createAnonymousClientContext(trustAnchorsPem: string): TlsContexts["client"] {
  return { ca: trustAnchorsPem, ...protocol, rejectUnauthorized: true };
}
