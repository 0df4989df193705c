import { type Random, seededRandom } from "@flowcatalyst/foundation";

/** Choices from one seeded source. Each part of a simulation has dice of its own, so that none shifts another's. */
export class Dice {
  readonly random: Random;

  /** `stream` names the part: the same seed and stream give the same throws. */
  constructor(seed: number, stream: number) {
    this.random = seededRandom(seed * 1_000_003 + stream);
  }

  chance(share: number): boolean {
    return this.random.next() < share;
  }

  /** Both ends included. */
  int(from: number, to: number): number {
    return from + Math.floor(this.random.next() * (to - from + 1));
  }

  pick<Item>(items: readonly Item[]): Item {
    const item = items[Math.floor(this.random.next() * items.length)];
    if (item === undefined) throw new Error("nothing to pick from");
    return item;
  }

  /** A name, as often as its weight says. */
  weighted<Name extends string>(weights: Readonly<Partial<Record<Name, number>>>): Name {
    const entries = Object.entries(weights) as [Name, number][];
    let left = this.random.next() * entries.reduce((sum, [, weight]) => sum + weight, 0);
    for (const [name, weight] of entries) {
      left -= weight;
      if (left < 0) return name;
    }
    return this.pick(entries)[0];
  }
}
