import { subscriptionSecretRef } from "../../domain/delivery-profile.ts";
import type { SubscriptionId } from "../../domain/ids.ts";
import type { PostgresSession } from "../../postgres/postgres-database.ts";
import { keyIs, statement } from "../../postgres/statement.ts";

/**
 * What operators are done with: archived subscriptions and replays that have ended. A subscription goes with its feed
 * and its secrets, and only after everything that refers to it: its jobs (the feed counts them) and its groups, which
 * the chore for idle groups removes. Settings are few, so all that are archived are looked at.
 */
export const findOldArchived = statement<{ id: SubscriptionId }, [beforeMs: number, limit: number]>(`
  SELECT s.id FROM subscriptions s
  WHERE s.status = 'ARCHIVED' AND (s.body::json ->> 'updatedAtMs')::bigint < $1
    AND NOT EXISTS (
      SELECT 1 FROM job_feeds f WHERE f.key = s.id AND (
        f.pending + f.queued + f.completed + f.failed + f.cancelled + f.expired > 0
        OR EXISTS (SELECT 1 FROM job_groups g WHERE g.feed_id = f.id)))
  ORDER BY s.id LIMIT $2 FOR UPDATE OF s`);
const named = "json_array_elements_text($1::json) AS r (id)";
const lockFeeds = statement<never, [ids: string]>(
  `SELECT f.id FROM ${named} JOIN job_feeds f ON ${keyIs("f.key", "r.id")} ORDER BY f.id FOR UPDATE OF f`,
);
const dropFeeds = statement<never, [ids: string]>(`
  DELETE FROM job_feeds f USING ${named}
  WHERE ${keyIs("f.key", "r.id")} AND f.pending + f.queued + f.completed + f.failed + f.cancelled + f.expired = 0
    AND NOT EXISTS (SELECT 1 FROM job_groups g WHERE g.feed_id = f.id)`);
const dropSubscriptions = statement<{ id: SubscriptionId }, [ids: string]>(`
  DELETE FROM subscriptions s USING ${named}
  WHERE ${keyIs("s.id", "r.id")} AND NOT EXISTS (SELECT 1 FROM job_feeds f WHERE f.key = s.id)
  RETURNING s.id`);
const dropSecrets = statement<never, [refs: string]>(
  `DELETE FROM secrets s USING ${named} WHERE ${keyIs("s.ref", "r.id")}`,
);
const dropReplays = statement<never, [beforeMs: number, limit: number]>(`
  DELETE FROM replays WHERE id IN (
    SELECT id FROM replays WHERE status <> 'RUNNING' AND updated_at < $1 ORDER BY id LIMIT $2)`);

/**
 * Removes at most `maxRows` of either; call inside a transaction. Directories of feeds are outdated afterwards.
 * A feed is looked at again when it is locked, because jobs may have come to it since it was found.
 */
export async function dropArchived(
  session: PostgresSession,
  { beforeMs, maxRows }: { readonly beforeMs: number; readonly maxRows: number },
): Promise<number> {
  const old = await session.query(findOldArchived, [beforeMs, maxRows]);
  const gone = old.length === 0 ? 0 : await dropSubscriptionsOf(old, session);
  return gone + (await session.run(dropReplays, [beforeMs, maxRows - gone]));
}

async function dropSubscriptionsOf(
  old: readonly { readonly id: SubscriptionId }[],
  session: PostgresSession,
): Promise<number> {
  const ids = JSON.stringify(old.map((subscription) => subscription.id));
  await session.query(lockFeeds, [ids]);
  await session.run(dropFeeds, [ids]);
  const dropped = await session.query(dropSubscriptions, [ids]);
  await session.run(dropSecrets, [JSON.stringify(dropped.map(({ id }) => subscriptionSecretRef(id)))]);
  return dropped.length;
}
