import { readTargetUrl, type TargetUrlReading } from "../domain/target-url.ts";

export const targetCacheLimits = {
  /** URLs read once and kept; past it the one read longest ago goes. */
  maxTargets: 10_000,
  /** Longer ones are read each time: a few of them would be megabytes. */
  maxUrlChars: 2_048,
} as const;

/** URLs taken apart, so that a target that is called a thousand times a second is read once. */
export class TargetCache<Kept> {
  readonly #make: (reading: TargetUrlReading) => Kept;
  readonly #kept = new Map<string, Kept>();

  constructor(make: (reading: TargetUrlReading) => Kept) {
    this.#make = make;
  }

  get(url: string): Kept {
    const known = this.#kept.get(url);
    if (known !== undefined) return known;
    const made = this.#make(readTargetUrl(url));
    if (url.length > targetCacheLimits.maxUrlChars) return made;
    if (this.#kept.size >= targetCacheLimits.maxTargets) {
      for (const oldest of this.#kept.keys()) {
        this.#kept.delete(oldest);
        break;
      }
    }
    this.#kept.set(url, made);
    return made;
  }
}
