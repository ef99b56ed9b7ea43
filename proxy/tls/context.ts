// Turns a certificate into the contexts that new TLS connections use (spec proxy §7.3). One per certificate, not per connection.
import { constants } from "node:crypto";
import tls from "node:tls";
import type { Credentials } from "../contracts.ts";

/** A native TLS context. Opaque: only the runtime's socket functions take it. */
export type NativeContext = { readonly brand: "native-tls-context" };

/** Contexts of one certificate. Server and client differ in what they verify only; keys and anchors are shared. */
export type TlsContexts = { readonly server: NativeContext; readonly client: NativeContext };

/** Throws when key, chain or anchors are not valid PEM, or key and leaf do not match. */
export function createContexts(credentials: Credentials): TlsContexts {
  const common = {
    key: credentials.keyPem,
    cert: credentials.certChainPem,
    ca: credentials.trustAnchorsPem,
    minVersion: "TLSv1.2",
    maxVersion: "TLSv1.3",
    // No session tickets (spec proxy §7.3): a resumed session would outlive the certificate it was made with.
    secureOptions: constants.SSL_OP_NO_TICKET,
  } as const;
  return {
    server: native({ ...common, requestCert: true, rejectUnauthorized: false }),
    client: native(common),
  };
}

/** A client context that presents no certificate: control-plane clients before the first one (spec proxy §7.2). */
export function createAnonymousClientContext(trustAnchorsPem: string): NativeContext {
  return native({ ca: trustAnchorsPem, minVersion: "TLSv1.2", maxVersion: "TLSv1.3" });
}

// The PEM is parsed once here; `context` is the object the runtime's own node:tls hands to its sockets (ADR on TLS sockets).
function native(options: tls.SecureContextOptions & { requestCert?: boolean; rejectUnauthorized?: boolean }): NativeContext {
  return (tls.createSecureContext(options) as unknown as { context: NativeContext }).context;
}
