// Who holds a series: the scope of a stack, until the stack is dropped (spec proxy §9.9).
import type { Holder } from "#metrics";

export class StackHolder implements Holder {
  held = true;
}
