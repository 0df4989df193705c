/** Fencing token: rises each time a lease changes hands. Every write of the holder carries it. */
export type LeaseEpoch = number & { readonly __epoch: unique symbol };

export interface HeldLease {
  readonly epoch: LeaseEpoch;
  /** By the holder's own monotonic clock: after this it must not act. */
  readonly trustedUntilMonotonicMs: number;
}

/** Exclusive, expiring ownership of a name, as a row with an epoch. */
export interface LeaseStore {
  /** Takes or renews; null: somebody else holds it. `ttlMs` counts from when the store answered. */
  acquire(name: string, holder: string, ttlMs: number): Promise<HeldLease | null>;
  /** Gives it back early; no effect if it is not ours any more. */
  release(name: string, holder: string): Promise<void>;
}

/** Leases a number from 0 to 1,023, unique among live processes, for id generation. */
export interface NodeNumbers {
  lease(holder: string, ttlMs: number): Promise<number>;
}
