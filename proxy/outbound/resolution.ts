// The endpoints of one name, live, for everyone who balances over it (spec proxy §4.6).
import { formatSocketAddr } from "#addr";
import type { Discovery, Endpoint, EndpointUpdate, Unsubscribe } from "../contracts.ts";

/** Someone who balances. Told the present set when it joins, then every change. */
export interface ResolutionListener {
  added(endpoint: Endpoint): void;
  removed(endpoint: Endpoint): void;
  /** The resolution is over: the name cannot be resolved. */
  failed(): void;
}

export class Resolution {
  readonly #endpoints = new Map<string, Endpoint>();
  readonly #listeners = new Set<ResolutionListener>();
  readonly #unsubscribe: Unsubscribe;
  #failed = false;

  /** @param path `name:port` verbatim */
  constructor(discovery: Discovery, path: string) {
    this.#unsubscribe = discovery.endpoints(path, (update) => this.#update(update));
  }

  join(listener: ResolutionListener): Unsubscribe {
    this.#listeners.add(listener);
    for (const endpoint of this.#endpoints.values()) listener.added(endpoint);
    if (this.#failed) listener.failed();
    return () => void this.#listeners.delete(listener);
  }

  close(): void {
    this.#unsubscribe();
  }

  #update(update: EndpointUpdate): void {
    switch (update.kind) {
      case "add":
        for (const endpoint of update.endpoints) this.#upsert(endpoint);
        break;
      case "remove":
        for (const addr of update.addrs) this.#remove(formatSocketAddr(addr));
        break;
      case "replace": {
        // What stays is not touched: its connections live on.
        const keep = new Set(update.endpoints.map((endpoint) => formatSocketAddr(endpoint.addr)));
        for (const endpoint of update.endpoints) this.#upsert(endpoint);
        for (const key of [...this.#endpoints.keys()]) if (!keep.has(key)) this.#remove(key);
        break;
      }
      case "failed":
        this.#failed = true;
        for (const listener of [...this.#listeners]) listener.failed();
        break;
      default:
        update satisfies never;
    }
  }

  #upsert(endpoint: Endpoint): void {
    const key = formatSocketAddr(endpoint.addr);
    const known = this.#endpoints.get(key);
    if (known !== undefined && sameMetadata(known, endpoint)) return;
    this.#endpoints.set(key, endpoint);
    for (const listener of [...this.#listeners]) {
      // The new one first: there is never a moment without.
      listener.added(endpoint);
      if (known !== undefined) listener.removed(known);
    }
  }

  #remove(key: string): void {
    const known = this.#endpoints.get(key);
    if (known === undefined) return;
    this.#endpoints.delete(key);
    for (const listener of [...this.#listeners]) listener.removed(known);
  }
}

function sameMetadata(a: Endpoint, b: Endpoint): boolean {
  return (
    a.identity === b.identity &&
    a.h2 === b.h2 &&
    a.opaqueTransportPort === b.opaqueTransportPort &&
    a.authorityOverride === b.authorityOverride &&
    a.labels.length === b.labels.length &&
    a.labels.every(([key, value], i) => key === b.labels[i]?.[0] && value === b.labels[i]?.[1])
  );
}
