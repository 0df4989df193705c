import type { HeldReason } from "../../domain/dispatch-job.ts";
import type { ClientId, JobId, SubscriptionId } from "../../domain/ids.ts";
import { canRead, type Scope } from "../../domain/scope.ts";
import type { HeldGroup } from "../../ports/job-claims.ts";
import type { Page, PageRequest } from "../../ports/settings.ts";
import type { PostgresSession } from "../../postgres/postgres-database.ts";
import { keyIs, statement } from "../../postgres/statement.ts";
import { clientOfTaskFeed } from "../feed-key.ts";
import { heldGroupLimits, HeldGroupPage, type HeldStage } from "../held-group-page.ts";
import { statusName } from "../job-row.ts";
import { decodeCursor } from "../page-cursor.ts";
import { heldFeedCondition } from "./job-claim-statements.ts";

/**
 * What is held and why: whole feeds first (paused, or their pool suspended), then ordered groups that are blocked or
 * whose head has to wait. Both come from indexes that hold nothing else. A page is put together from a few statements,
 * not at one moment: it may show a group that has just gone on.
 */
interface HeldFeedRow {
  readonly id: number;
  readonly key: string;
  readonly subscription_id: SubscriptionId | null;
  readonly lane: string;
  readonly paused: boolean;
  readonly held_since: number;
  readonly pending: number;
  readonly client_id: ClientId | null;
}

export interface HeldGroupRow {
  readonly id: number;
  readonly key: string;
  readonly subscription_id: SubscriptionId | null;
  readonly held_reason: HeldReason;
  readonly held_since: number;
  readonly ready_at: number | null;
  readonly head_id: JobId | null;
  readonly head_status: number | null;
  readonly client_id: ClientId | null;
}

export const readHeldFeeds = statement<HeldFeedRow, [after: number, limit: number]>(`
  SELECT f.id, f.key, f.subscription_id, f.lane, f.paused, f.held_since, f.pending,
    (SELECT client_id FROM subscriptions s WHERE s.id = f.subscription_id) AS client_id
  FROM job_feeds f WHERE ${heldFeedCondition} AND f.id > $1 ORDER BY f.id LIMIT $2`);

/** A group's head is the job that blocks it, which is final, or the first that waits. */
const groupFields = `g.id, g.key, f.subscription_id, g.held_reason, g.held_since, g.ready_at, h.id AS head_id,
    h.status AS head_status, h.client_id`;
const headJoins = `
  JOIN job_feeds f ON ${keyIs("f.id", "g.feed_id")}
  LEFT JOIN LATERAL (
    SELECT id, status, client_id FROM jobs WHERE id = g.blocked_job_id
    UNION ALL (
      SELECT id, status, client_id FROM open_jobs
      WHERE g.blocked_job_id IS NULL AND group_id = g.id AND sort_key >= g.head_from
      ORDER BY sort_key, position LIMIT 1)
    LIMIT 1
  ) AS h ON true`;

export const readHeldGroups = statement<HeldGroupRow, [after: number, limit: number]>(`
  SELECT ${groupFields}
  FROM (SELECT * FROM job_groups WHERE held_reason IS NOT NULL AND id > $1 ORDER BY id LIMIT $2) AS g
  ${headJoins}
  ORDER BY g.id`);

const readHeldGroup = statement<HeldGroupRow, [key: string]>(`
  SELECT ${groupFields} FROM job_groups g ${headJoins} WHERE g.key = $1 AND g.held_reason IS NOT NULL`);

export const countWaiting = statement<{ id: number; waiting: number }, [groupIds: string, max: number]>(`
  SELECT r.id, w.waiting
  FROM (SELECT id::bigint AS id FROM json_array_elements_text($1::json) AS r (id)) AS r
  CROSS JOIN LATERAL (
    SELECT count(*) AS waiting FROM (SELECT 1 FROM open_jobs WHERE group_id = r.id LIMIT $2) AS o
  ) AS w`);

export async function listHeldGroups(
  session: PostgresSession,
  page: PageRequest,
  scope: Scope,
): Promise<Page<HeldGroup>> {
  const found = await collect(session, page, scope);
  const groups = found.items.flatMap((item) => (item.kind === "group" ? [item.row.id] : []));
  const waiting = await countWaitingOf(session, groups);
  const items = found.items.map((item) =>
    item.kind === "feed" ? toHeldFeed(item.row) : toHeldGroup(item.row, waiting.get(item.row.id) ?? 0),
  );
  return { ...found, items };
}

/** One ordered group as it is now; null: there is none of that key, or it is not held. */
export async function readHeldGroupByKey(session: PostgresSession, key: string): Promise<HeldGroup | null> {
  const row = await session.one(readHeldGroup, [key]);
  if (row === null) return null;
  const waiting = await countWaitingOf(session, [row.id]);
  return toHeldGroup(row, waiting.get(row.id) ?? 0);
}

type Found =
  | { readonly kind: "feed"; readonly row: HeldFeedRow }
  | { readonly kind: "group"; readonly row: HeldGroupRow };

async function collect(session: PostgresSession, page: PageRequest, scope: Scope): Promise<Page<Found>> {
  const [stage, after] = page.cursor === null ? ["feeds", 0] : decodeCursor(page.cursor, ["string", "number"]);
  const found = new HeldGroupPage<Found>(page.limit);
  // Who sees all needs no more rows than the page has.
  const limit = scope.kind === "anchor" ? page.limit + 1 : heldGroupLimits.examinedMax;
  const take = (item: Found, clientId: ClientId | null, key: readonly [HeldStage, number]): void => {
    if (canRead(scope, clientId)) found.add(item, key);
    else found.pass(key);
  };
  if (stage === "feeds") {
    const rows = await session.query(readHeldFeeds, [Number(after), limit]);
    for (const row of rows) {
      if (found.full) return found.page();
      take({ kind: "feed", row }, clientOf(row), ["feeds", row.id]);
    }
    if (rows.length === limit) return found.page();
  }
  const rows = await session.query(readHeldGroups, [stage === "groups" ? Number(after) : 0, limit]);
  for (const row of rows) {
    if (found.full) return found.page();
    take({ kind: "group", row }, row.client_id, ["groups", row.id]);
  }
  return rows.length === limit ? found.page() : found.lastPage();
}

async function countWaitingOf(session: PostgresSession, groupIds: readonly number[]): Promise<Map<number, number>> {
  if (groupIds.length === 0) return new Map();
  const rows = await session.query(countWaiting, [JSON.stringify(groupIds), heldGroupLimits.waitingCountedMax]);
  return new Map(rows.map((row) => [row.id, row.waiting]));
}

function toHeldFeed(row: HeldFeedRow): HeldGroup {
  return {
    key: row.key,
    subscriptionId: row.subscription_id,
    reason: row.paused ? "SUBSCRIPTION_PAUSED" : "POOL_SUSPENDED",
    sinceMs: row.held_since,
    untilMs: null,
    waiting: Math.min(row.pending, heldGroupLimits.waitingCountedMax),
    headJobId: null,
    headStatus: null,
  };
}

function toHeldGroup(row: HeldGroupRow, waiting: number): HeldGroup {
  return {
    key: row.key,
    subscriptionId: row.subscription_id,
    reason: row.held_reason,
    sinceMs: row.held_since,
    untilMs: row.held_reason === "GROUP_BLOCKED" ? null : row.ready_at,
    waiting,
    headJobId: row.head_id,
    headStatus: row.head_status === null ? null : statusName(row.head_status),
  };
}

function clientOf(feed: HeldFeedRow): ClientId | null {
  return feed.subscription_id === null ? clientOfTaskFeed(feed.key, feed.lane) : feed.client_id;
}
