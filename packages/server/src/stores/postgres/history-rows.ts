import type { JobId } from "../../domain/ids.ts";
import { keyIs, statement, toJsonRows } from "../../postgres/statement.ts";
import { statusCodes } from "../job-row.ts";
import type { CounterName, JobChanges } from "./job-changes.ts";

/**
 * Retention of what lies in DEFAULT partitions, row by row: ids of clocks that were far off, and what was needed of a
 * month that has gone. First final jobs, with their attempts and payloads, then events that no job is left of, then
 * what refers to neither any more. Failed jobs stay while they hold their group, and their events with them; so do
 * events that the stream has not passed. Both are walked from the oldest up with a cursor, because the old rows that
 * stay would otherwise be looked at again by every step.
 */
export interface HistoryRequest {
  readonly beforeMs: number;
  readonly maxRows: number;
}

export interface RowStep {
  readonly removed: number;
  /** The walk is at its end. */
  readonly finished: boolean;
}

/** Rows looked at in one step, for each that may go. */
const EXAMINED_PER_ROW = 4;

/** By status code; open jobs are not in the history. */
export const finalCounters: readonly (CounterName | null)[] = [
  null,
  null,
  "completed",
  "failed",
  "cancelled",
  "expired",
];

interface OldJobRow {
  readonly id: JobId;
  readonly position: number;
  readonly status: number;
  readonly created_at: number;
}

interface OldEventRow {
  readonly id: string;
  readonly position: number;
  readonly created_at: number;
}

interface OldKeyRow {
  readonly client_id: string;
  readonly idempotency_key: string;
  readonly created_at: number;
}

export const readOldJobs = statement<OldJobRow, [after: number, limit: number]>(`
  SELECT id, position, status, created_at FROM jobs_default WHERE position > $1 ORDER BY position LIMIT $2`);
export const readOldEvents = statement<OldEventRow, [after: number, limit: number]>(`
  SELECT id, position, created_at_ms AS created_at FROM events_default
  WHERE position > $1 AND position <= (SELECT position FROM stream_checkpoint WHERE only_row)
  ORDER BY position LIMIT $2`);
export const readBlockedGroups = statement<{ id: number; job_id: JobId; archived: boolean }, [jobIds: string]>(`
  SELECT g.id, g.blocked_job_id AS job_id, EXISTS (
      SELECT 1 FROM job_feeds f JOIN subscriptions s ON s.id = f.subscription_id
      WHERE ${keyIs("f.id", "g.feed_id")} AND s.status = 'ARCHIVED') AS archived
  FROM json_array_elements_text($1::json) AS r (id) JOIN job_groups g ON ${keyIs("g.blocked_job_id", "r.id")}`);
const named = "json_array_elements_text($1::json) AS r (id)";
export const dropJobs = statement<{ id: JobId; feed_id: number; status: number; feed_exists: boolean }, [ids: string]>(`
  DELETE FROM jobs j USING ${named} WHERE ${keyIs("j.id", "r.id")}
  RETURNING j.id, j.feed_id, j.status,
    EXISTS (SELECT 1 FROM job_feeds f WHERE ${keyIs("f.id", "j.feed_id")}) AS feed_exists`);
const dropTasks = statement<never, [ids: string]>(
  `DELETE FROM job_tasks t USING ${named} WHERE ${keyIs("t.job_id", "r.id")}`,
);
const dropAttempts = statement<never, [ids: string]>(
  `DELETE FROM attempts a USING ${named} WHERE ${keyIs("a.job_id", "r.id")}`,
);
export const dropEvents = statement<never, [ids: string]>(`
  DELETE FROM events e USING ${named}
  WHERE ${keyIs("e.id", "r.id")} AND NOT EXISTS (SELECT 1 FROM open_jobs o WHERE ${keyIs("o.event_id", "r.id")})
    AND NOT EXISTS (SELECT 1 FROM jobs j WHERE ${keyIs("j.event_id", "r.id")})`);
const dropPoison = statement<never, [beforeMs: number, maxRows: number]>(`
  DELETE FROM poison_events WHERE position IN (
    SELECT p.position FROM poison_events p
    WHERE p.at_ms < $1 AND NOT EXISTS (SELECT 1 FROM events e WHERE e.position = p.position)
    ORDER BY p.position LIMIT $2)`);
export const readOldKeys = statement<OldKeyRow, [fromMs: number, beforeMs: number, limit: number]>(`
  SELECT client_id, idempotency_key, created_at FROM task_keys WHERE created_at >= $1 AND created_at < $2
  ORDER BY created_at LIMIT $3`);
/** A key that is taken over meanwhile is younger, and stays. */
const dropKeys = statement<never, [keys: string, beforeMs: number]>(`
  DELETE FROM task_keys k USING json_to_recordset($1::json) AS r (client_id text, idempotency_key text)
  WHERE ${keyIs("(k.client_id, k.idempotency_key)", "(r.client_id, r.idempotency_key)")} AND k.created_at < $2
    AND NOT EXISTS (SELECT 1 FROM open_jobs o WHERE ${keyIs("o.id", "k.job_id")})
    AND NOT EXISTS (SELECT 1 FROM jobs j WHERE ${keyIs("j.id", "k.job_id")})`);

type Walk = "jobs" | "events" | "keys";

const followers: Readonly<Record<Walk, Walk | null>> = { jobs: "events", events: "keys", keys: null };

export class HistoryRows {
  #walk: Walk = "jobs";
  #cursor = 0;

  /** Removes at most `maxRows` rows of each kind. */
  async step(request: HistoryRequest, changes: JobChanges): Promise<RowStep> {
    const steps = { jobs: dropOldJobs, events: dropOldEvents, keys: dropLeftOvers } as const;
    const { removed, cursor } = await steps[this.#walk](request, this.#cursor, changes);
    if (cursor !== null) {
      this.#cursor = cursor;
      return { removed, finished: false };
    }
    const next = followers[this.#walk];
    this.#walk = next ?? "jobs";
    this.#cursor = 0;
    return { removed, finished: next === null };
  }
}

interface WalkStep {
  readonly removed: number;
  /** Where the walk goes on; null: it is at its end. */
  readonly cursor: number | null;
}

interface Examined<Row> {
  readonly old: readonly Row[];
  readonly cursor: number | null;
}

/**
 * Of rows in their order those that are old, at most so many. The first recent one ends the walk; a time in the future
 * was stamped by a clock that was ahead: such a row stays and ends nothing.
 */
function examine<Row extends { readonly position: number; readonly created_at: number }>(
  rows: readonly Row[],
  { beforeMs, maxRows }: HistoryRequest,
  nowMs: number,
): Examined<Row> {
  const old: Row[] = [];
  let cursor: number | null = null;
  for (const row of rows) {
    if (row.created_at >= beforeMs && row.created_at <= nowMs) return { old, cursor: null };
    if (old.length === maxRows) return { old, cursor };
    cursor = row.position;
    if (row.created_at < beforeMs) old.push(row);
  }
  return { old, cursor: rows.length < maxRows * EXAMINED_PER_ROW ? null : cursor };
}

async function dropOldJobs(request: HistoryRequest, after: number, changes: JobChanges): Promise<WalkStep> {
  const { session, nowMs } = changes;
  const rows = await session.query(readOldJobs, [after, request.maxRows * EXAMINED_PER_ROW]);
  const { old, cursor } = examine(rows, request, nowMs);
  const holding = await holdingJobs(old, changes);
  const ids = JSON.stringify(old.map((job) => job.id).filter((id) => !holding.has(id)));
  const dropped = await session.query(dropJobs, [ids]);
  for (const { feed_id, status, feed_exists } of dropped) {
    const counter = finalCounters[status] ?? null;
    if (feed_exists && counter !== null) changes.count(feed_id, counter, -1);
  }
  const gone = JSON.stringify(dropped.map((job) => job.id));
  await session.run(dropTasks, [gone]);
  await session.run(dropAttempts, [gone]);
  return { removed: dropped.length, cursor };
}

/**
 * A job that holds its group stays for as long as it does, or nobody could find and unblock the group any more. That of
 * an archived subscription has nothing left to hold.
 */
async function holdingJobs(jobs: readonly OldJobRow[], changes: JobChanges): Promise<ReadonlySet<JobId>> {
  const { FAILED, EXPIRED } = statusCodes;
  const ids = jobs.filter(({ status }) => status === FAILED || status === EXPIRED).map((job) => job.id);
  if (ids.length === 0) return new Set();
  const groups = await changes.session.query(readBlockedGroups, [JSON.stringify(ids)]);
  const left = groups.filter((group) => group.archived);
  await changes.lockGroups(
    left.map((group) => group.id),
    "skipMissing",
  );
  for (const { id, job_id } of left) {
    if (changes.hasGroup(id) && changes.group(id).blocked_job_id === job_id) changes.unblock(changes.group(id));
  }
  return new Set(groups.filter((group) => !group.archived).map((group) => group.job_id));
}

async function dropOldEvents(request: HistoryRequest, after: number, changes: JobChanges): Promise<WalkStep> {
  const { session, nowMs } = changes;
  const rows = await session.query(readOldEvents, [after, request.maxRows * EXAMINED_PER_ROW]);
  const { old, cursor } = examine(rows, request, nowMs);
  const removed = await session.run(dropEvents, [JSON.stringify(old.map((event) => event.id))]);
  return { removed, cursor };
}

/** Poison notes whose event is gone, and idempotency keys of tasks that are. */
async function dropLeftOvers(request: HistoryRequest, from: number, changes: JobChanges): Promise<WalkStep> {
  const { session } = changes;
  const { beforeMs, maxRows } = request;
  const notes = from === 0 ? await session.run(dropPoison, [beforeMs, maxRows]) : 0;
  const rows = await session.query(readOldKeys, [from, beforeMs, maxRows]);
  const keys = rows.length === 0 ? 0 : await session.run(dropKeys, [toJsonRows(rows), beforeMs]);
  const last = rows.at(-1);
  if (last === undefined || rows.length < maxRows) return { removed: notes + keys, cursor: null };
  // More keys of one millisecond than a step looks at must not hold the walk up.
  return { removed: notes + keys, cursor: Math.max(last.created_at, keys > 0 ? 0 : from + 1) };
}
