/**
 * A map of at most `maxEntries`, in two generations: when the young one is full it becomes the old one, and what was
 * old and not used since is forgotten. Every operation takes the same short time, which a single map with eviction one
 * by one does not (its iterator walks over what was deleted).
 */
export class BoundedCache<Key, Value> {
  readonly #generationMaxEntries: number;
  #young = new Map<Key, Value>();
  #old = new Map<Key, Value>();

  constructor(maxEntries: number) {
    this.#generationMaxEntries = Math.max(1, Math.floor(maxEntries / 2));
  }

  get(key: Key): Value | undefined {
    const young = this.#young.get(key);
    if (young !== undefined) return young;
    const old = this.#old.get(key);
    if (old !== undefined) this.set(key, old);
    return old;
  }

  set(key: Key, value: Value): void {
    if (this.#young.size >= this.#generationMaxEntries && !this.#young.has(key)) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(key, value);
  }

  clear(): void {
    this.#young.clear();
    this.#old.clear();
  }
}
