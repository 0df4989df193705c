import { systemClock, type Clock } from "@flowcatalyst/foundation";

interface Timer {
  dueMs: number;
  readonly fire: () => void;
}

/**
 * The machine's time, which can be moved forward: what waits for a broker waits for it really, and what waits for nine
 * minutes need not.
 */
export class SteeredClock implements Clock {
  readonly #real = systemClock();
  readonly #timers = new Set<Timer>();
  #skippedMs = 0;

  now(): number {
    return Math.floor(this.#real.now() + this.#skippedMs);
  }

  monotonicMs(): number {
    return this.#real.monotonicMs() + this.#skippedMs;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) return Promise.resolve();
    return new Promise((resolve) => {
      const end = (): void => {
        cancel();
        signal?.removeEventListener("abort", end);
        resolve();
      };
      const cancel = this.setTimer(ms, end);
      signal?.addEventListener("abort", end, { once: true });
    });
  }

  setTimer(ms: number, fn: () => void): () => void {
    const cancel = (): void => {
      this.#timers.delete(timer);
      cancelReal();
    };
    const timer: Timer = {
      dueMs: this.monotonicMs() + ms,
      fire: () => {
        cancel();
        fn();
      },
    };
    this.#timers.add(timer);
    const cancelReal = this.#real.setTimer(ms, timer.fire);
    return cancel;
  }

  /** Fires what falls due by then, in order. */
  skip(ms: number): void {
    const untilMs = this.monotonicMs() + ms;
    for (;;) {
      const [next] = [...this.#timers].filter(({ dueMs }) => dueMs <= untilMs).toSorted((a, b) => a.dueMs - b.dueMs);
      if (next === undefined) break;
      this.#skippedMs += Math.max(0, next.dueMs - this.monotonicMs());
      next.fire();
    }
    this.#skippedMs += Math.max(0, untilMs - this.monotonicMs());
  }
}
