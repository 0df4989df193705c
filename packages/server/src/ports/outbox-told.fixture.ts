/** Calls that were made and not awaited yet. */
export interface Told {
  readonly tell: () => void;
  /** Resolves with the next call that nobody has awaited yet. */
  next(): Promise<void>;
}

export function deferredTold(): Told {
  let calls = 0;
  let waiting: (() => void) | null = null;
  return {
    tell: () => {
      if (waiting === null) calls += 1;
      else waiting();
      waiting = null;
    },
    next: () => {
      if (calls > 0) {
        calls -= 1;
        return Promise.resolve();
      }
      return new Promise((resolve) => {
        waiting = resolve;
      });
    },
  };
}
