import type { Clock } from "./clock.ts";

/**
 * A latch between two stages: "look again now". It carries no data; any number of `wake()` before or during a wait
 * end that one wait, and a `wake()` while nobody waits is kept for the next wait, so none is ever lost.
 */
export type WakeUp = {
  readonly wake: () => void;
  /** Resolves on a wake-up (kept or new), after `ms`, or when the signal aborts; never rejects. */
  readonly wait: (ms: number, signal?: AbortSignal) => Promise<void>;
};

/** One waiter at a time is meant; several are all woken together. */
export function createWakeUp(clock: Clock): WakeUp {
  let pending = false;
  let waiters: (() => void)[] = [];
  return {
    wake() {
      if (waiters.length === 0) {
        pending = true;
        return;
      }
      const woken = waiters;
      waiters = [];
      for (const waiter of woken) waiter();
    },
    wait(ms, signal) {
      if (pending || signal?.aborted) {
        pending = false;
        return Promise.resolve();
      }
      return new Promise((resolve) => {
        const done = (): void => {
          cancelTimer();
          signal?.removeEventListener("abort", done);
          waiters = waiters.filter((waiter) => waiter !== done);
          resolve();
        };
        const cancelTimer = clock.setTimer(ms, done);
        signal?.addEventListener("abort", done, { once: true });
        waiters.push(done);
      });
    },
  };
}
