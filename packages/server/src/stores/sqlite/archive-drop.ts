import type { SubscriptionId } from "../../domain/ids.ts";
import { subscriptionSecretRef } from "../../domain/delivery-profile.ts";
import type { SqliteDatabase } from "./database.ts";

/**
 * What operators are done with: archived subscriptions and replays that have ended. A subscription goes with its feed
 * and its secrets, and only after everything that refers to it: its jobs (the feed counts them) and its groups, whose
 * numbers must not be given again while a job names them, which is why the chore for idle groups removes those.
 */
export interface ArchiveDrop {
  /** Removes at most `maxRows` of either; call inside a transaction. Directories of feeds are outdated afterwards. */
  step(beforeMs: number, maxRows: number): number;
}

/** Settings are few, so all that are archived are looked at. */
export const findOldArchived = `SELECT s.id FROM subscriptions s
  WHERE s.status = 'ARCHIVED' AND json_extract(s.body, '$.updatedAtMs') < ?1
    AND NOT EXISTS (
      SELECT 1 FROM job_feeds f WHERE f.key = s.id AND (
        f.pending + f.queued + f.completed + f.failed + f.cancelled + f.expired > 0
        OR EXISTS (SELECT 1 FROM job_groups g WHERE g.feed_id = f.id)))
  LIMIT ?2`;

export function createArchiveDrop(database: SqliteDatabase): ArchiveDrop {
  const found = database.statement<{ id: SubscriptionId }, [number, number]>(findOldArchived);
  const dropFeed = database.statement<never, [string]>("DELETE FROM job_feeds WHERE key = ?1");
  const dropSecrets = database.statement<never, [string]>("DELETE FROM secrets WHERE ref = ?1");
  const dropSubscription = database.statement<never, [string]>("DELETE FROM subscriptions WHERE id = ?1");
  const dropReplays = database.statement<never, [number, number]>(`
    DELETE FROM replays WHERE id IN (
      SELECT id FROM replays WHERE status <> 'RUNNING' AND updated_at < ?1 LIMIT ?2)`);
  return {
    step: (beforeMs, maxRows) => {
      const old = found.all(beforeMs, maxRows);
      for (const { id } of old) {
        dropFeed.run(id);
        dropSecrets.run(subscriptionSecretRef(id));
        dropSubscription.run(id);
      }
      return old.length + dropReplays.run(beforeMs, maxRows - old.length);
    },
  };
}
