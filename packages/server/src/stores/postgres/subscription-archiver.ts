import type { SubscriptionId } from "../../domain/ids.ts";
import type { Subscription } from "../../domain/subscription.ts";
import type { Housekeeping } from "../../ports/housekeeping.ts";
import { keyIs, statement, toJsonRows } from "../../postgres/statement.ts";
import { holdSubscriptionFeed } from "./feed-holds.ts";
import type { JobChanges } from "./job-changes.ts";
import type { JobWriter } from "./job-writer.ts";
import { createPendingCanceller } from "./pending-cancel.ts";
import { raiseRevision } from "./revisions.ts";

export const archiverLimits = {
  /** Temporary subscriptions archived by one step. */
  subscriptionsPerStep: 100,
  /** Jobs of an archived subscription cancelled in one transaction. */
  cancelledPerSlice: 500,
} as const;

export const findExpired = statement<{ body: string }, [nowMs: number, limit: number]>(`
  SELECT body FROM subscriptions
  WHERE lease_expires_at_ms IS NOT NULL AND lease_expires_at_ms <= $1 AND status <> 'ARCHIVED'
  ORDER BY lease_expires_at_ms LIMIT $2 FOR UPDATE SKIP LOCKED`);
const archiveAll = statement<never, [subscriptions: string]>(`
  UPDATE subscriptions s SET status = 'ARCHIVED', version = r.version, body = r.body
  FROM json_to_recordset($1::json) AS r (id text, version integer, body text) WHERE ${keyIs("s.id", "r.id")}`);
export const readArchivedWithPending = statement<{ id: SubscriptionId }, [limit: number]>(`
  SELECT f.subscription_id AS id FROM job_feeds f
  WHERE f.held_since IS NOT NULL AND f.pending > 0
    AND EXISTS (SELECT 1 FROM subscriptions s WHERE s.id = f.subscription_id AND s.status = 'ARCHIVED')
  ORDER BY f.id LIMIT $1`);

/**
 * Archives temporary subscriptions that are over, and cancels what archived ones have pending: at once, and later what
 * was with a router at that moment and came back. A subscription is archived and its feed held in one transaction, so
 * nothing of it goes out again; and what is left to cancel is read from the held feeds at each step, not remembered, so
 * a crash between two steps, here or in the command that archives, leaves nothing behind.
 */
export function createSubscriptionArchiver(writer: JobWriter): Housekeeping["archiveExpiredSubscriptions"] {
  return async (nowMs, epoch) => {
    const archived = await writer.write({ nowMs, epoch, quiet: true }, archiveExpired);
    const left = await writer.database.query(readArchivedWithPending, [archiverLimits.subscriptionsPerStep]);
    const cancel = createPendingCanceller(writer, epoch);
    for (const { id } of left) {
      while ((await cancel(id, archiverLimits.cancelledPerSlice, nowMs)) > 0);
    }
    return new Set([...archived, ...left.map((row) => row.id)]).size;
  };
}

async function archiveExpired(changes: JobChanges): Promise<readonly SubscriptionId[]> {
  const { session, nowMs } = changes;
  const rows = await session.query(findExpired, [nowMs, archiverLimits.subscriptionsPerStep]);
  if (rows.length === 0) return [];
  const archived = rows.map((row): Subscription => {
    const subscription = JSON.parse(row.body) as Subscription;
    return { ...subscription, status: "ARCHIVED", version: subscription.version + 1, updatedAtMs: nowMs };
  });
  const stored = archived.map((one) => ({ id: one.id, version: one.version, body: JSON.stringify(one) }));
  await session.run(archiveAll, [toJsonRows(stored)]);
  const ids = archived.map((one) => one.id);
  changes.beforeCommit(async () => {
    for (const id of ids.toSorted()) await holdSubscriptionFeed(session, { id, held: true, nowMs });
    await raiseRevision(session, "subscriptions");
    await raiseRevision(session, "control");
  });
  changes.controlChanged = true;
  return ids;
}
