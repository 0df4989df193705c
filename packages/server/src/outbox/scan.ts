import type { Clock } from "@flowcatalyst/foundation";
import type { OutboxPosition } from "../domain/outbox-row.ts";
import { outboxProcessorLimits } from "./outbox-limits.ts";

/** One look at a window of pending rows, or at those that wait for their retry. */
export type Look =
  | { readonly of: "retries" }
  | { readonly of: "tail"; readonly after: OutboxPosition | null }
  | { readonly of: "sweep"; readonly sweep: number; readonly at: number; readonly after: OutboxPosition | null };

/**
 * The end of the table, where new rows come: looked at from the last row seen 5 s ago and more, because a transaction
 * commits after its rows were stamped, and may appear before what was seen already.
 */
export class Tail {
  readonly #clock: Clock;
  #seen: { readonly atMs: number; readonly position: OutboxPosition }[] = [];
  #start: OutboxPosition | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get start(): OutboxPosition | null {
    const beforeMs = this.#clock.monotonicMs() - outboxProcessorLimits.tailOverlapMs;
    let old = 0;
    while (old < this.#seen.length && (this.#seen[old]?.atMs ?? 0) <= beforeMs) old++;
    if (old > 0) {
      this.#start = this.#seen[old - 1]?.position ?? this.#start;
      this.#seen = this.#seen.slice(old);
    }
    return this.#start;
  }

  saw(position: OutboxPosition): void {
    const atMs = this.#clock.monotonicMs();
    const last = this.#seen.at(-1);
    if (last === undefined || atMs - last.atMs >= everyMs) this.#seen.push({ atMs, position });
  }
}

/** More than one in that time need not be remembered. */
const everyMs = 100;

/**
 * The way from the first pending row to the last, window by window: it finds what the tail has left behind, because
 * its group was under way or waited, or because it committed late.
 */
export class Sweep {
  #sweep = 0;
  #at = 0;
  #after: OutboxPosition | null = null;
  #isDue = true;
  #isFirst = true;
  #isAgain = false;

  get isDue(): boolean {
    return this.#isDue;
  }

  /** No sweep has come to the end yet. */
  get isFirst(): boolean {
    return this.#isFirst;
  }

  get look(): Look & { readonly of: "sweep" } {
    return { of: "sweep", sweep: this.#sweep, at: this.#at, after: this.#after };
  }

  /** Goes on from there; null: that was the last window. Without effect if it was sent back meanwhile. */
  passed(look: Look & { readonly of: "sweep" }, next: OutboxPosition | null): void {
    if (look.sweep !== this.#sweep || look.at !== this.#at) return;
    if (next === null) {
      this.#isDue = false;
      this.#isFirst = false;
      if (this.#isAgain) this.#restart();
      return;
    }
    this.#at++;
    this.#after = next;
  }

  /** From the start, if it is not on its way; false: it is. */
  startAnew(): boolean {
    if (this.#isDue) return false;
    this.#restart();
    return true;
  }

  /** Once more from the start, after the end if it is on its way: so that it reaches the end whatever happens. */
  again(): void {
    if (!this.startAnew()) this.#isAgain = true;
  }

  /** Groups found by that look are free again: what was passed over there may go now. */
  backTo(look: Look): void {
    if (look.of !== "sweep" || look.sweep !== this.#sweep) return this.again();
    if (this.#isDue && look.at > this.#at) return;
    this.#isDue = true;
    this.#at = look.at;
    this.#after = look.after;
  }

  #restart(): void {
    this.#sweep++;
    this.#at = 0;
    this.#after = null;
    this.#isDue = true;
    this.#isAgain = false;
  }
}
