// The TLS contexts of the certificate in use; new connections take the newest (spec proxy §7.2).
import type { Credentials, Identity } from "../contracts.ts";
import { createAnonymousClientContext, createContexts, type TlsContexts } from "./context.ts";

export class TlsStore {
  readonly #identity: Identity;
  #credentials: Credentials | null = null;
  #contexts: TlsContexts | null = null;
  #anonymous: TlsContexts["client"] | null = null;

  constructor(identity: Identity) {
    this.#identity = identity;
  }

  get localName(): string {
    return this.#identity.localName;
  }

  /** Null before the first certificate. */
  server(): TlsContexts["server"] | null {
    return this.#current()?.server ?? null;
  }

  /** Before the first certificate: a context that verifies the server and presents nothing. */
  client(): TlsContexts["client"] {
    const contexts = this.#current();
    if (contexts !== null) return contexts.client;
    this.#anonymous ??= createAnonymousClientContext(this.#identity.trustAnchorsPem);
    return this.#anonymous;
  }

  #current(): TlsContexts | null {
    const credentials = this.#identity.current();
    if (credentials !== null && credentials !== this.#credentials) {
      this.#credentials = credentials;
      this.#contexts = createContexts(credentials);
    }
    return this.#contexts;
  }
}
