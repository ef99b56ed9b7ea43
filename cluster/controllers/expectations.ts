// Waits until the copies show a key's own writes, so that no pass acts on a world that it has already changed. Pure but for the clock handed in.
import type { KubeObject, Store } from "#kube";
import type { Written } from "./executor.ts";

/** How long to wait for a write to show, in ms; it may have been undone before it could be seen. */
export const expectationTimeoutMs = 5_000;

interface Expectation extends Written {
  store: Store<KubeObject>;
  until: number;
}

export class Expectations {
  readonly #now: () => number;
  readonly #pending = new Map<string, Expectation[]>();
  /** Highest resourceVersion seen in each copy. */
  readonly #seen = new Map<Store<KubeObject>, number>();

  constructor({ now }: { now: () => number }) {
    this.#now = now;
  }

  expect(key: string, store: Store<KubeObject>, written: Written): void {
    const expectation = { ...written, store, until: this.#now() + expectationTimeoutMs };
    const pending = this.#pending.get(key);
    if (pending) pending.push(expectation);
    else this.#pending.set(key, [expectation]);
  }

  /** Is told of every change of a copy. */
  saw(store: Store<KubeObject>, object: KubeObject): void {
    const version = Number(object.metadata.resourceVersion);
    if (version > (this.#seen.get(store) ?? 0)) this.#seen.set(store, version);
  }

  /** True when every write of the key shows, or was waited for long enough. */
  satisfied(key: string): boolean {
    const pending = this.#pending.get(key);
    if (!pending) return true;
    const now = this.#now();
    const open = pending.filter((one) => one.until > now && !this.#shows(one));
    if (open.length > 0) this.#pending.set(key, open);
    else this.#pending.delete(key);
    return open.length === 0;
  }

  #shows({ store, name, namespace, uid, resourceVersion }: Expectation): boolean {
    const object = store.get(name, namespace);
    if (resourceVersion === undefined) return object?.metadata.uid !== uid || object.metadata.deletionTimestamp !== undefined;
    if (object?.metadata.uid === uid && Number(object.metadata.resourceVersion) >= Number(resourceVersion)) return true;
    return (this.#seen.get(store) ?? 0) >= Number(resourceVersion);
  }
}
