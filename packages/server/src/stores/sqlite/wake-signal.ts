import type { StoreWakes, WakeSignal } from "../store-wakes.ts";

export type { StoreWakes, WakeSignal } from "../store-wakes.ts";

/** Wakes within this process: the only one that has the file. */
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

export function createStoreWakes(): StoreWakes {
  return { appended: createWakeSignal(), jobsReady: createWakeSignal(), control: createWakeSignal() };
}
