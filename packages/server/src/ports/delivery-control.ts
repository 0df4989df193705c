import type { DispatchPool } from "../domain/dispatch-pool.ts";
import type { SubscriptionId } from "../domain/ids.ts";

/** What a router must know besides its messages. Read from the store, or over HTTP by a router without a database. */
export interface DeliveryControl {
  /**
   * The whole of it, as of a revision; settles at once if `knownRevision` is not the current one, else when it changes,
   * else after `waitMs` with the same revision. A secret that is made, rotated or removed is a change too: who keeps
   * secrets forgets them then.
   */
  read(knownRevision: number | null, waitMs: number, signal: AbortSignal): Promise<ControlState>;
  /**
   * Secrets valid now for a ref, newest first; empty: unknown. Callers cache for at most 60 s. When the signal aborts,
   * an answer that has to be waited for is given up.
   */
  secrets(ref: string, signal: AbortSignal): Promise<readonly string[]>;
}

export interface ControlState {
  readonly revision: number;
  readonly pools: readonly DispatchPool[];
  /** Subscriptions whose jobs must not be sent now. */
  readonly pausedSubscriptions: ReadonlySet<SubscriptionId>;
  /**
   * QUEUED jobs cancelled lately (the last 10,000): do not start them. As `jobGenerationKey`, because a job that is
   * retried afterwards must be started.
   */
  readonly cancelledJobs: ReadonlySet<string>;
}
