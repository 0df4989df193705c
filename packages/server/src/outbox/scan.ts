import type { Clock } from "@flowcatalyst/foundation";
import type { OutboxPosition } from "../domain/outbox-row.ts";
import { outboxProcessorLimits as limits } from "./outbox-limits.ts";

/** One look at a window of pending rows, or at those that wait for their retry. */
export type Look =
  | { readonly of: "retries" }
  | { readonly of: "tail"; readonly after: OutboxPosition | null }
  | SweepLook;

export interface SweepLook {
  readonly of: "sweep";
  readonly after: OutboxPosition | null;
  /** The look on the same way that it goes on from; null: it is the first. */
  readonly before: SweepLook | null;
  /** Of the way to it. */
  readonly length: number;
}

/**
 * The end of the table, where new rows come: looked at from the last row seen 5 s ago and more, because a transaction
 * commits after its rows were stamped, and may appear before what was seen already.
 *
 * A row may be stamped by a clock that is ahead, or with a time that never comes; whatever is new lies before it then.
 * So a sweep that finds rows to take puts the tail in doubt: for a while it is the last window of the sweep instead.
 */
export class Tail {
  readonly #clock: Clock;
  #seen: { readonly atMs: number; readonly position: OutboxPosition }[] = [];
  #start: OutboxPosition | null = null;
  #inDoubtUntilMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get start(): OutboxPosition | null {
    const beforeMs = this.#clock.monotonicMs() - limits.tailOverlapMs;
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
    if (atMs < this.#inDoubtUntilMs) return;
    const last = this.#seen.at(-1);
    if (last === undefined || atMs - last.atMs >= everyMs) this.#seen.push({ atMs, position });
  }

  /** A sweep has come to its end; `hasTaken`: it found what the tail, perhaps, should have found. */
  swept(lastWindow: OutboxPosition | null, hasTaken: boolean): void {
    const nowMs = this.#clock.monotonicMs();
    if (hasTaken) this.#inDoubtUntilMs = nowMs + limits.tailDoubtMs;
    if (nowMs >= this.#inDoubtUntilMs) return;
    this.#seen = [];
    this.#start = lastWindow;
  }
}

/** More than one in that time need not be remembered. */
const everyMs = 100;

/**
 * The way from the first pending row to the last, window by window: it finds what the tail has left behind, because
 * its group was under way or waited, or because it committed late.
 *
 * Going back changes where windows begin, for rows have gone meanwhile. So looks are known by themselves and by the
 * look before them, not by their number on the way: of two ways, only what they have in common can be compared.
 */
export class Sweep {
  /** Null: it is at its end, and rests. */
  #look: SweepLook | null = firstLook();
  #start: SweepLook | null = this.#look;
  #isFirst = true;
  #isAgain = false;

  /** What to look at next; null: nothing is due. */
  get look(): SweepLook | null {
    return this.#look;
  }

  /** No sweep has come to the end yet. */
  get isFirst(): boolean {
    return this.#isFirst;
  }

  /**
   * Goes on from there; null: that was the last window, and the end of the sweep. Without effect if it was sent back
   * meanwhile. True: it has come to its end.
   */
  passed(look: SweepLook, next: OutboxPosition | null): boolean {
    if (look !== this.#look) return false;
    this.#look = next === null ? null : { of: "sweep", after: next, before: look, length: look.length + 1 };
    if (next !== null) return false;
    this.#isFirst = false;
    if (this.#isAgain) this.startAnew();
    return true;
  }

  /** From the start, if it is not on its way; false: it is. */
  startAnew(): boolean {
    if (this.#look !== null) return false;
    this.#look = this.#start = firstLook();
    this.#isAgain = false;
    return true;
  }

  /**
   * Groups found by that look are free again: what was passed over behind it may go now. Each such look has taken rows,
   * so the sweep still reaches its end; retries come back for ever, and have it begin anew after its end.
   */
  backTo(look: Look): void {
    if (look.of === "sweep") this.#look = this.#look === null ? look : (common(look, this.#look) ?? this.#start);
    else if (!this.startAnew()) this.#isAgain = true;
  }
}

function firstLook(): SweepLook {
  return { of: "sweep", after: null, before: null, length: 0 };
}

/** The last look on both ways; null: they are of two sweeps. */
function common(one: SweepLook, other: SweepLook): SweepLook | null {
  let a: SweepLook | null = one;
  let b: SweepLook | null = other;
  while (a !== b && a !== null && b !== null) {
    if (a.length >= b.length) a = a.before;
    else b = b.before;
  }
  return a === b ? a : null;
}
