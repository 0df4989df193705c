import type { DeliveryProfile } from "../../domain/dispatch-job.ts";
import type { PostgresSession } from "../../postgres/postgres-database.ts";
import { keyIs, statement, toJsonRows } from "../../postgres/statement.ts";
import { BoundedCache } from "../bounded-cache.ts";
import type { FeedKey } from "../feed-key.ts";
import { lockHolds, settleHold } from "./feed-holds.ts";

/**
 * The numbers by which jobs refer to their profile, feed and group. Each is looked up by its key, or made, and
 * remembered; what a transaction made is forgotten when it is rolled back (`forget`).
 *
 * Housekeeping, in another process, drops groups, feeds and profiles that are not used any more, so what is remembered
 * may be gone. Whoever writes finds out: groups are locked before jobs are added to them, feeds are counted when they
 * are written, profiles are locked by `profileIds`. Then all is forgotten and the transaction done again.
 */
export const directoryLimits = {
  profilesCached: 2_000,
  feedsCached: 20_000,
  groupsCached: 200_000,
  /** A profile's `used_at` is brought up to date when it is older than this. */
  profileUseStepMs: 86_400_000,
  /** For so long a profile that was found used is not looked at again. */
  profileFreshMs: 3_600_000,
} as const;

interface FeedEntry {
  readonly id: number;
  readonly lane: string;
}

interface FreshProfile {
  readonly id: number;
  readonly seenAtMs: number;
}

/** A group that is to be found, or made. */
export interface GroupKeyed {
  readonly key: string;
  readonly feedId: number;
  readonly ordered: boolean;
}

export const findProfiles = statement<{ id: number; key: string; used_at: number }, [keys: string]>(`
  SELECT p.id, p.key, p.used_at FROM json_array_elements_text($1::json) AS r (key)
  JOIN delivery_profiles p ON ${keyIs("p.key", "r.key")} FOR KEY SHARE OF p`);
const addProfiles = statement<{ id: number; key: string }, [profiles: string, nowMs: number]>(`
  INSERT INTO delivery_profiles (key, body, used_at)
  SELECT r.key, r.body, $2 FROM json_to_recordset($1::json) AS r (key text, body text) ORDER BY r.key
  ON CONFLICT (key) DO UPDATE SET used_at = excluded.used_at
  RETURNING id, key`);
const readProfiles = statement<{ id: number; body: string }, [ids: string]>(`
  SELECT p.id, p.body FROM json_array_elements_text($1::json) AS r (id)
  JOIN delivery_profiles p ON ${keyIs("p.id", "r.id::integer")}`);
export const readProfilesByKey = statement<{ id: number; body: string; key: string }, [keys: string]>(`
  SELECT p.id, p.body, p.key FROM json_array_elements_text($1::json) AS r (key)
  JOIN delivery_profiles p ON ${keyIs("p.key", "r.key")}`);
export const findFeeds = statement<FeedEntry & { key: string }, [keys: string]>(`
  SELECT f.id, f.lane, f.key
  FROM json_array_elements_text($1::json) AS r (key) JOIN job_feeds f ON ${keyIs("f.key", "r.key")}`);
const putFeeds = statement<FeedEntry & { key: string }, [feeds: string]>(`
  INSERT INTO job_feeds (key, subscription_id, lane, pool_held)
  SELECT r.key, r.subscription_id, r.lane, EXISTS (SELECT 1 FROM held_pools h WHERE h.code = r.lane)
  FROM json_to_recordset($1::json) AS r (key text, subscription_id text, lane text) ORDER BY r.key
  ON CONFLICT (key) DO UPDATE SET lane = excluded.lane, pool_held = excluded.pool_held
  RETURNING id, lane, key`);
const settleHolds = statement<never, [ids: string, nowMs: number]>(`
  UPDATE job_feeds f ${settleHold}
  FROM json_array_elements_text($1::json) AS r (id) WHERE ${keyIs("f.id", "r.id::integer")}`);
export const findGroups = statement<{ id: number; key: string }, [keys: string]>(`
  SELECT g.id, g.key
  FROM json_array_elements_text($1::json) AS r (key) JOIN job_groups g ON ${keyIs("g.key", "r.key")}`);
const addGroups = statement<{ id: number; key: string }, [groups: string, nowMs: number]>(`
  INSERT INTO job_groups (key, feed_id, ordered, used_at)
  SELECT r.key, r.feed_id, r.ordered, $2
  FROM json_to_recordset($1::json) AS r (key text, feed_id integer, ordered boolean) ORDER BY r.key
  ON CONFLICT (key) DO NOTHING
  RETURNING id, key`);

export class JobDirectory {
  readonly #profiles = new BoundedCache<number, DeliveryProfile>(directoryLimits.profilesCached);
  readonly #feeds = new BoundedCache<string, FeedEntry>(directoryLimits.feedsCached);
  readonly #groupIds = new BoundedCache<string, number>(directoryLimits.groupsCached);
  readonly #profileIds = new BoundedCache<string, FreshProfile>(directoryLimits.profilesCached);

  /**
   * Numbers of profiles by key; new ones are stored. Inside a transaction: they are locked against being dropped until
   * it ends. One that was looked at within the hour needs no look: only what nobody used for two days is dropped.
   */
  async profileIds(
    session: PostgresSession,
    profiles: ReadonlyMap<string, DeliveryProfile>,
    nowMs: number,
  ): Promise<ReadonlyMap<string, number>> {
    const ids = new Map<string, number>();
    for (const key of profiles.keys()) {
      const known = this.#profileIds.get(key);
      if (known !== undefined && isFresh(known, nowMs)) ids.set(key, known.id);
    }
    if (ids.size === profiles.size) return ids;
    const keys = [...profiles.keys()].filter((key) => !ids.has(key));
    for (const row of await session.query(findProfiles, [JSON.stringify(keys)])) {
      if (row.used_at <= nowMs - directoryLimits.profileUseStepMs) continue;
      ids.set(row.key, row.id);
      // Only what was found: one that this transaction makes may never be, and nobody would find that out.
      this.#profileIds.set(row.key, { id: row.id, seenAtMs: nowMs });
    }
    const rest = [...profiles.values()].filter(({ key }) => !ids.has(key));
    if (rest.length > 0) {
      const rows = toJsonRows(rest.map((profile) => ({ key: profile.key, body: JSON.stringify(profile) })));
      for (const row of await session.query(addProfiles, [rows, nowMs])) ids.set(row.key, row.id);
    }
    for (const [key, profile] of profiles) {
      const id = ids.get(key);
      if (id === undefined) throw new Error(`No number for profile ${key}`);
      this.#profiles.set(id, profile);
    }
    return ids;
  }

  /** Those that exist. Who needs them keeps them: they may be more than are remembered here. */
  async loadProfiles(session: PostgresSession, ids: Iterable<number>): Promise<ReadonlyMap<number, DeliveryProfile>> {
    const profiles = new Map<number, DeliveryProfile>();
    const missing: number[] = [];
    for (const id of new Set(ids)) {
      const known = this.#profiles.get(id);
      if (known === undefined) missing.push(id);
      else profiles.set(id, known);
    }
    if (missing.length === 0) return profiles;
    for (const row of await session.query(readProfiles, [JSON.stringify(missing)])) {
      const profile = JSON.parse(row.body) as DeliveryProfile;
      profiles.set(row.id, profile);
      this.#profiles.set(row.id, profile);
    }
    return profiles;
  }

  /**
   * Numbers of feeds by key. A feed's lane follows the newest job, and with the lane whether a suspended pool holds it.
   * Inside a transaction.
   */
  async feedIds(
    session: PostgresSession,
    feeds: ReadonlyMap<string, FeedKey>,
    nowMs: number,
  ): Promise<ReadonlyMap<string, number>> {
    const ids = new Map<string, number>();
    const keep = (found: readonly (FeedEntry & { key: string })[]): void => {
      for (const { key, id, lane } of found) {
        this.#feeds.set(key, { id, lane });
        if (lane === feeds.get(key)?.lane) ids.set(key, id);
      }
    };
    for (const { key, lane } of feeds.values()) {
      const known = this.#feeds.get(key);
      if (known?.lane === lane) ids.set(key, known.id);
    }
    const missing = (): FeedKey[] => [...feeds.values()].filter(({ key }) => !ids.has(key));
    if (missing().length > 0) keep(await session.query(findFeeds, [JSON.stringify(missing().map(({ key }) => key))]));
    const made = missing().map(({ key, subscriptionId, lane }) => ({ key, subscription_id: subscriptionId, lane }));
    if (made.length > 0) {
      await lockHolds(session);
      const put = await session.query(putFeeds, [toJsonRows(made)]);
      keep(put);
      await session.run(settleHolds, [JSON.stringify(put.map(({ id }) => id)), nowMs]);
    }
    return ids;
  }

  /** Numbers of groups by key; missing ones are made. Inside a transaction, which then locks them. */
  async groupIds(
    session: PostgresSession,
    groups: ReadonlyMap<string, GroupKeyed>,
    nowMs: number,
  ): Promise<ReadonlyMap<string, number>> {
    const ids = new Map<string, number>();
    const keep = (found: readonly { readonly id: number; readonly key: string }[]): void => {
      for (const { key, id } of found) {
        this.#groupIds.set(key, id);
        ids.set(key, id);
      }
    };
    for (const key of groups.keys()) {
      const known = this.#groupIds.get(key);
      if (known !== undefined) ids.set(key, known);
    }
    const missing = (): GroupKeyed[] => [...groups.values()].filter(({ key }) => !ids.has(key));
    const keysOf = (list: readonly GroupKeyed[]): string => JSON.stringify(list.map(({ key }) => key));
    if (missing().length > 0) keep(await session.query(findGroups, [keysOf(missing())]));
    if (missing().length > 0) {
      const rows = missing().map(({ key, feedId, ordered }) => ({ key, feed_id: feedId, ordered }));
      keep(await session.query(addGroups, [toJsonRows(rows), nowMs]));
    }
    // Made by another transaction meanwhile: this one waited for it, and sees it now.
    if (missing().length > 0) keep(await session.query(findGroups, [keysOf(missing())]));
    return ids;
  }

  /** After a rollback: what was made in it does not exist. What a profile's number means never changes. */
  forget(): void {
    this.#profileIds.clear();
    this.#feeds.clear();
    this.#groupIds.clear();
  }
}

/** Not if the clock went back, either. */
function isFresh({ seenAtMs }: FreshProfile, nowMs: number): boolean {
  return nowMs >= seenAtMs && nowMs - seenAtMs < directoryLimits.profileFreshMs;
}
