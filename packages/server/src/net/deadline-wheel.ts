import type { Clock } from "@flowcatalyst/foundation";

/** Deadlines are kept in slots of this width, so a call ends at most this much after its timeout. */
export const DEADLINE_SLOT_MS = 50;

/** Something with a deadline; the wheel calls `expire` once, unless it is removed before. */
export interface Expiring {
  expire(): void;
}

/** Where an entry is kept: handed back to `remove`. */
export type DeadlineSlot = Set<Expiring>;

/**
 * Deadlines for very many calls that nearly all end before theirs: adding and removing one is a step in a set, and one
 * timer serves all. A timer per call costs more than everything else about a deadline.
 */
export class DeadlineWheel {
  readonly #clock: Clock;
  /** By number of the slot's end since the clock's start; the map is kept small by every firing of the timer. */
  readonly #slots = new Map<number, DeadlineSlot>();
  #armedFor = Number.POSITIVE_INFINITY;
  #cancelTimer: () => void = () => undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(entry: Expiring, timeoutMs: number): DeadlineSlot {
    const number = Math.ceil((this.#clock.monotonicMs() + timeoutMs) / DEADLINE_SLOT_MS);
    let slot = this.#slots.get(number);
    if (slot === undefined) {
      slot = new Set();
      this.#slots.set(number, slot);
      this.#arm(number);
    }
    slot.add(entry);
    return slot;
  }

  remove(slot: DeadlineSlot, entry: Expiring): void {
    slot.delete(entry);
  }

  #arm(number: number): void {
    if (number >= this.#armedFor) return;
    this.#cancelTimer();
    this.#armedFor = number;
    const inMs = number * DEADLINE_SLOT_MS - this.#clock.monotonicMs();
    this.#cancelTimer = this.#clock.setTimer(Math.max(inMs, 0), () => this.#turn());
  }

  /**
   * Expires what is due, drops the slots that everybody left, and sets the timer to the earliest one that is not empty.
   */
  #turn(): void {
    this.#armedFor = Number.POSITIVE_INFINITY;
    const now = Math.floor(this.#clock.monotonicMs() / DEADLINE_SLOT_MS);
    let next = Number.POSITIVE_INFINITY;
    for (const [number, slot] of this.#slots) {
      if (number > now && slot.size > 0) next = Math.min(next, number);
      else this.#slots.delete(number);
      if (number <= now) for (const entry of slot) entry.expire();
    }
    if (next !== Number.POSITIVE_INFINITY) this.#arm(next);
  }
}
