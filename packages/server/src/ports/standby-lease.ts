import type { StandbyState } from "@flowcatalyst/contracts";

/**
 * Exclusive, expiring ownership of one name, by which one of several processes is the active one. It is narrower than
 * `LeaseStore`: there is no epoch, so nothing can fence what a former holder still writes. It is for work where a
 * late write does no harm (what a router records is judged by the job's generation), never for the stages that write
 * with an epoch.
 *
 * A claim is a text that no other claim ever is. The time to live counts from when the lease's keeper gets the
 * question, so a holder that counts from before it asked is never the last to know.
 */
export interface StandbyLease {
  /** Takes it if nobody has it, or the same claim has. Throws when the keeper of the lease cannot be asked. */
  acquire(claim: string, ttlMs: number): Promise<ClaimAnswer>;
  /** Prolongs it if the claim still has it; one that ran out is not taken again. Throws like `acquire`. */
  renew(claim: string, ttlMs: number): Promise<ClaimAnswer>;
  /** Gives it back early; no effect if the claim does not have it. Throws like `acquire`. */
  release(claim: string): Promise<void>;
}

export type ClaimAnswer =
  | { readonly kind: "granted" }
  /** `holder`: the claim that has it; null: nobody, or it cannot be told. */
  | { readonly kind: "denied"; readonly holder: string | null };

/** A stage's side of it. */
export interface Standby {
  /** Whether this process may act now, by its own clock: to be asked right before each act, never remembered. */
  isActive(): boolean;
  /** Calls back soon after `isActive` or `state().error` changed; gives back how to end that. */
  onChange(told: () => void): () => void;
  state(): StandbyState;
}
