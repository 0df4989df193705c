import type { Clock } from "@flowcatalyst/foundation";

/**
 * A clock whose wall time somebody else sets: instances that share a database all go by the database's, so that due
 * times, expiries and ready times which one of them writes mean the same to the others, whatever their machines' clocks
 * say. Between settings it runs with the monotonic clock, so a correction of the machine's own clock is not seen.
 *
 * It never goes back by little: it stands still until the time it was set to has caught up. A setting that goes back by
 * more than `backStepMaxMs` (the database moved to a machine whose clock is behind) is followed at once; what waits for
 * a time then waits that much longer.
 */
export interface SteeredClock extends Clock {
  /** It is this late now. */
  steer(nowMs: number): void;
}

export const steeredClockLimits = { backStepMaxMs: 1_000 } as const;

export function createSteeredClock(base: Clock): SteeredClock {
  let set: { readonly nowMs: number; readonly atMonotonicMs: number } | null = null;
  let newestMs = Number.NEGATIVE_INFINITY;
  const told = (): number =>
    set === null ? base.now() : Math.floor(set.nowMs + base.monotonicMs() - set.atMonotonicMs);
  return {
    ...base,
    now: () => {
      const nowMs = told();
      if (nowMs > newestMs) newestMs = nowMs;
      return set === null ? nowMs : newestMs;
    },
    steer: (nowMs) => {
      set = { nowMs, atMonotonicMs: base.monotonicMs() };
      if (nowMs < newestMs - steeredClockLimits.backStepMaxMs) newestMs = Number.NEGATIVE_INFINITY;
    },
  };
}
