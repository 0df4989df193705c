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
  /**
   * Takes or renews. A holder whose number ran out keeps it unless somebody else has it by now; then it gets another.
   * Throws STORE_UNAVAILABLE when all are taken.
   */
  lease(holder: string, ttlMs: number): Promise<number>;
  /** Gives it back early; no effect if the holder has none. */
  release(holder: string): Promise<void>;
}

/** A stage's own side of its lease: takes it, renews it in time, and never lets it be used when in doubt. */
export interface LeaseKeeper {
  /**
   * The epoch to write with, taking or renewing the lease first if that is due. Null: somebody else holds it.
   * Throws what the store throws.
   */
  epoch(): Promise<LeaseEpoch | null>;
  /** A write was refused for its epoch: ask the store again next time. */
  doubt(): void;
  /** Gives the lease back, so that a successor need not wait for it to run out. */
  release(): Promise<void>;
}

export interface LeaseKeeperConfig {
  readonly name: string;
  /** Unique among live processes. */
  readonly holder: string;
  readonly ttlMs: number;
}

/** Where a keeper shows whether it holds its lease: one gauge for all leases, asked when somebody scrapes. */
export interface LeaseMeters {
  gauge(name: string, help: string, labels: readonly ["lease"]): LeaseGauge;
  onCollect(update: () => void): void;
}

interface LeaseGauge {
  labels(values: { readonly lease: string }): { set(value: number): void };
}

export interface LeaseKeeperDeps {
  readonly leases: LeaseStore;
  readonly clock: { monotonicMs(): number };
  /** Absent: nobody is told. */
  readonly metrics?: LeaseMeters;
}

/** Renewed when this share of its time is over, so that two renewals may fail before it is lost. */
const renewAfterShare = 1 / 3;

/** `monotonicMs` measures how long the lease may be trusted; the wall clock is never asked. */
export function createLeaseKeeper(deps: LeaseKeeperDeps, config: LeaseKeeperConfig): LeaseKeeper {
  let held: HeldLease | null = null;
  let renewAtMonotonicMs = 0;
  showLease(deps.metrics, config.name, () => held !== null && deps.clock.monotonicMs() < held.trustedUntilMonotonicMs);
  return {
    async epoch() {
      const nowMs = deps.clock.monotonicMs();
      if (held !== null && nowMs < renewAtMonotonicMs && nowMs < held.trustedUntilMonotonicMs) return held.epoch;
      held = await deps.leases.acquire(config.name, config.holder, config.ttlMs);
      renewAtMonotonicMs = nowMs + config.ttlMs * renewAfterShare;
      return held?.epoch ?? null;
    },
    doubt() {
      held = null;
    },
    async release() {
      held = null;
      await deps.leases.release(config.name, config.holder);
    },
  };
}

/** `fc_lease_held{lease}` is 1 where the lease is held and may still be trusted; in one process at most. */
export function showLease(metrics: LeaseMeters | undefined, lease: string, isHeld: () => boolean): void {
  if (metrics === undefined) return;
  const gauge = metrics.gauge("fc_lease_held", "1 while this process holds the lease, else 0", ["lease"]);
  metrics.onCollect(() => gauge.labels({ lease }).set(isHeld() ? 1 : 0));
}
