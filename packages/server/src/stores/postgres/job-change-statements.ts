import type { HeldReason } from "../../domain/dispatch-job.ts";
import type { JobId } from "../../domain/ids.ts";
import { keyIs, statement } from "../../postgres/statement.ts";
import { jobColumns, type JobRow } from "../job-row.ts";

/** The rows and statements behind `JobChanges`. */
export interface GroupRow {
  readonly id: number;
  readonly key: string;
  readonly feed_id: number;
  readonly ordered: boolean;
  ready_at: number | null;
  outstanding: number;
  queued_at: number | null;
  run_from: number | null;
  run_to: number | null;
  /** No open job of the group that waits to be published has a lower sort key: where its readers start. */
  head_from: number;
  held_reason: HeldReason | null;
  held_since: number | null;
  blocked_job_id: JobId | null;
  blocked_since: number | null;
  blocked_total_ms: number;
}

/** Of the group's feed, as it was when the group was locked: its clock, and whom the lane serves. */
export interface FeedPart {
  readonly feed_held_since: number | null;
  readonly feed_held_total_ms: number;
}

const groupColumns = `id, key, feed_id, ordered, ready_at, outstanding, queued_at, run_from, run_to, head_from,
  held_reason, held_since, blocked_job_id, blocked_since, blocked_total_ms`;

/**
 * Of the ids of `wanted`, which are distinct and in order, the groups, locked. A lock inside of LATERAL is taken row by
 * row in the order of what stands before, so two transactions never wait for each other; and there is no other way to
 * find the rows than one look-up each. Sorted afterwards, the planner would rather read all groups in order.
 */
const lockGroupsOf = (wanted: string): string => `
  SELECT g.*, f.held_since AS feed_held_since, f.held_total_ms AS feed_held_total_ms
  FROM (${wanted}) AS r
  CROSS JOIN LATERAL (SELECT ${groupColumns} FROM job_groups WHERE id = r.id FOR UPDATE) AS g
  CROSS JOIN LATERAL (SELECT held_since, held_total_ms FROM job_feeds WHERE id = g.feed_id OFFSET 0) AS f`;

export const lockGroups = statement<GroupRow & FeedPart, [ids: string]>(
  lockGroupsOf("SELECT DISTINCT id::bigint AS id FROM json_array_elements_text($1::json) AS r (id) ORDER BY 1"),
);

export const lockGroupsOfJobs = statement<GroupRow & FeedPart, [jobIds: string]>(
  lockGroupsOf(`
    SELECT DISTINCT o.group_id AS id FROM json_array_elements_text($1::json) AS r (id)
    JOIN open_jobs o ON ${keyIs("o.id", "r.id")} ORDER BY 1`),
);

const columnsOf = (table: string): string => jobColumns.replaceAll(/(\w+)/g, `${table}.$1`);

export const readOpenJobs = statement<JobRow, [ids: string]>(`
  SELECT ${columnsOf("o")}
  FROM json_array_elements_text($1::json) AS r (id) JOIN open_jobs o ON ${keyIs("o.id", "r.id")}`);

/** Locked, because housekeeping drops final jobs without a look at their groups, which may be gone. */
export const readFinalJobs = statement<JobRow, [ids: string]>(`
  SELECT j.* FROM (SELECT DISTINCT id FROM json_array_elements_text($1::json) AS r (id) ORDER BY id) AS r
  CROSS JOIN LATERAL (SELECT ${jobColumns} FROM jobs WHERE id = r.id FOR UPDATE) AS j`);

/** Open jobs of an ordered group behind a position, in their order: as many as a message can carry there. */
export const readRestOfRun = statement<JobRow, [groupId: number, position: number, limit: number]>(`
  SELECT ${jobColumns} FROM open_jobs WHERE group_id = $1 AND sort_key > $2 ORDER BY sort_key, position LIMIT $3`);

export interface GroupHead {
  readonly group_id: number;
  readonly due_at: number;
  readonly updated_at: number;
  readonly generation: number;
  readonly attempt_count: number;
  readonly sort_key: number;
}

/** For each group the job that is next to be published, if there is one. */
export const readGroupHeads = statement<GroupHead, [groups: string]>(`
  SELECT r.id AS group_id, h.due_at, h.updated_at, h.generation, h.attempt_count, h.sort_key
  FROM json_to_recordset($1::json) AS r (id bigint, head_from bigint)
  CROSS JOIN LATERAL (
    SELECT due_at, updated_at, generation, attempt_count, sort_key FROM open_jobs
    WHERE group_id = r.id AND sort_key >= r.head_from ORDER BY sort_key, position LIMIT 1
  ) AS h`);

/** What a transition changes; the rest of a job never changes but for its group. */
const changing = `status, generation, attempt_count, generation_attempts, unburnt_attempts, due_at, queued_at,
  expires_clock, replay_count, updated_at, last_error`;
const fixed = "id, position, event_id, task, profile_id, client_id, message_group, code, payload_bytes, created_at";
const changed = changing.replaceAll(/(\w+)/g, "r.$1");
const changes = `json_to_recordset($1::json) AS r (id text, group_id bigint, feed_id integer, status smallint,
  generation integer, attempt_count integer, generation_attempts integer, unburnt_attempts integer, due_at bigint,
  queued_at bigint, expires_clock bigint, replay_count integer, updated_at bigint, last_error text, sort_key bigint)`;

export const rewriteOpenJobs = statement<never, [jobs: string]>(`
  UPDATE open_jobs o SET (${changing}, sort_key) = (${changed}, r.sort_key)
  FROM ${changes} WHERE ${keyIs("o.id", "r.id")}`);

/** What changes comes out of the DELETE with the job: joining the two again would compare each with each. */
const movedFrom = (table: string): string =>
  `RETURNING ${fixed.replaceAll(/(\w+)/g, `${table}.$1`)}, ${table}.group_id AS old_group_id,
    ${table}.feed_id AS old_feed_id, r.group_id, r.feed_id, ${changed}, r.sort_key`;

export const finishJobs = statement<never, [jobs: string]>(`
  WITH done AS (DELETE FROM open_jobs o USING ${changes} WHERE ${keyIs("o.id", "r.id")} ${movedFrom("o")})
  INSERT INTO jobs (${fixed}, group_id, feed_id, ${changing})
  SELECT ${fixed}, old_group_id, old_feed_id, ${changing} FROM done`);

export const reopenJobs = statement<never, [jobs: string]>(`
  WITH done AS (DELETE FROM jobs j USING ${changes} WHERE ${keyIs("j.id", "r.id")} ${movedFrom("j")})
  INSERT INTO open_jobs (${fixed}, group_id, feed_id, ${changing}, sort_key)
  SELECT ${fixed}, group_id, feed_id, ${changing}, sort_key FROM done`);

export const rewriteFinalJobs = statement<never, [jobs: string]>(`
  UPDATE jobs j SET (${changing}) = (${changed}) FROM ${changes} WHERE ${keyIs("j.id", "r.id")}`);

const updateGroups = (groups: string, nowMs: string): string => `
  UPDATE job_groups g SET (ready_at, outstanding, queued_at, run_from, run_to, head_from, held_reason, held_since,
      blocked_job_id, blocked_since, blocked_total_ms, used_at)
    = (r.ready_at, r.outstanding, r.queued_at, r.run_from, r.run_to, r.head_from, r.held_reason, r.held_since,
      r.blocked_job_id, r.blocked_since, r.blocked_total_ms, ${nowMs})
  FROM json_to_recordset(${groups}::json) AS r (id bigint, ready_at bigint, outstanding integer, queued_at bigint,
    run_from bigint, run_to bigint, head_from bigint, held_reason text, held_since bigint, blocked_job_id text,
    blocked_since bigint, blocked_total_ms bigint)
  WHERE ${keyIs("g.id", "r.id")}`;

export const writeGroups = statement<never, [groups: string, nowMs: number]>(updateGroups("$1", "$2"));

/** So that what the next statement computes from groups is not older than what it is written over. */
export const lockFeeds = statement<{ id: number }, [ids: string]>(`
  SELECT f.id FROM (SELECT DISTINCT id::integer AS id FROM json_array_elements_text($1::json) AS r (id) ORDER BY 1) AS r
  CROSS JOIN LATERAL (SELECT id FROM job_feeds WHERE id = r.id FOR UPDATE) AS f`);

export interface FeedChange {
  readonly id: number;
  readonly pending: number;
  readonly queued: number;
  readonly completed: number;
  readonly failed: number;
  readonly cancelled: number;
  readonly expired: number;
  /** Ready at the latest then; null: no group became ready. */
  readonly ready_at: number | null;
  /** The publish window, if the feed was found with that many jobs out. */
  readonly window: number | null;
  /** Its time is taken from its groups anew; call `lockFeeds` before. */
  readonly recompute: boolean;
}

export interface WrittenFeed {
  readonly id: number;
  readonly ready_at: number | null;
  readonly held_since: number | null;
}

/**
 * Counters are added to. A feed with a full window is not ready until results make room; then, and whenever a group
 * becomes ready, its time is brought forward, which may always be done, because it is a lower bound.
 */
const updateFeeds = (feeds: string, nowMs: string): string => `
  UPDATE job_feeds f SET
    pending = f.pending + r.pending, queued = f.queued + r.queued, completed = f.completed + r.completed,
    failed = f.failed + r.failed, cancelled = f.cancelled + r.cancelled, expired = f.expired + r.expired,
    window_full = CASE
      WHEN f.queued + r.queued < coalesce(f.window_full, r.window) THEN NULL
      ELSE coalesce(f.window_full, r.window) END,
    ready_at = CASE
      WHEN f.queued + r.queued >= coalesce(f.window_full, r.window) THEN NULL
      WHEN f.window_full IS NOT NULL THEN ${nowMs}
      WHEN r.recompute THEN (
        SELECT greatest(g.ready_at, ${nowMs}) FROM job_groups g WHERE g.feed_id = f.id AND g.ready_at IS NOT NULL
        ORDER BY g.ready_at, g.id LIMIT 1)
      ELSE least(f.ready_at, r.ready_at) END
  FROM json_to_recordset(${feeds}::json) AS r (id integer, pending bigint, queued bigint, completed bigint,
    failed bigint, cancelled bigint, expired bigint, ready_at bigint, "window" integer, recompute boolean)
  WHERE ${keyIs("f.id", "r.id")}
  RETURNING f.id, f.ready_at, f.held_since`;

export const writeFeeds = statement<WrittenFeed, [feeds: string, nowMs: number]>(updateFeeds("$1", "$2"));

/** Both at once, where no feed's time is taken from its groups: that would not see what is written beside it. */
export const writeGroupsAndFeeds = statement<WrittenFeed, [groups: string, feeds: string, nowMs: number]>(
  `WITH changed AS (${updateGroups("$1", "$3")}) ${updateFeeds("$2", "$3")}`,
);
