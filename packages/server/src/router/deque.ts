/** Slots given up at the front before the array is cut; below that, cutting costs more than it saves. */
const COMPACT_FROM = 64;

/** First in, first out; each operation takes amortised constant time. */
export class Deque<T> {
  #items: (T | undefined)[] = [];
  #head = 0;

  get size(): number {
    return this.#items.length - this.#head;
  }

  push(item: T): void {
    this.#items.push(item);
  }

  shift(): T | undefined {
    if (this.#head === this.#items.length) return undefined;
    const item = this.#items[this.#head];
    this.#items[this.#head++] = undefined;
    if (this.#head === this.#items.length) {
      this.#items.length = 0;
      this.#head = 0;
    } else if (this.#head >= COMPACT_FROM && this.#head * 2 >= this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }

  /** From the newest to the oldest; nothing may be added or taken meanwhile. */
  *newestFirst(): Generator<T> {
    for (let at = this.#items.length - 1; at >= this.#head; at--) {
      const item = this.#items[at];
      if (item !== undefined) yield item;
    }
  }
}
