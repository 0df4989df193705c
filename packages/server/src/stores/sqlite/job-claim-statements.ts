import type { GroupKey } from "../../domain/ids.ts";
import type { SqliteDatabase } from "./database.ts";
import { heldFeedCondition } from "./held-groups.ts";
import { jobColumns, type JobRow } from "../job-row.ts";

/**
 * The reads and writes of scheduling. All of them are on the hot path; job-plans.test.ts looks at their plans.
 *
 * Parameters are written `(?1 + 0)` in queries that sort, limit or join. While it plans such a query SQLite looks at
 * the value of a bare parameter, and from then on compiles the statement anew each time that parameter is bound
 * (https://www.sqlite.org/c3ref/c_dbconfig_defensive.html, SQLITE_DBCONFIG_ENABLE_QPSG, which the driver cannot set): 8
 * us instead of 0.9 for the head of a group, measured. The sum hides the parameter, and the plans are the same.
 */
export interface ReadyFeedRow {
  readonly id: number;
  readonly queued: number;
  readonly held_total_ms: number;
}

export interface ReadyGroupRow {
  readonly id: number;
  readonly key: GroupKey;
  readonly ordered: number;
  readonly ready_at: number;
  readonly blocked_total_ms: number;
}

export type DueJobRow = JobRow & { readonly payload_bytes: number; readonly sort_key: number };

export const readReadyFeeds = `SELECT id, queued, held_total_ms FROM job_feeds
  WHERE ready_at <= (?1 + 0) AND held_since IS NULL ORDER BY ready_at LIMIT (?2 + 0)`;

export const readReadyGroups = `SELECT id, key, ordered, ready_at, blocked_total_ms FROM job_groups
  WHERE feed_id = (?1 + 0) AND ready_at <= (?2 + 0) AND (ready_at, id) > (?3 + 0, ?4 + 0)
  ORDER BY ready_at, id LIMIT (?5 + 0)`;

/** Heads of an ordered group, due or not: one that waits holds those behind it. */
export const readGroupJobs = `SELECT ${jobColumns}, payload_bytes, sort_key FROM jobs
  WHERE group_id = (?1 + 0) AND open = 1 AND sort_key >= 0 ORDER BY sort_key LIMIT (?2 + 0)`;

/** Due jobs of an unordered group behind a cursor. */
export const readUnorderedJobs = `SELECT ${jobColumns}, payload_bytes, sort_key FROM jobs
  WHERE group_id = (?1 + 0) AND open = 1 AND sort_key <= (?2 + 0) AND (sort_key, position) > (?3 + 0, ?4 + 0)
  ORDER BY sort_key, position LIMIT (?5 + 0)`;

export const readNextGroupReady = `SELECT ready_at FROM job_groups
  WHERE feed_id = (?1 + 0) AND ready_at IS NOT NULL ORDER BY ready_at LIMIT 1`;

export const readNextFeedReady = `SELECT ready_at FROM job_feeds
  WHERE ready_at > (?1 + 0) AND held_since IS NULL ORDER BY ready_at LIMIT 1`;

export const readOutstandingGroups = `SELECT id, ordered, run_from, run_to FROM job_groups
  WHERE queued_at < (?1 + 0) ORDER BY queued_at LIMIT (?2 + 0)`;

export const readQueuedOfRun = `SELECT ${jobColumns} FROM jobs
  WHERE group_id = (?1 + 0) AND open = 1 AND sort_key >= (?2 + 0) AND sort_key <= (?3 + 0) AND status = 1
  ORDER BY sort_key LIMIT (?4 + 0)`;

/** When the newest outstanding job was marked; unordered ones of a group are marked one by one. */
export const readNewestQueuedAt = `SELECT max(coalesce((SELECT j.queued_at FROM jobs j
      WHERE j.group_id = g.id AND j.open = 1 AND j.sort_key < 0 ORDER BY j.sort_key DESC LIMIT 1),
    g.queued_at)) AS queued_at
  FROM job_groups g WHERE g.queued_at IS NOT NULL`;

/** Unordered jobs by time of publication; their sort keys are below zero while they are QUEUED. */
export const readQueuedUnordered = `SELECT ${jobColumns} FROM jobs
  WHERE group_id = (?1 + 0) AND open = 1 AND sort_key < (?2 + 0) ORDER BY sort_key LIMIT (?3 + 0)`;

export function claimStatements(database: SqliteDatabase) {
  return {
    readyFeeds: database.statement<ReadyFeedRow, [number, number]>(readReadyFeeds),
    readyGroups: database.statement<
      ReadyGroupRow,
      [feedId: number, nowMs: number, afterReadyAt: number, afterId: number, limit: number]
    >(readReadyGroups),
    groupJobs: database.statement<DueJobRow, [number, number]>(readGroupJobs),
    unorderedJobs: database.statement<
      DueJobRow,
      [groupId: number, nowMs: number, afterKey: number, afterPosition: number, limit: number]
    >(readUnorderedJobs),
    nextGroupReady: database.statement<{ ready_at: number }, [number]>(readNextGroupReady),
    nextFeedReady: database.statement<{ ready_at: number }, [number]>(readNextFeedReady),
    toTheEnd: database.statement<never, [number, number]>(
      "UPDATE job_feeds SET ready_at = max(ready_at, ?2) WHERE id = ?1 AND ready_at IS NOT NULL",
    ),
    newestUse: database.statement<{ used_at: number | null }>("SELECT max(used_at) AS used_at FROM job_groups"),
    groupsReadyBy: database.statement<never, [nowMs: number, newestMs: number]>(
      "UPDATE job_groups SET ready_at = ?1 WHERE ready_at > ?1 AND ready_at <= ?2",
    ),
    feedsReadyBy: database.statement<never, [number]>("UPDATE job_feeds SET ready_at = ?1 WHERE ready_at > ?1"),
    markOrdered: database.statement<never, [position: number, generation: number, nowMs: number, expires: number]>(`
      UPDATE jobs SET status = 1, queued_at = ?3, updated_at = ?3, expires_clock = coalesce(expires_clock, ?4)
      WHERE position = ?1 AND generation = ?2 AND status = 0`),
    markUnordered: database.statement<
      never,
      [position: number, generation: number, nowMs: number, expires: number, sortKey: number]
    >(`
      UPDATE jobs SET status = 1, queued_at = ?3, updated_at = ?3, expires_clock = coalesce(expires_clock, ?4),
        sort_key = ?5
      WHERE position = ?1 AND generation = ?2 AND status = 0`),
    startRun: database.statement<never, [id: number, jobs: number, nowMs: number, from: number, to: number]>(`
      UPDATE job_groups SET outstanding = ?2, ready_at = NULL, queued_at = ?3, run_from = ?4, run_to = ?5,
        held_reason = NULL, held_since = NULL, used_at = ?3
      WHERE id = ?1 AND outstanding = 0 AND blocked_position IS NULL`),
    outstandingGroups: database.statement<
      { id: number; ordered: number; run_from: number | null; run_to: number | null },
      [number, number]
    >(readOutstandingGroups),
    newestQueuedAt: database.statement<{ queued_at: number | null }>(readNewestQueuedAt),
    queuedOfRun: database.statement<JobRow, [number, number, number, number]>(readQueuedOfRun),
    queuedUnordered: database.statement<JobRow, [number, number, number]>(readQueuedUnordered),
    pendingTotal: database.statement<{ total: number }>("SELECT coalesce(sum(pending), 0) AS total FROM job_feeds"),
    heldGroups: database.statement<{ total: number }, [number]>(`
      SELECT (SELECT count(*) FROM (SELECT 1 FROM job_groups WHERE held_reason IS NOT NULL LIMIT (?1 + 0)))
        + (SELECT count(*) FROM (SELECT 1 FROM job_feeds f WHERE ${heldFeedCondition} LIMIT (?1 + 0))) AS total`),
  };
}

export type ClaimStatements = ReturnType<typeof claimStatements>;
