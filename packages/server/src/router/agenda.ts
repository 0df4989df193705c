import type { Clock } from "@flowcatalyst/foundation";

/** Something that will be called once, unless it is cancelled before. */
export interface Appointment {
  readonly dueMs: number;
  cancelled: boolean;
  readonly run: () => void;
}

/**
 * All waits of the router on one timer: retry waits of groups, ends of target holds, the next token of a pool. A
 * binary heap by due time; one timer of the clock is set for the earliest. Waiting therefore costs no timer of its
 * own, and what does not wait costs nothing. Times are those of `clock.monotonicMs()`.
 */
export class Agenda {
  readonly #clock: Clock;
  readonly #heap: Appointment[] = [];
  #armedForMs = Number.POSITIVE_INFINITY;
  #disarm: (() => void) | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#heap.length;
  }

  add(dueMs: number, run: () => void): Appointment {
    const appointment: Appointment = { dueMs, cancelled: false, run };
    this.#push(appointment);
    if (dueMs < this.#armedForMs) this.#arm();
    return appointment;
  }

  /** Drops everything; nothing is called any more. */
  clear(): void {
    this.#heap.length = 0;
    this.#arm();
  }

  #arm(): void {
    this.#disarm?.();
    this.#disarm = null;
    const first = this.#heap[0];
    this.#armedForMs = first?.dueMs ?? Number.POSITIVE_INFINITY;
    if (first === undefined) return;
    const delayMs = Math.max(0, Math.ceil(first.dueMs - this.#clock.monotonicMs()));
    this.#disarm = this.#clock.setTimer(delayMs, () => this.#fire());
  }

  #fire(): void {
    this.#disarm = null;
    // What is added while firing is due later or at once; either way the arming below sees it.
    this.#armedForMs = Number.NEGATIVE_INFINITY;
    const nowMs = this.#clock.monotonicMs();
    for (let first = this.#heap[0]; first !== undefined && first.dueMs <= nowMs; first = this.#heap[0]) {
      this.#pop();
      if (!first.cancelled) first.run();
    }
    this.#arm();
  }

  #push(appointment: Appointment): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(appointment);
    while (at > 0) {
      const parentAt = (at - 1) >> 1;
      const parent = heap[parentAt];
      if (parent === undefined || parent.dueMs <= appointment.dueMs) break;
      heap[at] = parent;
      at = parentAt;
    }
    heap[at] = appointment;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      let childAt = 2 * at + 1;
      const left = heap[childAt];
      if (left === undefined) break;
      const right = heap[childAt + 1];
      if (right !== undefined && right.dueMs < left.dueMs) childAt++;
      const child = heap[childAt];
      if (child === undefined || child.dueMs >= last.dueMs) break;
      heap[at] = child;
      at = childAt;
    }
    heap[at] = last;
  }
}
