import { createWakeUp, type Clock } from "@flowcatalyst/foundation";
import type { DispatchPool } from "../../domain/dispatch-pool.ts";
import type { SubscriptionId } from "../../domain/ids.ts";
import type { PostgresDatabase } from "../../postgres/postgres-database.ts";
import { statement } from "../../postgres/statement.ts";
import type { ControlState, DeliveryControl } from "../../ports/delivery-control.ts";
import type { SecretStore } from "../../ports/secret-store.ts";
import type { StoreWakes } from "../store-wakes.ts";
import { readRevision } from "./revisions.ts";

/**
 * What routers must know, over the store. Every change of a pool, a pause, a cancellation or a secret raises one
 * revision in its own transaction and wakes whoever waits here, in all processes. A wake-up may be lost with the
 * connection it comes by, so the revision is looked at every `pollIntervalMs` as well.
 *
 * The answer is one statement, so it is what was true at one moment, with the revision of that moment.
 */
export const deliveryControlLimits = { pollIntervalMs: 2_000 } as const;

export interface DeliveryControlDeps {
  readonly database: PostgresDatabase;
  readonly clock: Clock;
  readonly secrets: SecretStore;
  readonly wakes: Pick<StoreWakes, "control">;
}

interface StateRow {
  readonly revision: number;
  readonly pools: readonly DispatchPool[];
  readonly paused: readonly SubscriptionId[];
  readonly cancelled: readonly string[];
}

export const readControlState = statement<StateRow>(`
  SELECT
    (SELECT revision FROM revisions WHERE kind = 'control') AS revision,
    (SELECT coalesce(json_agg(body::json ORDER BY id), '[]') FROM dispatch_pools) AS pools,
    (SELECT coalesce(json_agg(id), '[]') FROM subscriptions WHERE status = 'PAUSED') AS paused,
    (SELECT coalesce(json_agg(job_id), '[]') FROM cancelled_jobs) AS cancelled`);

export function createDeliveryControl(deps: DeliveryControlDeps): DeliveryControl {
  const { database, clock, secrets, wakes } = deps;

  const state = async (): Promise<ControlState> => {
    const row = await database.one(readControlState, []);
    if (row === null) throw new Error("A SELECT without FROM gave no row");
    return {
      revision: row.revision,
      pools: row.pools,
      pausedSubscriptions: new Set(row.paused),
      cancelledJobs: new Set(row.cancelled),
    };
  };

  /** Resolves when the revision is another one, the time is over, or the signal aborts. */
  const changed = async (knownRevision: number, waitMs: number, signal: AbortSignal): Promise<void> => {
    const over = new AbortController();
    const stopTimer = clock.setTimer(waitMs, () => over.abort());
    const ended = AbortSignal.any([signal, over.signal]);
    const woken = createWakeUp(clock);
    const stopListening = wakes.control.subscribe(woken.wake);
    try {
      while (!ended.aborted && (await readRevision(database, "control")) === knownRevision) {
        await woken.wait(deliveryControlLimits.pollIntervalMs, ended);
      }
    } finally {
      stopListening();
      stopTimer();
    }
  };

  return {
    read: async (knownRevision, waitMs, signal) => {
      if (knownRevision !== null && waitMs > 0 && !signal.aborted) await changed(knownRevision, waitMs, signal);
      return state();
    },
    secrets: (ref) => secrets.valid(ref, clock.now()),
  };
}
