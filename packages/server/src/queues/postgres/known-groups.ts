/**
 * Of groups seen lately, the place up to which nothing is unsettled. Once true it stays true: a settled row never comes
 * back, and new rows get higher places. Bounded in two halves: when the newer one is full, the older one is forgotten.
 */
export class KnownGroups {
  readonly #halfMax: number;
  #newer = new Map<string, number>();
  #older: ReadonlyMap<string, number> = new Map();

  constructor(max: number) {
    this.#halfMax = Math.ceil(max / 2);
  }

  settledUpTo(group: string): number {
    return this.#newer.get(group) ?? this.#older.get(group) ?? 0;
  }

  learn(group: string, settledUpTo: number): void {
    this.#newer.set(group, settledUpTo);
    if (this.#newer.size < this.#halfMax) return;
    this.#older = this.#newer;
    this.#newer = new Map();
  }

  reset(): void {
    this.#newer = new Map();
    this.#older = new Map();
  }
}
