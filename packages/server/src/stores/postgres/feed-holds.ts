import type { PoolCode, SubscriptionId } from "../../domain/ids.ts";
import type { PostgresSession } from "../../postgres/postgres-database.ts";
import { statement } from "../../postgres/statement.ts";
import { storeLocks } from "./store-locks.ts";

/**
 * Holding whole feeds: a paused subscription, a suspended pool.
 *
 * A hold is a mark on the feed's row and takes the feed out of the index the scheduler reads; groups and jobs are not
 * touched, so it costs the same for ten jobs and for a million, and nothing has to be restored when it ends. A feed
 * that does not exist yet is made, so that jobs which come later find it held.
 *
 * Settings write the hold in the transaction that changes the status, so no crash comes between the two. Feeds that are
 * made and pools that are suspended at the same moment wait for each other by a lock, or a new feed might miss it.
 */

/**
 * Brings `held_since` and `held_total_ms` in line with `paused` and `pool_held`; $2 is now. Resuming one of two reasons
 * changes nothing, so held time is never counted twice.
 */
export const settleHold = `
  SET held_total_ms = f.held_total_ms
      + CASE WHEN f.held_since IS NOT NULL AND NOT f.paused AND NOT f.pool_held
        THEN greatest(0, $2 - f.held_since) ELSE 0 END,
    held_since = CASE WHEN NOT f.paused AND NOT f.pool_held THEN NULL ELSE coalesce(f.held_since, $2) END`;

const takeHoldsLock = statement<never, [number]>("SELECT pg_advisory_xact_lock($1)");
const markFeed = statement<{ id: number }, [id: string, held: boolean]>(`
  INSERT INTO job_feeds (key, subscription_id, lane, paused) VALUES ($1, $1, '', $2)
  ON CONFLICT (key) DO UPDATE SET paused = excluded.paused
  RETURNING id`);
const settleFeed = statement<never, [id: number, nowMs: number]>(`UPDATE job_feeds f ${settleHold} WHERE f.id = $1`);
const addPool = statement<never, [code: string, nowMs: number]>(
  "INSERT INTO held_pools (code, held_since) VALUES ($1, $2) ON CONFLICT DO NOTHING",
);
const removePool = statement<never, [code: string]>("DELETE FROM held_pools WHERE code = $1");
const lockFeedsOfLane = statement<{ id: number }, [lane: string]>(
  "SELECT id FROM job_feeds WHERE lane = $1 ORDER BY id FOR UPDATE",
);
const markLane = statement<never, [lane: string, held: boolean]>(
  "UPDATE job_feeds SET pool_held = $2 WHERE lane = $1 AND pool_held <> $2",
);
const settleLane = statement<never, [lane: string, nowMs: number]>(
  `UPDATE job_feeds f ${settleHold} WHERE f.lane = $1`,
);

/** Until the transaction ends. */
export async function lockHolds(session: PostgresSession): Promise<void> {
  await session.run(takeHoldsLock, [storeLocks.holds]);
}

/** Call inside the transaction that changes the subscription's status, and notify `fc_jobs` after it. */
export async function holdSubscriptionFeed(
  session: PostgresSession,
  hold: { readonly id: SubscriptionId; readonly held: boolean; readonly nowMs: number },
): Promise<void> {
  const feed = await session.one(markFeed, [hold.id, hold.held]);
  if (feed === null) throw new Error(`No feed for ${hold.id}`);
  await session.run(settleFeed, [feed.id, hold.nowMs]);
}

/** The same for a pool. */
export async function holdPoolFeeds(
  session: PostgresSession,
  hold: { readonly code: PoolCode; readonly held: boolean; readonly nowMs: number },
): Promise<void> {
  await lockHolds(session);
  if (hold.held) await session.run(addPool, [hold.code, hold.nowMs]);
  else await session.run(removePool, [hold.code]);
  await session.query(lockFeedsOfLane, [hold.code]);
  await session.run(markLane, [hold.code, hold.held]);
  await session.run(settleLane, [hold.code, hold.nowMs]);
}
