import type { PoolCode } from "../domain/ids.ts";

/** Lanes that wait for a place, in the order in which they came. */
export class LaneRow {
  readonly #codes = new Set<PoolCode>();

  get size(): number {
    return this.#codes.size;
  }

  /** All that wait now: those that wait already keep their turn, new ones go to the end. */
  replace(codes: readonly PoolCode[]): void {
    const wanted = new Set(codes);
    for (const code of this.#codes) if (!wanted.has(code)) this.#codes.delete(code);
    for (const code of wanted) this.#codes.add(code);
  }

  /** The first that may have its turn, which waits no longer; null: there is none. */
  next(mayBe: (code: PoolCode) => boolean): PoolCode | null {
    for (const code of this.#codes) {
      if (!mayBe(code)) continue;
      this.#codes.delete(code);
      return code;
    }
    return null;
  }

  clear(): void {
    this.#codes.clear();
  }
}
