import { CodedError, type Clock } from "@flowcatalyst/foundation";

/**
 * Lets so many searches run at once and others wait for their turn, each until its deadline at most: SEARCH_TIMED_OUT.
 * More than may wait are refused with OVERLOADED.
 */
export interface SearchTurns {
  run<Result>(deadlineMs: number, work: () => Promise<Result>): Promise<Result>;
}

export interface SearchTurnsConfig {
  readonly runningMax: number;
  readonly waitingMax: number;
}

const overloadedRetryAfterSeconds = 1;

export function createSearchTurns(
  clock: Pick<Clock, "monotonicMs" | "setTimer">,
  { runningMax, waitingMax }: SearchTurnsConfig,
): SearchTurns {
  let running = 0;
  const waiting = new Set<() => void>();

  const turn = async (deadlineMs: number): Promise<void> => {
    if (running < runningMax) {
      running++;
      return;
    }
    if (waiting.size >= waitingMax)
      throw new CodedError("OVERLOADED", { retryAfterSeconds: overloadedRetryAfterSeconds });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    waiting.add(resolve);
    const cancel = clock.setTimer(Math.max(0, deadlineMs - clock.monotonicMs()), () => {
      if (waiting.delete(resolve)) reject(new CodedError("SEARCH_TIMED_OUT"));
    });
    await promise.finally(cancel);
  };
  /** The turn goes to who waits longest; nobody can come in between. */
  const done = (): void => {
    const [next] = waiting;
    if (next === undefined) running--;
    else {
      waiting.delete(next);
      next();
    }
  };

  return {
    run: async (deadlineMs, work) => {
      await turn(deadlineMs);
      try {
        return await work();
      } finally {
        done();
      }
    },
  };
}
