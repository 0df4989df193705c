/** What every store of ours holds searches to. */
export const searchLimits = {
  /** Totals are exact to this; rows behind it are not given. */
  countMaxRows: 10_000,
  /** Newest events looked at for filter options. */
  filterOptionEvents: 200_000,
  /** Values of one list of filter options. */
  filterOptionValues: 1_000,
  timeoutMs: 2_000,
} as const;

/** Total as the port wants it; more than the limit was counted one further. */
export function totalOf(matched: number): { readonly totalItems: number; readonly totalIsLowerBound: boolean } {
  return {
    totalItems: Math.min(matched, searchLimits.countMaxRows),
    totalIsLowerBound: matched > searchLimits.countMaxRows,
  };
}
