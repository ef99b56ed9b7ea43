// Weighted choice among the targets of a traffic split (spec proxy §6): per request, blind to health. Pure.

export type Weighted = { readonly weight: number };

/** @param random uniform in [0, 1); weights are > 0; null for an empty list */
export function pickWeighted<T extends Weighted>(items: readonly T[], random: () => number): T | null {
  if (items.length <= 1) return items[0] ?? null;
  let total = 0;
  for (const item of items) total += item.weight;
  let at = random() * total;
  for (const item of items) {
    at -= item.weight;
    if (at < 0) return item;
  }
  return items[items.length - 1] ?? null;
}
