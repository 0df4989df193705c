import type { HeldReason } from "../../domain/dispatch-job.ts";
import type { JobPosition } from "../../domain/ids.ts";
import type { SqliteDatabase, SqliteStatement } from "./database.ts";
import { jobColumns, type JobRow } from "../job-row.ts";

/** The rows and statements behind `JobChanges`. Rows are working copies: `settle` writes what was changed in them. */
export interface FeedRow {
  readonly id: number;
  readonly subscription_id: string | null;
  readonly lane: string;
  ready_at: number | null;
  /** The publish window that was full when the feed was last looked at; null: it was not full. */
  window_full: number | null;
  held_since: number | null;
  held_total_ms: number;
  pending: number;
  queued: number;
  completed: number;
  failed: number;
  cancelled: number;
  expired: number;
}

export interface GroupRow {
  readonly id: number;
  readonly key: string;
  readonly feed_id: number;
  readonly ordered: number;
  ready_at: number | null;
  outstanding: number;
  queued_at: number | null;
  run_from: number | null;
  run_to: number | null;
  held_reason: HeldReason | null;
  held_since: number | null;
  blocked_position: JobPosition | null;
  blocked_since: number | null;
  blocked_total_ms: number;
}

export const groupColumns = `id, key, feed_id, ordered, ready_at, outstanding, queued_at, run_from, run_to, held_reason,
  held_since, blocked_position, blocked_since, blocked_total_ms`;

export const feedColumns = `id, subscription_id, lane, ready_at, window_full, held_since, held_total_ms, pending,
  queued, completed, failed, cancelled, expired`;

/** The open jobs of a group that are next to be published, in their order. */
export const readGroupHead = `SELECT due_at, updated_at, generation, attempt_count FROM jobs
  WHERE group_id = (?1 + 0) AND open = 1 AND sort_key >= 0 ORDER BY sort_key LIMIT 1`;

/** Open jobs of an ordered group behind a position, in their order: as many as a message can carry there. */
export const readRestOfRun = `SELECT ${jobColumns} FROM jobs
  WHERE group_id = (?1 + 0) AND open = 1 AND sort_key > (?2 + 0) ORDER BY sort_key LIMIT (?3 + 0)`;

export interface GroupHead {
  readonly due_at: number;
  readonly updated_at: number;
  readonly generation: number;
  readonly attempt_count: number;
}

type NullableNumber = number | null;

export interface ChangeStatements {
  readonly jobById: SqliteStatement<JobRow, [string]>;
  readonly feed: SqliteStatement<FeedRow, [number]>;
  readonly group: SqliteStatement<GroupRow, [number]>;
  readonly groupHead: SqliteStatement<GroupHead, [number]>;
  readonly restOfRun: SqliteStatement<JobRow, [number, number, number]>;
  readonly finishJob: SqliteStatement<never, [number, number, number, number, number, number, string | null]>;
  readonly rewriteJob: SqliteStatement<
    never,
    [
      ...[
        position: number,
        status: number,
        generation: number,
        attempts: number,
        ofGeneration: number,
        unburnt: number,
      ],
      ...[dueAt: number, queuedAt: NullableNumber, expires: NullableNumber, replays: number, updatedAt: number],
      ...[lastError: string | null, sortKey: number],
    ]
  >;
  readonly writeOutstanding: SqliteStatement<never, [number, number]>;
  readonly writeGroup: SqliteStatement<
    never,
    [
      ...[id: number, readyAt: NullableNumber, outstanding: number, queuedAt: NullableNumber, runFrom: NullableNumber],
      ...[runTo: NullableNumber, reason: string | null, heldSince: NullableNumber, blocked: NullableNumber],
      ...[blockedSince: NullableNumber, blockedTotalMs: number, usedAt: number],
    ]
  >;
  readonly writeFeed: SqliteStatement<
    never,
    [
      ...[id: number, readyAt: NullableNumber, windowFull: NullableNumber, pending: number, queued: number],
      ...[completed: number, failed: number, cancelled: number, expired: number],
    ]
  >;
}

export function prepareChanges(database: SqliteDatabase): ChangeStatements {
  return {
    jobById: database.statement(`SELECT ${jobColumns} FROM jobs WHERE id = ?1`),
    feed: database.statement(`SELECT ${feedColumns} FROM job_feeds WHERE id = ?1`),
    group: database.statement(`SELECT ${groupColumns} FROM job_groups WHERE id = ?1`),
    groupHead: database.statement(readGroupHead),
    restOfRun: database.statement(readRestOfRun),
    finishJob: database.statement(`
      UPDATE jobs SET status = ?2, attempt_count = ?3, generation_attempts = ?4, unburnt_attempts = ?5, updated_at = ?6,
        last_error = ?7, open = NULL
      WHERE position = ?1`),
    rewriteJob: database.statement(`
      UPDATE jobs SET status = ?2, generation = ?3, attempt_count = ?4, generation_attempts = ?5, unburnt_attempts = ?6,
        due_at = ?7, queued_at = ?8, expires_clock = ?9, replay_count = ?10, updated_at = ?11, last_error = ?12,
        sort_key = ?13, open = 1
      WHERE position = ?1`),
    writeOutstanding: database.statement("UPDATE job_groups SET outstanding = ?2 WHERE id = ?1"),
    writeGroup: database.statement(`
      UPDATE job_groups SET ready_at = ?2, outstanding = ?3, queued_at = ?4, run_from = ?5, run_to = ?6,
        held_reason = ?7, held_since = ?8, blocked_position = ?9, blocked_since = ?10, blocked_total_ms = ?11,
        used_at = ?12
      WHERE id = ?1`),
    writeFeed: database.statement(`
      UPDATE job_feeds SET ready_at = ?2, window_full = ?3, pending = ?4, queued = ?5, completed = ?6, failed = ?7,
        cancelled = ?8, expired = ?9
      WHERE id = ?1`),
  };
}
