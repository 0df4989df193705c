/**
 * Of groups seen lately, the place up to which nothing is unsettled. Once true it stays true: a settled row never comes
 * back, and new rows get higher places. Bounded; what was not used longest is forgotten first.
 */
export class KnownGroups {
  readonly #max: number;
  readonly #settledUpTo = new Map<string, number>();

  constructor(max: number) {
    this.#max = max;
  }

  settledUpTo(group: string): number {
    return this.#settledUpTo.get(group) ?? 0;
  }

  learn(group: string, settledUpTo: number): void {
    this.#settledUpTo.delete(group);
    this.#settledUpTo.set(group, settledUpTo);
    if (this.#settledUpTo.size <= this.#max) return;
    for (const oldest of this.#settledUpTo.keys()) {
      this.#settledUpTo.delete(oldest);
      return;
    }
  }

  reset(): void {
    this.#settledUpTo.clear();
  }
}
