import type { DeliveryProfile } from "../../domain/dispatch-job.ts";
import { BoundedCache } from "../bounded-cache.ts";
import type { FeedKey } from "../feed-key.ts";
import type { SqliteDatabase } from "./database.ts";

/**
 * The numbers by which jobs refer to their profile, feed and group. Each is looked up by its key, or made, and
 * remembered: the file has one writer, so what was read once stays true until this process changes it. What a
 * transaction made is forgotten when it is rolled back (`forget`), and groups also when housekeeping drops idle ones.
 */
export const directoryLimits = {
  profilesCached: 2_000,
  feedsCached: 20_000,
  groupsCached: 100_000,
} as const;

interface FeedEntry {
  readonly id: number;
  readonly lane: string;
}

/** What a new group starts as, if it has to be made. */
export interface NewGroup {
  readonly feedId: number;
  readonly ordered: boolean;
  readonly nowMs: number;
}

export class JobDirectory {
  readonly #profileIds = new BoundedCache<string, number>(directoryLimits.profilesCached);
  readonly #profiles = new BoundedCache<number, DeliveryProfile>(directoryLimits.profilesCached);
  readonly #feeds = new BoundedCache<string, FeedEntry>(directoryLimits.feedsCached);
  readonly #groupIds = new BoundedCache<string, number>(directoryLimits.groupsCached);
  readonly #sql: ReturnType<typeof prepare>;

  constructor(database: SqliteDatabase) {
    this.#sql = prepare(database);
  }

  /** Stores the profile if it is new. Call inside a transaction. */
  profileId(profile: DeliveryProfile): number {
    const known = this.#profileIds.get(profile.key) ?? this.#sql.profileByKey.get(profile.key)?.id;
    const id = known ?? this.#sql.addProfile.get(profile.key, JSON.stringify(profile))?.id;
    if (id === undefined) throw new Error(`No number for profile ${profile.key}`);
    this.#profileIds.set(profile.key, id);
    this.#profiles.set(id, profile);
    return id;
  }

  profile(id: number): DeliveryProfile {
    const cached = this.#profiles.get(id);
    if (cached !== undefined) return cached;
    const row = this.#sql.profileById.get(id);
    if (row === null) throw new Error(`No delivery profile ${id}`);
    const profile = JSON.parse(row.body) as DeliveryProfile;
    this.#profiles.set(id, profile);
    return profile;
  }

  profileByKey(key: string): DeliveryProfile | null {
    const row = this.#sql.profileByKey.get(key);
    return row === null ? null : this.profile(row.id);
  }

  /**
   * The feed of a subscription or of tasks. Its lane follows the newest job, and with the lane whether a suspended pool
   * holds it. Call inside a transaction, before the feed is loaded for changes.
   */
  feedId(feed: FeedKey, nowMs: number): number {
    const known = this.#feeds.get(feed.key) ?? this.#sql.feedByKey.get(feed.key);
    if (known?.lane === feed.lane) {
      this.#feeds.set(feed.key, known);
      return known.id;
    }
    const row = this.#sql.putFeed.get(feed.key, feed.subscriptionId, feed.lane);
    if (row === null) throw new Error(`No number for feed ${feed.key}`);
    this.#sql.settleHold.run(row.id, nowMs);
    this.#feeds.set(feed.key, { id: row.id, lane: feed.lane });
    return row.id;
  }

  /** The group of that key, made if it is missing. Call inside a transaction. */
  groupId(key: string, group: NewGroup): number {
    const cached = this.#groupIds.get(key);
    if (cached !== undefined) return cached;
    const id =
      this.#sql.groupByKey.get(key)?.id ??
      this.#sql.addGroup.get(key, group.feedId, group.ordered ? 1 : 0, group.nowMs)?.id;
    if (id === undefined) throw new Error(`No number for group ${key}`);
    this.#groupIds.set(key, id);
    return id;
  }

  /** A group belongs to one feed, that of the job it was made for. */
  feedOfGroup(groupId: number): number {
    const row = this.#sql.feedOfGroup.get(groupId);
    if (row === null) throw new Error(`No group ${groupId}`);
    return row.feed_id;
  }

  /** After a rollback: what was made in it does not exist. */
  forget(): void {
    this.#profileIds.clear();
    this.#profiles.clear();
    this.#feeds.clear();
    this.#groupIds.clear();
  }

  forgetGroups(): void {
    this.#groupIds.clear();
  }
}

/**
 * Brings `held_since` and `held_total_ms` in line with `paused` and `pool_held`; ?2 is now. Resuming one of two reasons
 * changes nothing, so held time is never counted twice.
 */
export const settleHold = `
  SET held_total_ms = held_total_ms
      + CASE WHEN held_since IS NOT NULL AND paused + pool_held = 0 THEN max(0, ?2 - held_since) ELSE 0 END,
    held_since = CASE WHEN paused + pool_held = 0 THEN NULL ELSE coalesce(held_since, ?2) END`;

function prepare(database: SqliteDatabase) {
  return {
    profileByKey: database.statement<{ id: number }, [string]>("SELECT id FROM delivery_profiles WHERE key = ?1"),
    profileById: database.statement<{ body: string }, [number]>("SELECT body FROM delivery_profiles WHERE id = ?1"),
    addProfile: database.statement<{ id: number }, [string, string]>(
      "INSERT INTO delivery_profiles (key, body) VALUES (?1, ?2) RETURNING id",
    ),
    feedByKey: database.statement<FeedEntry, [string]>("SELECT id, lane FROM job_feeds WHERE key = ?1"),
    putFeed: database.statement<{ id: number }, [string, string | null, string]>(`
      INSERT INTO job_feeds (key, subscription_id, lane, pool_held)
      VALUES (?1, ?2, ?3, (SELECT count(*) FROM held_pools WHERE code = ?3))
      ON CONFLICT (key) DO UPDATE SET lane = excluded.lane, pool_held = excluded.pool_held
      RETURNING id`),
    settleHold: database.statement<never, [number, number]>(`UPDATE job_feeds ${settleHold} WHERE id = ?1`),
    feedOfGroup: database.statement<{ feed_id: number }, [number]>("SELECT feed_id FROM job_groups WHERE id = ?1"),
    groupByKey: database.statement<{ id: number }, [string]>("SELECT id FROM job_groups WHERE key = ?1"),
    addGroup: database.statement<{ id: number }, [string, number, number, number]>(
      "INSERT INTO job_groups (key, feed_id, ordered, used_at) VALUES (?1, ?2, ?3, ?4) RETURNING id",
    ),
  };
}
