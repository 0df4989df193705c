import type { EventPosition, JobPosition } from "../../domain/ids.ts";
import type { SqliteDatabase } from "./database.ts";
import type { CounterName, JobChanges } from "./job-changes.ts";
import { statusCodes } from "../job-row.ts";
import { createJobsOfEvents } from "./jobs-of-event.ts";

/**
 * What is older than the retention goes: first jobs that are final, with their attempts and payloads, then events that
 * no job is left of. Open jobs stay however old they are, failed ones while they hold their group too, and their events
 * with them; so do events that the stream has not passed. Both are walked from the oldest up with a cursor, because the
 * old rows that stay would otherwise be looked at again by every step; at the end of a walk the cursors go back to the
 * start.
 */
export interface HistoryDrop {
  /** Removes at most `maxRows` jobs or events. */
  step(request: HistoryRequest, changes: JobChanges): HistoryStep;
}

export interface HistoryRequest {
  readonly beforeMs: number;
  readonly maxRows: number;
}

export interface HistoryStep {
  readonly removed: number;
  /** The walk is at its end. */
  readonly finished: boolean;
}

/** Rows looked at in one step, for each that may go. */
const EXAMINED_PER_ROW = 4;

interface OldJobRow {
  readonly position: JobPosition;
  readonly status: number;
  readonly task: number;
  readonly feed_id: number;
  readonly group_id: number;
  readonly created_at: number;
}

interface OldEventRow {
  readonly position: EventPosition;
  readonly client_id: string | null;
  readonly deduplication_id: string | null;
  readonly created_at_ms: number;
}

/** By status code; the open ones are never dropped. */
const counters: readonly (CounterName | null)[] = [null, null, "completed", "failed", "cancelled", "expired"];

/** Where a walk ends. A time in the future was stamped by a clock that was ahead: such a row stays and ends nothing. */
function isRecent(createdAtMs: number, beforeMs: number, nowMs: number): boolean {
  return createdAtMs >= beforeMs && createdAtMs <= nowMs;
}

export function createHistoryDrop(database: SqliteDatabase): HistoryDrop {
  const sql = prepare(database);
  const jobsOfEvents = createJobsOfEvents(database);
  let jobCursor = 0;
  let eventCursor = 0;
  let jobsDone = false;

  const jobs = createJobDrop(sql);

  const dropJobs = ({ beforeMs, maxRows }: HistoryRequest, changes: JobChanges): number => {
    const rows = sql.oldJobs.all(jobCursor, maxRows * EXAMINED_PER_ROW);
    let removed = 0;
    for (const job of rows) {
      if (isRecent(job.created_at, beforeMs, changes.nowMs)) {
        jobsDone = true;
        return removed;
      }
      if (removed === maxRows) return removed;
      jobCursor = job.position;
      if (job.status <= statusCodes.QUEUED || job.created_at >= beforeMs || jobs.holdsGroup(job, changes)) continue;
      jobs.drop(job, changes);
      removed++;
    }
    jobsDone = rows.length < maxRows * EXAMINED_PER_ROW;
    return removed;
  };

  const dropEvents = ({ beforeMs, maxRows }: HistoryRequest, nowMs: number): HistoryStep => {
    const passed = sql.checkpoint.get()?.position ?? 0;
    const read = sql.oldEvents.all(eventCursor, passed, maxRows);
    const end = read.findIndex((event) => isRecent(event.created_at_ms, beforeMs, nowMs));
    const rows = end < 0 ? read : read.slice(0, end);
    const first = rows[0];
    const last = rows.at(-1);
    if (first === undefined || last === undefined) return { removed: 0, finished: true };
    const from = jobsOfEvents.firstFrom(first.position);
    const before = jobsOfEvents.firstFrom((last.position + 1) as EventPosition);
    const kept = new Set(sql.eventsOfJobs.all(from, before).map((row) => row.stream_position));
    let removed = 0;
    for (const event of rows) {
      if (event.created_at_ms >= beforeMs || kept.has(event.position)) continue;
      if (event.deduplication_id !== null) {
        sql.dropDedup.run(event.client_id ?? "", event.deduplication_id, event.position);
      }
      sql.dropPoison.run(event.position);
      sql.dropEvent.run(event.position);
      removed++;
    }
    eventCursor = last.position;
    return { removed, finished: rows.length < maxRows };
  };

  return {
    step: (request, changes) => {
      if (!jobsDone) {
        const removed = dropJobs(request, changes);
        if (removed > 0 || !jobsDone) return { removed, finished: false };
      }
      const events = dropEvents(request, changes.nowMs);
      if (!events.finished) return events;
      jobCursor = 0;
      eventCursor = 0;
      jobsDone = false;
      return events;
    },
  };
}

interface JobDrop {
  drop(job: OldJobRow, changes: JobChanges): void;
  /**
   * A job that holds its group stays for as long as it does, or nobody could find and unblock the group any more. That
   * of an archived subscription has nothing left to hold.
   */
  holdsGroup(job: OldJobRow, changes: JobChanges): boolean;
}

function createJobDrop(sql: ReturnType<typeof prepare>): JobDrop {
  return {
    drop: (job, changes) => {
      sql.dropAttempts.run(job.position);
      if (job.task === 1) sql.dropTask.run(job.position);
      sql.dropJob.run(job.position);
      const counter = counters[job.status] ?? null;
      if (counter !== null) changes.feed(job.feed_id)[counter]--;
    },
    holdsGroup: (job, changes) => {
      if (job.status !== statusCodes.FAILED && job.status !== statusCodes.EXPIRED) return false;
      const found = sql.blockedGroup.get(job.group_id, job.position);
      if (found === null) return false;
      if (found.archived === 1) changes.unblock(changes.group(job.group_id));
      return found.archived === 0;
    },
  };
}

function prepare(database: SqliteDatabase) {
  return {
    oldJobs: database.statement<OldJobRow, [number, number]>(`
      SELECT position, status, task, feed_id, group_id, created_at FROM jobs
      WHERE position > (?1 + 0) ORDER BY position LIMIT (?2 + 0)`),
    blockedGroup: database.statement<{ archived: number }, [groupId: number, position: number]>(`
      SELECT EXISTS (
        SELECT 1 FROM job_feeds f JOIN subscriptions s ON s.id = f.subscription_id
        WHERE f.id = g.feed_id AND s.status = 'ARCHIVED') AS archived
      FROM job_groups g WHERE g.id = ?1 AND g.blocked_position = ?2`),
    dropAttempts: database.statement<never, [number]>("DELETE FROM attempts WHERE job_position = ?1"),
    dropTask: database.statement<never, [number]>("DELETE FROM job_tasks WHERE position = ?1"),
    dropJob: database.statement<never, [number]>("DELETE FROM jobs WHERE position = ?1"),
    checkpoint: database.statement<{ position: EventPosition }>("SELECT position FROM stream_checkpoint"),
    oldEvents: database.statement<OldEventRow, [number, number, number]>(`
      SELECT position, client_id, deduplication_id, created_at_ms FROM events
      WHERE position > (?1 + 0) AND position <= (?2 + 0) ORDER BY position LIMIT (?3 + 0)`),
    eventsOfJobs: database.statement<{ stream_position: number }, [number, number]>(
      "SELECT DISTINCT stream_position FROM jobs WHERE position >= ?1 AND position < ?2 AND task = 0",
    ),
    dropDedup: database.statement<never, [string, string, number]>(
      "DELETE FROM event_dedup WHERE client_id = ?1 AND dedup_id = ?2 AND position = ?3",
    ),
    dropPoison: database.statement<never, [number]>("DELETE FROM poison_events WHERE position = ?1"),
    dropEvent: database.statement<never, [number]>("DELETE FROM events WHERE position = ?1"),
  };
}
