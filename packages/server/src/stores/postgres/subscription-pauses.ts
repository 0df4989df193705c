import type { SubscriptionId } from "../../domain/ids.ts";
import type { Subscription } from "../../domain/subscription.ts";
import { statement } from "../../postgres/statement.ts";
import { holdSubscriptionFeed } from "./feed-holds.ts";
import type { JobChanges } from "./job-changes.ts";
import { raiseRevision } from "./revisions.ts";

/** Pauses a subscription because of what its target answered. */
export interface SubscriptionPauses {
  /** The subscription itself is paused too, if it is active. Its feed is held at the end of the transaction. */
  pauseWithReason(id: SubscriptionId, reason: string, changes: JobChanges): Promise<void>;
}

const lockSubscription = statement<{ body: string }, [id: string]>(
  "SELECT body FROM subscriptions WHERE id = $1 FOR UPDATE",
);
const replaceSubscription = statement<never, [id: string, version: number, body: string]>(
  "UPDATE subscriptions SET status = 'PAUSED', version = $2, body = $3 WHERE id = $1",
);

export function createSubscriptionPauses(): SubscriptionPauses {
  return {
    pauseWithReason: async (id, reason, changes) => {
      const { session, nowMs } = changes;
      const row = await session.one(lockSubscription, [id]);
      if (row === null) return;
      const subscription = JSON.parse(row.body) as Subscription;
      if (subscription.status !== "ACTIVE") return;
      const paused: Subscription = {
        ...subscription,
        status: "PAUSED",
        pauseReason: reason,
        version: subscription.version + 1,
        updatedAtMs: nowMs,
      };
      await session.run(replaceSubscription, [id, paused.version, JSON.stringify(paused)]);
      changes.beforeCommit(async () => {
        await holdSubscriptionFeed(session, { id, held: true, nowMs });
        await raiseRevision(session, "subscriptions");
        await raiseRevision(session, "control");
      });
      changes.controlChanged = true;
    },
  };
}
