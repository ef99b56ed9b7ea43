// Who holds a series: the scope of a stack. A stack that is dropped lets its scope go, and the runtime tells (spec proxy §9.9).
import type { Holder } from "#metrics";

/** Held until `owner` has been collected: at the earliest when nothing refers to it any more, mostly some time later. */
export function heldBy(owner: object): Holder {
  const ref = new WeakRef(owner);
  return {
    get held() {
      return ref.deref() !== undefined;
    },
  };
}
