import type { MessageId } from "../../domain/ids.ts";

/**
 * How often messages that came back were received. Where the broker only says that they came before, this process knows
 * it alone, of the last so many of them, and another one starts at two. Where the broker counts, it forgets the last
 * failure when the link is closed right after it; this process does not.
 */
export class ReceiveCounts {
  readonly #counts = new Map<MessageId, number>();
  readonly #max: number;

  constructor(max: number) {
    this.#max = max;
  }

  /** `told`: what the broker says; null: more than once. */
  next(id: MessageId, told: number | null): number {
    const known = this.#counts.get(id);
    if (told === null) return (known ?? 1) + 1;
    return known === undefined ? told : Math.max(told, known + 1);
  }

  /** It was given back after it was received so often; 0: nobody has seen it. */
  remember(id: MessageId, count: number): void {
    this.#counts.delete(id);
    this.#counts.set(id, count);
    if (this.#counts.size <= this.#max) return;
    const [oldest] = this.#counts.keys();
    if (oldest !== undefined) this.#counts.delete(oldest);
  }

  forget(id: MessageId): void {
    this.#counts.delete(id);
  }
}
