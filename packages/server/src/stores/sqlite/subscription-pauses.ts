import type { PoolCode, SubscriptionId } from "../../domain/ids.ts";
import type { Subscription } from "../../domain/subscription.ts";
import type { SqliteDatabase } from "./database.ts";
import type { JobChanges } from "./job-changes.ts";
import { settleHold } from "./job-directory.ts";
import type { JobWriter } from "./job-writer.ts";
import { raiseRevision } from "./revisions.ts";

/**
 * Holding whole feeds: a paused subscription, a suspended pool.
 *
 * A hold is a mark on the feed's row and takes the feed out of the index the scheduler reads; groups and jobs are not
 * touched, so it costs the same for ten jobs and for a million, and nothing has to be restored when it ends. A feed
 * that does not exist yet is made, so that jobs which come later find it held.
 */
export interface SubscriptionPauses {
  hold(id: SubscriptionId, held: boolean, changes: JobChanges): void;
  holdPool(code: PoolCode, held: boolean, changes: JobChanges): void;
  /** Because of what its target answered: pauses the subscription itself too, if it is active. */
  pauseWithReason(id: SubscriptionId, reason: string, changes: JobChanges): void;
}

export function createSubscriptionPauses({ database }: JobWriter): SubscriptionPauses {
  const sql = prepare(database);

  const hold = (id: SubscriptionId, held: boolean, changes: JobChanges): void => {
    const feed = sql.markFeed.get(id, held ? 1 : 0);
    if (feed === null) throw new Error(`No feed for ${id}`);
    sql.settleFeed.run(feed.id, changes.nowMs);
    changes.reloadHold(feed.id);
  };

  return {
    hold,
    holdPool: (code, held, changes) => {
      if (held) sql.addPool.run(code, changes.nowMs);
      else sql.removePool.run(code);
      for (const feed of sql.feedsOfLane.all(code)) {
        sql.markPool.run(feed.id, held ? 1 : 0);
        sql.settleFeed.run(feed.id, changes.nowMs);
        changes.reloadHold(feed.id);
      }
    },
    pauseWithReason: (id, reason, changes) => {
      const row = sql.subscription.get(id);
      if (row === null) return;
      const subscription = JSON.parse(row.body) as Subscription;
      if (subscription.status !== "ACTIVE") return;
      const paused: Subscription = {
        ...subscription,
        status: "PAUSED",
        pauseReason: reason,
        version: subscription.version + 1,
        updatedAtMs: changes.nowMs,
      };
      sql.replaceSubscription.run(id, paused.version, JSON.stringify(paused));
      raiseRevision(database, "subscriptions");
      raiseRevision(database, "control");
      changes.controlChanged = true;
      hold(id, true, changes);
    },
  };
}

/**
 * At start: holds as the settings say. A pause and its hold are two writes, so a process may have died between them,
 * and a feed would stay held for ever after a resume. Feeds of subscriptions nobody knows are left as they are.
 */
export function reconcileHolds(database: SqliteDatabase, nowMs: number): void {
  database.transaction(() => {
    database.exec(`UPDATE job_feeds
      SET paused = (SELECT status <> 'ACTIVE' FROM subscriptions s WHERE s.id = subscription_id)
      WHERE subscription_id IN (SELECT id FROM subscriptions)`);
    database.exec(`DELETE FROM held_pools
      WHERE code NOT IN (SELECT code FROM dispatch_pools WHERE status = 'SUSPENDED')`);
    database
      .statement<never, [number]>(`
        INSERT OR IGNORE INTO held_pools (code, held_since)
        SELECT code, ?1 FROM dispatch_pools WHERE status = 'SUSPENDED'`)
      .run(nowMs);
    database.exec("UPDATE job_feeds SET pool_held = lane IN (SELECT code FROM held_pools)");
    database
      .statement<never, [number, number]>(`
        UPDATE job_feeds ${settleHold} WHERE ?1 = 0 AND (held_since IS NOT NULL) <> (paused + pool_held > 0)`)
      .run(0, nowMs);
  });
}

function prepare(database: SqliteDatabase) {
  return {
    markFeed: database.statement<{ id: number }, [string, number]>(`
      INSERT INTO job_feeds (key, subscription_id, lane, paused) VALUES (?1, ?1, '', ?2)
      ON CONFLICT (key) DO UPDATE SET paused = excluded.paused
      RETURNING id`),
    settleFeed: database.statement<never, [number, number]>(`UPDATE job_feeds ${settleHold} WHERE id = ?1`),
    feedsOfLane: database.statement<{ id: number }, [string]>("SELECT id FROM job_feeds WHERE lane = ?1"),
    markPool: database.statement<never, [number, number]>("UPDATE job_feeds SET pool_held = ?2 WHERE id = ?1"),
    addPool: database.statement<never, [string, number]>(
      "INSERT OR IGNORE INTO held_pools (code, held_since) VALUES (?1, ?2)",
    ),
    removePool: database.statement<never, [string]>("DELETE FROM held_pools WHERE code = ?1"),
    subscription: database.statement<{ body: string }, [string]>("SELECT body FROM subscriptions WHERE id = ?1"),
    replaceSubscription: database.statement<never, [string, number, string]>(
      "UPDATE subscriptions SET status = 'PAUSED', version = ?2, body = ?3 WHERE id = ?1",
    ),
  };
}
