/**
 * Tells whoever listens that it is worth looking again. Carries no data and promises nothing: everybody who listens
 * polls as well. Call `wake` after the commit, never inside the transaction.
 */
export interface WakeSignal {
  wake(): void;
  /** Returns the unsubscriber. */
  subscribe(listener: () => void): () => void;
}

/** The wake-ups of one store, between the stages that share it. */
export interface StoreWakes {
  /** Events were accepted. */
  readonly appended: WakeSignal;
  /** A group of jobs became ready. */
  readonly jobsReady: WakeSignal;
  /** Pools, pauses, cancellations or secrets changed. */
  readonly control: WakeSignal;
}
