import type { Clock } from "@flowcatalyst/foundation";
import type { DispatchPool } from "../../domain/dispatch-pool.ts";
import type { SubscriptionId } from "../../domain/ids.ts";
import type { ControlState, DeliveryControl } from "../../ports/delivery-control.ts";
import type { SecretStore } from "../../ports/secret-store.ts";
import { readCancelledJobs } from "./cancelled-jobs.ts";
import type { SqliteDatabase } from "./database.ts";
import { readRevision } from "./revisions.ts";
import type { StoreWakes } from "./wake-signal.ts";

/**
 * What routers must know, over the store. Every change of a pool, a pause, a cancellation or a secret raises one
 * revision in its own transaction and wakes whoever waits here; the wait looks at the revision again before it answers,
 * so a wake-up that was for nothing, or one that came too early, does no harm.
 */
export interface DeliveryControlDeps {
  readonly database: SqliteDatabase;
  readonly clock: Pick<Clock, "now" | "setTimer">;
  readonly secrets: SecretStore;
  readonly wakes: Pick<StoreWakes, "control">;
}

export const pausedSubscriptions = "SELECT id FROM subscriptions WHERE status = 'PAUSED'";

export function createDeliveryControl(deps: DeliveryControlDeps): DeliveryControl {
  const { database, clock, secrets, wakes } = deps;
  const pools = database.statement<{ body: string }>("SELECT body FROM dispatch_pools ORDER BY id");
  const paused = database.statement<{ id: SubscriptionId }>(pausedSubscriptions);

  const state = (): ControlState => ({
    revision: readRevision(database, "control"),
    pools: pools.all().map((row) => JSON.parse(row.body) as DispatchPool),
    pausedSubscriptions: new Set(paused.all().map((row) => row.id)),
    cancelledJobs: readCancelledJobs(database),
  });

  /** Resolves when the revision is another one, the time is over, or the signal aborts. */
  const changed = (knownRevision: number, waitMs: number, signal: AbortSignal): Promise<void> =>
    new Promise((resolve) => {
      const finish = (): void => {
        stopListening();
        stopTimer();
        signal.removeEventListener("abort", finish);
        resolve();
      };
      const look = (): void => {
        try {
          if (readRevision(database, "control") !== knownRevision) finish();
        } catch {
          // A fault of the store ends the wait; the reading that follows reports it.
          finish();
        }
      };
      const stopListening = wakes.control.subscribe(look);
      const stopTimer = clock.setTimer(waitMs, finish);
      signal.addEventListener("abort", finish, { once: true });
    });

  return {
    read: async (knownRevision, waitMs, signal) => {
      const unchanged = knownRevision !== null && readRevision(database, "control") === knownRevision;
      if (unchanged && waitMs > 0 && !signal.aborted) await changed(knownRevision, waitMs, signal);
      return state();
    },
    secrets: (ref) => secrets.valid(ref, clock.now()),
  };
}
