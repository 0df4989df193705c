/**
 * Tells whoever listens in this process that it is worth looking again. Carries no data and promises nothing: everybody
 * who listens polls as well. Call `wake` after the commit, never inside the transaction.
 */
export interface WakeSignal {
  wake(): void;
  /** Returns the unsubscriber. */
  subscribe(listener: () => void): () => void;
}

export function createWakeSignal(): WakeSignal {
  const listeners = new Set<() => void>();
  return {
    wake: () => {
      for (const listener of listeners) listener();
    },
    subscribe: (listener) => {
      // Wrapped, so that one function that subscribes twice is called twice and unsubscribed one at a time.
      const entry = (): void => listener();
      listeners.add(entry);
      return () => listeners.delete(entry);
    },
  };
}

/** The wake-ups of one store: between stages of one process that share it. */
export interface StoreWakes {
  /** Events were accepted. */
  readonly appended: WakeSignal;
  /** A group of jobs became ready. */
  readonly jobsReady: WakeSignal;
  /** Pools, pauses, cancellations or secrets changed. */
  readonly control: WakeSignal;
}

export function createStoreWakes(): StoreWakes {
  return { appended: createWakeSignal(), jobsReady: createWakeSignal(), control: createWakeSignal() };
}
