import type { GroupKey, JobId, JobPosition } from "../../domain/ids.ts";
import { keyIs, statement } from "../../postgres/statement.ts";
import { jobColumns, type JobRow } from "../job-row.ts";

/** The reads and writes of scheduling. All of them are on the hot path; job-plans.test.ts looks at their plans. */
export interface ReadyFeedRow {
  readonly id: number;
  readonly queued: number;
  readonly held_total_ms: number;
}

export interface ReadyGroupRow {
  readonly id: number;
  readonly key: GroupKey;
  readonly feed_id: number;
  readonly ordered: boolean;
  readonly ready_at: number;
  readonly head_from: number;
  readonly blocked_total_ms: number;
}

/** What a claim looks at of a job. */
export interface DueJobRow {
  readonly id: JobId;
  readonly position: JobPosition;
  readonly group_id: number;
  readonly profile_id: number;
  readonly generation: number;
  readonly due_at: number;
  readonly updated_at: number;
  readonly expires_clock: number | null;
  readonly payload_bytes: number;
  readonly sort_key: number;
}

const dueColumns = "id, position, group_id, profile_id, generation, due_at, updated_at, expires_clock, payload_bytes";

export const readReadyFeeds = statement<ReadyFeedRow, [nowMs: number, limit: number]>(`
  SELECT id, queued, held_total_ms FROM job_feeds
  WHERE ready_at <= $1 AND held_since IS NULL ORDER BY ready_at LIMIT $2`);

/** Of each feed the groups that became ready first, behind a cursor. */
export const readReadyGroups = statement<ReadyGroupRow, [feeds: string, nowMs: number, limit: number]>(`
  SELECT g.id, g.key, g.feed_id, g.ordered, g.ready_at, g.head_from, g.blocked_total_ms
  FROM json_to_recordset($1::json) AS r (feed integer, "afterReadyAt" bigint, "afterId" bigint)
  CROSS JOIN LATERAL (
    SELECT * FROM job_groups
    WHERE feed_id = r.feed AND ready_at <= $2 AND (ready_at, id) > (r."afterReadyAt", r."afterId")
    ORDER BY ready_at, id LIMIT $3
  ) AS g`);

/** Heads of ordered groups, due or not: one that waits holds those behind it. */
export const readRuns = statement<DueJobRow, [groups: string]>(`
  SELECT j.* FROM json_to_recordset($1::json) AS r (id bigint, "headFrom" bigint, max integer)
  CROSS JOIN LATERAL (
    SELECT ${dueColumns}, sort_key FROM open_jobs
    WHERE group_id = r.id AND sort_key >= r."headFrom" ORDER BY sort_key, position LIMIT r.max
  ) AS j`);

/** Due jobs of unordered groups behind a cursor. */
export const readSingles = statement<DueJobRow, [groups: string, nowMs: number]>(`
  SELECT j.* FROM json_to_recordset($1::json) AS r (id bigint, "afterKey" bigint, "afterPosition" bigint, max integer)
  CROSS JOIN LATERAL (
    SELECT ${dueColumns}, sort_key FROM open_jobs
    WHERE group_id = r.id AND sort_key <= $2 AND (sort_key, position) > (r."afterKey", r."afterPosition")
    ORDER BY sort_key, position LIMIT r.max
  ) AS j`);

export const readNextFeedReady = statement<{ ready_at: number }, [nowMs: number]>(`
  SELECT ready_at FROM job_feeds WHERE ready_at > $1 AND held_since IS NULL ORDER BY ready_at LIMIT 1`);

export const moveFeedsToTheEnd = statement<never, [ids: string, nowMs: number]>(`
  UPDATE job_feeds f SET ready_at = greatest(f.ready_at, $2)
  FROM (SELECT id::integer AS id FROM json_array_elements_text($1::json) AS r (id)) AS r
  WHERE ${keyIs("f.id", "r.id")} AND f.ready_at < $2`);

export const readNewestUse = statement<{ used_at: number | null }>("SELECT max(used_at) AS used_at FROM job_groups");

export const makeGroupsReadyBy = statement<never, [nowMs: number, newestMs: number]>(
  "UPDATE job_groups SET ready_at = $1 WHERE ready_at > $1 AND ready_at <= $2",
);

export const makeFeedsReadyBy = statement<never, [nowMs: number]>(
  "UPDATE job_feeds SET ready_at = $1 WHERE ready_at > $1",
);

export interface MarkedJobRow {
  readonly id: JobId;
  readonly position: JobPosition;
  readonly group_id: number;
  readonly feed_id: number;
}

/** The transition `queue` for many jobs at once: the state machine's rule is in the WHERE. */
export const markJobs = statement<MarkedJobRow, [jobs: string, queuedAtMs: number, queuedSortKey: number]>(`
  UPDATE open_jobs o SET status = 1, queued_at = $2, updated_at = $2, expires_clock = coalesce(o.expires_clock, r.x),
    sort_key = CASE WHEN r.o THEN o.sort_key ELSE $3 END
  FROM json_to_recordset($1::json) AS r (i text, g integer, x bigint, o boolean)
  WHERE ${keyIs("o.id", "r.i")} AND o.generation = r.g AND o.status = 0
  RETURNING o.id, o.position, o.group_id, o.feed_id`);

export const readOutstandingGroups = statement<
  { id: number; ordered: boolean; run_from: number | null; run_to: number | null },
  [queuedBeforeMs: number, limit: number]
>(`SELECT id, ordered, run_from, run_to FROM job_groups WHERE queued_at < $1 ORDER BY queued_at LIMIT $2`);

export const readQueuedOfRun = statement<JobRow, [groupId: number, from: number, to: number, limit: number]>(`
  SELECT ${jobColumns} FROM open_jobs
  WHERE group_id = $1 AND sort_key >= $2 AND sort_key <= $3 AND status = 1 ORDER BY sort_key, position LIMIT $4`);

/** Unordered jobs by time of publication; their sort keys are below zero while they are QUEUED. */
export const readQueuedUnordered = statement<JobRow, [groupId: number, beforeKey: number, limit: number]>(`
  SELECT ${jobColumns} FROM open_jobs WHERE group_id = $1 AND sort_key < $2 ORDER BY sort_key, position LIMIT $3`);

/** When the newest outstanding job was marked; unordered ones of a group are marked one by one. */
export const readNewestQueuedAt = statement<{ queued_at: number | null }>(`
  SELECT max(coalesce((SELECT j.queued_at FROM open_jobs j
      WHERE j.group_id = g.id AND j.sort_key < 0 ORDER BY j.sort_key DESC, j.position DESC LIMIT 1),
    g.queued_at)) AS queued_at
  FROM job_groups g WHERE g.queued_at IS NOT NULL`);

export const readPendingTotal = statement<{ total: number }>(
  "SELECT coalesce(sum(pending), 0)::bigint AS total FROM job_feeds",
);

/** The feed of an archived subscription is held for good, which is nothing to show. */
export const heldFeedCondition = `f.held_since IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM subscriptions s WHERE s.id = f.subscription_id AND s.status = 'ARCHIVED')`;

export const countHeldGroups = statement<{ total: number }, [max: number]>(`
  SELECT (SELECT count(*) FROM (SELECT 1 FROM job_groups WHERE held_reason IS NOT NULL LIMIT $1) AS g)
    + (SELECT count(*) FROM (SELECT 1 FROM job_feeds f WHERE ${heldFeedCondition} LIMIT $1) AS f) AS total`);
