// The TLS contexts of the certificate in use; new connections take the newest (spec proxy §7.2).
import type { Credentials, Identity } from "../contracts.ts";
import { createAnonymousClientContext, createContexts, type NativeContext, type TlsContexts } from "./context.ts";

export class TlsStore {
  readonly #identity: Identity;
  readonly #onError: (message: string) => void;
  #credentials: Credentials | null = null;
  #contexts: TlsContexts | null = null;
  #anonymous: NativeContext | null = null;

  constructor(options: { identity: Identity; onError: (message: string) => void }) {
    this.#identity = options.identity;
    this.#onError = options.onError;
  }

  get localName(): string {
    return this.#identity.localName;
  }

  /** Null before the first certificate. A certificate that cannot be used is reported once and the one before stays. */
  server(): NativeContext | null {
    return this.#current()?.server ?? null;
  }

  /** Before the first certificate: a context that verifies the server and presents nothing. */
  client(): NativeContext {
    const contexts = this.#current();
    if (contexts !== null) return contexts.client;
    this.#anonymous ??= createAnonymousClientContext(this.#identity.trustAnchorsPem);
    return this.#anonymous;
  }

  #current(): TlsContexts | null {
    const credentials = this.#identity.current();
    if (credentials !== null && credentials !== this.#credentials) {
      this.#credentials = credentials;
      try {
        this.#contexts = createContexts(credentials);
      } catch (error) {
        this.#onError(`the certificate cannot be used: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
    return this.#contexts;
  }
}
