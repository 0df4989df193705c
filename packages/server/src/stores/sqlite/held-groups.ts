import type { HeldReason } from "../../domain/dispatch-job.ts";
import type { ClientId, JobId, SubscriptionId } from "../../domain/ids.ts";
import { canRead, type Scope } from "../../domain/scope.ts";
import type { HeldGroup } from "../../ports/job-claims.ts";
import type { Page, PageRequest } from "../../ports/settings.ts";
import type { SqliteDatabase } from "./database.ts";
import { clientOfTaskFeed } from "../feed-key.ts";
import { statusName } from "../job-row.ts";
import type { JobWriter } from "./job-writer.ts";
import { heldGroupLimits, HeldGroupPage } from "../held-group-page.ts";
import { decodeCursor } from "../page-cursor.ts";

/**
 * What is held and why: whole feeds first (paused, or their pool suspended), then ordered groups that are blocked or
 * whose head has to wait. Both come from indexes that hold nothing else.
 */
export interface HeldGroups {
  list(page: PageRequest, scope: Scope): Promise<Page<HeldGroup>>;
  /** One ordered group as it is now; null: there is none of that key, or it is not held. */
  byKey(key: string): HeldGroup | null;
}

interface HeldFeedRow {
  readonly id: number;
  readonly key: string;
  readonly subscription_id: SubscriptionId | null;
  readonly lane: string;
  readonly paused: number;
  readonly held_since: number;
  readonly pending: number;
  readonly client_id: ClientId | null;
}

interface HeldGroupRow {
  readonly id: number;
  readonly key: string;
  readonly subscription_id: SubscriptionId | null;
  readonly held_reason: HeldReason;
  readonly held_since: number;
  readonly ready_at: number | null;
  readonly blocked_position: number | null;
}

interface HeadRow {
  readonly id: JobId;
  readonly status: number;
  readonly client_id: ClientId | null;
}

export function createHeldGroups(writer: JobWriter): HeldGroups {
  const sql = prepare(writer.database);

  const ofFeed = (row: HeldFeedRow): HeldGroup => ({
    key: row.key,
    subscriptionId: row.subscription_id,
    reason: row.paused === 1 ? "SUBSCRIPTION_PAUSED" : "POOL_SUSPENDED",
    sinceMs: row.held_since,
    untilMs: null,
    waiting: Math.min(row.pending, heldGroupLimits.waitingCountedMax),
    headJobId: null,
    headStatus: null,
  });
  const headOf = (row: HeldGroupRow): HeadRow | null =>
    row.blocked_position === null ? sql.head.get(row.id) : sql.jobAt.get(row.blocked_position);
  const ofGroup = (row: HeldGroupRow, head: HeadRow | null): HeldGroup => ({
    key: row.key,
    subscriptionId: row.subscription_id,
    reason: row.held_reason,
    sinceMs: row.held_since,
    untilMs: row.held_reason === "GROUP_BLOCKED" ? null : row.ready_at,
    waiting: sql.waiting.get(row.id, heldGroupLimits.waitingCountedMax)?.waiting ?? 0,
    headJobId: head?.id ?? null,
    headStatus: head === null ? null : statusName(head.status),
  });

  const collect = (page: PageRequest, scope: Scope): Page<HeldGroup> => {
    const [stage, after] = page.cursor === null ? ["feeds", 0] : decodeCursor(page.cursor, ["string", "number"]);
    const found = new HeldGroupPage(page.limit);
    if (stage === "feeds") {
      const rows = sql.feeds.all(Number(after), heldGroupLimits.examinedMax);
      for (const row of rows) {
        if (found.full) return found.page();
        if (canRead(scope, clientOf(row))) found.add(ofFeed(row), ["feeds", row.id]);
        else found.pass(["feeds", row.id]);
      }
      if (rows.length === heldGroupLimits.examinedMax) return found.page();
    }
    const from = stage === "groups" ? Number(after) : 0;
    const rows = sql.groups.all(from, heldGroupLimits.examinedMax);
    for (const row of rows) {
      if (found.full) return found.page();
      const head = headOf(row);
      if (canRead(scope, head?.client_id ?? null)) found.add(ofGroup(row, head), ["groups", row.id]);
      else found.pass(["groups", row.id]);
    }
    return rows.length === heldGroupLimits.examinedMax ? found.page() : found.lastPage();
  };

  return {
    list: async (page, scope) => writer.database.transaction(() => collect(page, scope)),
    byKey: (key) => {
      const row = sql.groupByKey.get(key);
      return row === null ? null : ofGroup(row, headOf(row));
    },
  };
}

function clientOf(feed: HeldFeedRow): ClientId | null {
  return feed.subscription_id === null ? clientOfTaskFeed(feed.key, feed.lane) : feed.client_id;
}

const groupFields = `g.id, g.key, g.held_reason, g.held_since, g.ready_at, g.blocked_position,
  (SELECT subscription_id FROM job_feeds f WHERE f.id = g.feed_id) AS subscription_id`;

/** The feed of an archived subscription is held for good, which is nothing to show. */
export const heldFeedCondition = `f.held_since IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM subscriptions s WHERE s.id = f.subscription_id AND s.status = 'ARCHIVED')`;

export const readHeldFeeds = `SELECT f.id, f.key, f.subscription_id, f.lane, f.paused, f.held_since, f.pending,
    (SELECT client_id FROM subscriptions s WHERE s.id = f.subscription_id) AS client_id
  FROM job_feeds f WHERE ${heldFeedCondition} AND f.id > (?1 + 0) ORDER BY f.id LIMIT (?2 + 0)`;

export const readHeldGroups = `SELECT ${groupFields} FROM job_groups g
  WHERE g.held_reason IS NOT NULL AND g.id > (?1 + 0) ORDER BY g.id LIMIT (?2 + 0)`;

function prepare(database: SqliteDatabase) {
  return {
    feeds: database.statement<HeldFeedRow, [number, number]>(readHeldFeeds),
    groups: database.statement<HeldGroupRow, [number, number]>(readHeldGroups),
    groupByKey: database.statement<HeldGroupRow, [string]>(
      `SELECT ${groupFields} FROM job_groups g WHERE g.key = ?1 AND g.held_reason IS NOT NULL`,
    ),
    head: database.statement<HeadRow, [number]>(`
      SELECT id, status, client_id FROM jobs WHERE group_id = (?1 + 0) AND open = 1 ORDER BY sort_key LIMIT 1`),
    jobAt: database.statement<HeadRow, [number]>("SELECT id, status, client_id FROM jobs WHERE position = ?1"),
    waiting: database.statement<{ waiting: number }, [number, number]>(`
      SELECT count(*) AS waiting FROM (SELECT 1 FROM jobs WHERE group_id = (?1 + 0) AND open = 1 LIMIT (?2 + 0))`),
  };
}
