/**
 * The time and the event loop of a simulation.
 *
 * Time stands still while anything can happen, and then jumps to the next timer. What the product hands to
 * `setImmediate` is kept in a line of our own, one piece after another with all promises in between, so that the order
 * of everything depends on nothing but the code and the seed, and it is known exactly when nothing is left to do.
 *
 * A process gets a clock of its own: its monotonic time starts anywhere, the wall clock is everybody's and may jump,
 * and with the process its timers die. Only one simulation runs in a process at a time, since the event loop is one.
 */
import type { Clock } from "@flowcatalyst/foundation";

interface Timer {
  readonly dueMs: number;
  readonly order: number;
  readonly fire: () => void;
  cancelled: boolean;
}

/** More timers or immediate pieces than this without time passing: the code under test runs in a circle. */
const AT_ONCE_MAX = 50_000;

/** 2026-01-01T00:00:00Z */
const START_MS = Date.UTC(2026, 0, 1);

export class SimulatedTime {
  elapsedMs = 0;
  #wallOffsetMs = START_MS;
  #order = 0;
  #firedAtOnce = 0;
  readonly #timers: Timer[] = [];
  #immediates: (() => void)[] = [];
  readonly #realImmediate = globalThis.setImmediate;

  /** Takes over `setImmediate`; the function that is returned gives it back. */
  install(): () => void {
    const capture = (run: (...args: unknown[]) => void, ...args: unknown[]): void => {
      this.#immediates.push(() => run(...args));
    };
    globalThis.setImmediate = capture as unknown as typeof setImmediate;
    return () => {
      globalThis.setImmediate = this.#realImmediate;
    };
  }

  /** Whole milliseconds, as the wall clock of a machine. */
  now(): number {
    return Math.floor(this.#wallOffsetMs + this.elapsedMs);
  }

  jumpWallClock(byMs: number): void {
    this.#wallOffsetMs += byMs;
  }

  setTimer(ms: number, fire: () => void): () => void {
    const dueMs = this.elapsedMs + Math.max(0, ms);
    const timer: Timer = { dueMs, order: this.#order++, fire, cancelled: false };
    this.#push(timer);
    return () => {
      timer.cancelled = true;
    };
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.setTimer(ms, resolve));
  }

  /** Runs everything that can run without time passing. */
  async settle(): Promise<void> {
    await this.#promises();
    for (let pieces = 0; this.#immediates.length > 0;) {
      const batch = this.#immediates;
      this.#immediates = [];
      for (const run of batch) {
        if (++pieces > AT_ONCE_MAX) throw new Error(`no end of immediate work at ${this.elapsedMs} ms`);
        run();
        await this.#promises();
      }
    }
  }

  /** Jumps to the next timer and fires it. False: there is none. */
  fireNext(): boolean {
    for (let timer = this.#pop(); timer !== undefined; timer = this.#pop()) {
      if (timer.cancelled) continue;
      if (timer.dueMs > this.elapsedMs) this.#firedAtOnce = 0;
      if (++this.#firedAtOnce > AT_ONCE_MAX) throw new Error(`time stands still at ${this.elapsedMs} ms`);
      this.elapsedMs = Math.max(this.elapsedMs, timer.dueMs);
      timer.fire();
      return true;
    }
    return false;
  }

  /** The clock of a process that lives while `isAlive` says so. */
  clockOf(isAlive: () => boolean, monotonicStartMs: number): Clock {
    const bornAtMs = this.elapsedMs - monotonicStartMs;
    const setTimer = (ms: number, fn: () => void): (() => void) => {
      if (!isAlive()) return () => undefined;
      return this.setTimer(ms, () => {
        if (isAlive()) fn();
      });
    };
    return {
      now: () => this.now(),
      monotonicMs: () => this.elapsedMs - bornAtMs,
      setTimer,
      sleep: (ms, signal) => {
        if (signal?.aborted === true) return Promise.resolve();
        return new Promise((resolve) => {
          const done = (): void => {
            cancel();
            signal?.removeEventListener("abort", done);
            resolve();
          };
          const cancel = setTimer(ms, done);
          signal?.addEventListener("abort", done, { once: true });
        });
      },
    };
  }

  /** Every promise that can settle has settled afterwards: nothing here waits for the world outside. */
  #promises(): Promise<void> {
    return new Promise((resolve) => this.#realImmediate(resolve));
  }

  #push(timer: Timer): void {
    const heap = this.#timers;
    let at = heap.length;
    heap.push(timer);
    while (at > 0) {
      const parentAt = (at - 1) >> 1;
      const parent = heap[parentAt];
      if (parent === undefined || !isSooner(timer, parent)) break;
      heap[at] = parent;
      at = parentAt;
    }
    heap[at] = timer;
  }

  #pop(): Timer | undefined {
    const heap = this.#timers;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let childAt = 2 * at + 1;
      const left = heap[childAt];
      if (left === undefined) break;
      const right = heap[childAt + 1];
      if (right !== undefined && isSooner(right, left)) childAt++;
      const child = heap[childAt];
      if (child === undefined || !isSooner(child, last)) break;
      heap[at] = child;
      at = childAt;
    }
    heap[at] = last;
    return first;
  }
}

function isSooner(one: Timer, other: Timer): boolean {
  return one.dueMs < other.dueMs || (one.dueMs === other.dueMs && one.order < other.order);
}
